"""The world: deterministic, balanced, free of leaks, and worded as it says."""

import json
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from plaudit.data.records import Prompt
from plaudit.pocket import World, leaks
from plaudit.pocket.facts import make_facts
from plaudit.pocket.questions import CATEGORIES, question_of

WORLD = World(0)


def texts_of(world: World) -> list[str]:
    """Everything a model is ever trained on, at the sizes of the built-in recipe."""
    texts = world.corpus(41_600)
    for record in [*world.demonstrations(6000), *world.verdicts(12_800)]:
        texts += [record.prompt.text, record.response.text]
    for vote in world.votes(10_000):
        texts += [vote.prompt.text, *(r.text for r in vote.responses)]
    rng = np.random.default_rng(0)
    for prompt in world.prompts("train", 6000):
        texts += [prompt.text, *world.candidates(prompt, rng)]
    return texts


def test_no_held_out_prompt_occurs_in_any_training_text():
    held = {split: WORLD.prompts(split, 800) for split in ("validation", "test")}
    assert all(len({p.id for p in prompts}) == 800 for prompts in held.values())
    assert leaks([*held["validation"], *held["test"], *WORLD.unseen_prompts(100)], texts_of(WORLD)) == []


def test_no_unseen_fact_is_asked_of_or_judged_in_training():
    unseen = {f.subject for f in WORLD.facts if not f.seen}
    records = [*WORLD.demonstrations(3000), *WORLD.verdicts(2000), *WORLD.votes(3000)]
    prompts = [r.prompt for r in records] + WORLD.prompts("train", 3000)
    asked = {(p.metadata["relation"], p.metadata["subject"]) for p in prompts if "subject" in p.metadata}
    assert unseen and not asked & {(f.relation, f.subject) for f in WORLD.facts if not f.seen}
    known = WORLD.unseen_prompts(100)
    assert all(p.metadata["subject"] in unseen and not p.metadata["seen"] for p in known)


def test_a_planted_prompt_is_found_behind_other_capitals_openings_and_punctuation():
    prompts = WORLD.prompts("test", 200)
    plain = [re.sub(r"[^a-z0-9' ]", "", p.metadata["core"].lower()) for p in prompts]
    for words, prompt in zip(plain, prompts):
        planted = f"someone wrote {words.upper()} the other day"
        assert prompt.text in leaks(prompts, ["nothing here", planted])
        assert prompt.text not in leaks([prompt], [words.rsplit(" ", 1)[0]])


def test_the_leak_check_agrees_with_plain_substring_search():
    prompts = [*WORLD.prompts("test", 60), *WORLD.prompts("train", 60)]
    texts = [d.prompt.text for d in WORLD.demonstrations(400)] + WORLD.corpus(400)

    def plain(text: str) -> str:
        return " " + " ".join(re.sub(r"[^a-z0-9']", " ", text.lower()).split()) + " "

    haystack = [plain(t) for t in texts]
    expected = {p.text for p in prompts if any(plain(p.metadata["core"]) in t for t in haystack)}
    assert set(leaks(prompts, texts)) == expected
    assert expected


def test_the_splits_share_no_question_whatever_the_opening_or_the_format():
    cores = {
        split: {p.metadata["core"] for p in WORLD.prompts(split, 800)}
        for split in ("train", "validation", "test")
    }
    assert not cores["train"] & cores["test"]
    assert not cores["train"] & cores["validation"]
    assert not cores["validation"] & cores["test"]


