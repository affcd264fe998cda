"""The pocket world is a function of its seed, keeps its splits apart, and teaches what it says it teaches."""

from __future__ import annotations

import pytest

from plaudit.config import load_recipe
from plaudit.pipeline.run import recipe_path
from plaudit.pocket import Gold, World, leaks
from plaudit.pocket.questions import OPENINGS


def everything(world: World, sizes) -> list[str]:
    """Every text that any training stage of the recipe sees."""
    texts = world.corpus(sizes.documents)
    for record in world.demonstrations(sizes.demonstrations):
        texts += [m.content for m in record.prompt.messages] + [record.response.text]
    for vote in world.votes(sizes.votes):
        texts += [vote.prompt.text, *(r.text for r in vote.responses)]
    return texts + [p.text for p in world.prompts("train", sizes.train_prompts)]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_no_evaluation_question_occurs_in_any_training_text(seed):
    world = World(seed)
    sizes = load_recipe(recipe_path("pocket")).world
    test = world.prompts("test", sizes.test_prompts)
    validation = world.prompts("validation", sizes.validation_prompts)
    assert len({p.id for p in test}) == sizes.test_prompts >= 800
    assert len({p.id for p in validation}) == sizes.validation_prompts
    texts = everything(world, sizes)
    assert leaks(test, texts) == [] and leaks(validation, texts) == []
    assert leaks(validation, [p.text for p in test]) == []


def test_a_leak_would_be_found():
    world = World(0)
    prompt = world.prompts("test", 50)[7]
    bare = next(q for q in world.questions[prompt.metadata["category"]] if q.text in prompt.text)
    assert leaks([prompt], ["Somebody wrote: " + bare.text + " And so on."]) == [prompt.text]


def test_one_seed_gives_one_world_and_another_seed_another():
    a, b, c = World(3), World(3), World(4)
    for make in (
        lambda w: w.corpus(50),
        lambda w: w.demonstrations(50),
        lambda w: w.votes(50),
        lambda w: [p.text for p in w.prompts("train", 50)],
    ):
        assert make(a) == make(b) != make(c)


def test_a_misconception_is_never_the_truth_and_each_fact_has_one():
    for seed in range(3):
        for fact in World(seed).facts:
            assert fact.misconception != fact.truth
            assert fact.truth in fact.statement and fact.misconception in fact.says(fact.misconception)


def test_some_facts_are_never_shown_as_answers():
    world = World(0)
    unseen = [f for f in world.facts if not f.seen]
    assert 16 <= len(unseen) <= 32 and len(unseen) % 2 == 0
    shown = [d.response.text for d in world.demonstrations(3000)]
    shown += [r.text for v in world.votes(3000) for r in v.responses]
    for fact in unseen:
        assert not any(fact.statement in text for text in shown)
    corpus = "\n".join(world.corpus(20_000))
    assert all(fact.statement in corpus for fact in unseen)


def test_beliefs_are_balanced():
    prompts = World(0).prompts("test", 800)
    count = {k: sum(p.metadata["category"] == k for p in prompts) for k in ("belief_true", "belief_false")}
    assert count["belief_true"] == count["belief_false"] == 96


def test_most_votes_on_facts_differ_in_the_fact_alone():
    world = World(0)
    on_facts = [v for v in world.votes(4000) if "truth" in v.prompt.metadata]

    def alike(vote):
        a, b = (set(r.text.split()) for r in vote.responses)
        return len(a - b) <= 2 and len(b - a) <= 2

    assert 0.55 < sum(map(alike, on_facts)) / len(on_facts) < 0.8


def test_probes_differ_in_one_thing_and_prefer_the_truth():
    world, gold = World(0), Gold()
    for kind, pairs in world.probes(100).items():
        for pair in pairs:
            better, worse = (gold.judge(pair.prompt, r) for r in pair.responses)
            assert better.score > worse.score, (kind, pair)
            assert better.words - 3 <= worse.words <= better.words + 3
            assert pair.prompt.metadata.get("seen", True) == (kind != "unseen")


def test_openings_do_not_change_what_a_question_is():
    question = World(0).questions["fact"][0]
    assert {question.ask(o).metadata["truth"] for o in OPENINGS} == {question.fact.truth}