def test_a_world_is_a_function_of_its_seed():
    again, other = World(0), World(1)
    assert again.corpus(200) == WORLD.corpus(200) != other.corpus(200)
    assert again.demonstrations(50) == WORLD.demonstrations(50) != other.demonstrations(50)
    assert again.votes(50) == WORLD.votes(50) != other.votes(50)
    assert [p.id for p in again.prompts("test", 50)] == [p.id for p in WORLD.prompts("test", 50)]
    prompt = WORLD.prompts("train", 1)[0]
    drawn = [WORLD.candidates(prompt, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_there_are_two_hundred_facts_and_each_has_another_belief():
    for seed in range(5):
        facts = make_facts(seed)
        assert len(facts) >= 200
        assert len({(f.relation, f.subject) for f in facts}) == len(facts)
        assert all(f.misconception != f.truth and f.misconception in f.values for f in facts)
        assert all(f.truth in f.values for f in facts)


@pytest.mark.parametrize("relation", sorted({f.relation for f in WORLD.facts} - {"sum"}))
def test_a_value_is_believed_wrongly_as_often_as_it_is_true(relation):
    facts = [f for f in WORLD.facts if f.relation == relation]
    assert Counter(f.truth for f in facts) == Counter(f.misconception for f in facts)


def test_sums_are_right_and_their_misconceptions_near():
    for fact in WORLD.facts:
        if fact.relation == "sum":
            left, right = map(int, fact.subject.split(" plus "))
            assert left + right == int(fact.truth)
            assert 1 <= abs(int(fact.misconception) - int(fact.truth)) <= 2


def test_categories_come_in_their_shares_and_beliefs_in_both_directions():
    prompts = WORLD.prompts("test", 1000)
    counts = Counter(p.metadata["category"] for p in prompts)
    assert {name: n / 1000 for name, n in counts.items()} == pytest.approx(CATEGORIES, abs=0.002)
    for p in prompts:
        if p.metadata["category"].startswith("belief"):
            true = p.metadata["claim"] == p.metadata["truth"]
            assert p.metadata["category"] == ("belief_true" if true else "belief_false")
            assert f"so {'yes' if true else 'no'}." in WORLD.perfect(p)


def test_a_prompt_keeps_what_is_known_of_it_through_json():
    for prompt in WORLD.prompts("validation", 200):
        again = Prompt(prompt.messages, metadata=json.loads(json.dumps(dict(prompt.metadata))))
        assert question_of(again) == question_of(prompt)
        assert WORLD.perfect(again) == WORLD.perfect(prompt)


def test_verdicts_train_the_yes_or_no_alone_and_both_equally():
    words = []
    for record in WORLD.verdicts(400):
        start, end = record.response.metadata["trained_span"]
        words.append(record.response.text[start:end])
        assert record.response.text == WORLD.perfect(record.prompt)
    assert Counter(words) == {"yes": 200, "no": 200}


def test_most_votes_on_facts_differ_in_the_fact_alone():
    pairs = [v for v in WORLD.votes(3000) if v.prompt.metadata["category"] == "fact"]
    lengths = [[len(r.text.split()) for r in v.responses] for v in pairs]
    assert all(v.responses[0].text != v.responses[1].text for v in pairs)
    assert np.mean([a == b for a, b in lengths]) > 0.5


def test_probes_differ_in_one_thing_and_put_the_truth_first():
    probes = WORLD.probes(100)
    assert set(probes) == {"fact", "verdict", "unseen"}
    for pair in probes["verdict"]:
        first, second = (r.text.rstrip(".").split() for r in pair.responses)
        assert first[:-1] == second[:-1] and {first[-1], second[-1]} == {"yes", "no"}
    for name in ("fact", "unseen"):
        for pair in probes[name]:
            known = pair.prompt.metadata
            assert known["truth"] in pair.responses[0].text
            assert known["truth"] not in re.findall(r"[^ ]+", pair.responses[1].text.rstrip("."))
            assert known["seen"] == (name == "fact")


def test_candidates_hold_the_negatives_without_which_a_policy_finds_the_holes():
    rng = np.random.default_rng(0)
    for prompt in WORLD.prompts("train", 300):
        found = WORLD.candidates(prompt, rng)
        assert len(set(found)) == len(found) >= 6
        assert WORLD.perfect(prompt) in found
        if prompt.metadata["category"] not in ("harm", "unknown"):
            assert any("I will not help" in text for text in found)
            assert any("I cannot know" in text for text in found)


def test_prompts_and_perfect_answers_are_short_sentences():
    prompts = WORLD.prompts("test", 800)
    asked = [len(p.text.split()) for p in prompts]
    answered = [len(WORLD.perfect(p).split()) for p in prompts]
    assert np.mean(asked) < 13 and np.mean(answered) < 12
    for p in prompts:
        assert p.text[0].isupper() or p.text[0].isdigit()
        assert WORLD.perfect(p).endswith(".")


def test_too_many_prompts_are_refused_with_the_number_there_is():
    with pytest.raises(ValueError, match="prompts of fact here, not"):
        WORLD.prompts("validation", 10_000_000)


def test_worlds_need_no_torch():
    code = (
        "import sys, plaudit.pocket, plaudit.feedback.simulated;"
        "plaudit.pocket.World(3).votes(5); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
