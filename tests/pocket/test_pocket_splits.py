"""Splits are a function of a question's words alone, and nothing held out is inside what trains."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from plaudit.config import load_recipe
from plaudit.pipeline.run import recipe_path
from plaudit.pocket import World, leaks
from plaudit.pocket.facts import make_facts
from plaudit.pocket.questions import FORMATS, OPENINGS, all_questions, bare, question_of, split_of

SPLITS = ("train", "validation", "test")
RECIPE = load_recipe(recipe_path("pocket"))


def cores(world):
    """The words of every question, without opening and format request, with the split they are in."""
    return {q.core or q.text: q.split for group in world.questions.values() for q in group}


CORES = cores(World(0))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_no_candidate_or_format_request_carries_a_held_out_question(seed):
    # Word for word and without the format request, which is stricter than `leaks`.
    world = World(seed)
    rng = np.random.default_rng(seed)
    prompts = world.prompts("train", RECIPE.world.train_prompts)
    texts = {p.text for p in prompts}
    for prompt in prompts[: RECIPE.steps["rank"].settings.prompts]:
        texts.update(world.candidates(prompt, rng))
    for record in world.demonstrations(RECIPE.world.demonstrations):
        texts.update((record.prompt.text, record.response.text))
    everything = "\n".join(texts)
    held = [core for core, split in cores(world).items() if split != "train"]
    trained = [core for core, split in cores(world).items() if split == "train"]
    assert [core for core in held if core in everything] == []
    # Most of what may be asked is asked, so that the line above had something to find.
    assert sum(core in everything for core in trained) > 0.8 * len(trained)


def test_a_leak_is_found_behind_another_opening_and_another_format_request():
    world = World(0)
    for split in SPLITS:
        for prompt in world.prompts(split, 100):
            core = prompt.text[-len(bare(prompt.text)) :]
            assert core in CORES
            assert leaks([prompt], [f"q: one more thing: call me boss: {core} a: it is hard to say."])
            assert not leaks([prompt], [core[:-1], "it is hard to say."])


def test_the_split_of_a_question_is_that_of_its_words_in_every_world():
    for seed in (0, 1):
        found = cores(World(seed))
        assert all(split_of(core) == split for core, split in found.items())
        assert set(found.values()) == set(SPLITS)


def test_prompts_of_a_split_ask_its_questions_and_no_others():
    world = World(0)
    known = cores(world)
    for split in SPLITS:
        for prompt in world.prompts(split, 400):
            ends = (prompt.text[i:] for i in range(len(prompt.text)))
            # The longest question that the prompt ends with.
            assert known[next(end for end in ends if end in known)] == split


def test_a_format_request_leaves_the_question_within_its_split():
    questions = all_questions(make_facts(0))
    facts = {q.text: q for q in questions["fact"]}
    requests = {form for forms in FORMATS.values() for form in forms}
    for question in questions["format"]:
        plain = facts[question.core]
        assert question.split == plain.split and question.fact == plain.fact
        assert question.text.removesuffix(f" {question.core}") in requests


def test_no_held_out_question_stands_inside_another_question():
    # Otherwise a training prompt could carry it.
    found = cores(World(0))
    for core, split in found.items():
        if split != "train":
            assert not [other for other in found if core in other and other != core]


def test_the_shares_of_the_splits_are_near_what_they_are_meant_to_be():
    found = Counter(cores(World(0)).values())
    total = sum(found.values())
    for split, share in (("train", 0.78), ("validation", 0.08), ("test", 0.14)):
        error = (share * (1 - share) / total) ** 0.5
        assert found[split] / total == pytest.approx(share, abs=4 * error)


def test_prompts_differ_and_wear_every_opening():
    prompts = World(0).prompts("train", 3000)
    assert len({p.text for p in prompts}) == 3000
    assert all(sum(p.text.startswith(opening) for p in prompts) > 80 for opening in OPENINGS)


def test_what_was_drawn_before_does_not_change_what_is_drawn():
    fresh, used = World(0), World(0)
    used.prompts("train", 50)
    used.corpus(10)
    used.votes(3)
    assert fresh.prompts("test", 100) == used.prompts("test", 100)
    assert fresh.demonstrations(20) == used.demonstrations(20)
    assert fresh.demonstrations(20) == used.demonstrations(40)[:20]


def test_the_question_behind_a_prompt_keeps_its_answer():
    world = World(0)
    for group in world.questions.values():
        for question in group[::7]:
            again = question_of(question.ask("well,"))
            assert again.perfect == question.perfect and again.category == question.category


@pytest.mark.parametrize("count", [1, 5, 10, 33, 99, 101, 800])
def test_as_many_prompts_come_as_were_asked_for(count):
    assert len(World(0).prompts("test", count)) == count


def test_too_many_prompts_are_refused_with_the_number_there_is():
    with pytest.raises(ValueError, match=r"has \d+ validation prompts of \w+, not \d+"):
        World(0).prompts("validation", 1_000_000)


def test_a_world_is_the_same_in_every_process():
    code = (
        "import hashlib, numpy as np; from plaudit.pocket import World; w = World(3);"
        "p = w.prompts('test', 60); r = np.random.default_rng(1);"
        "t = [w.corpus(60), w.demonstrations(40), w.votes(40), w.probes(20), p, w.facts,"
        " [w.candidates(x, r) for x in p]]; digest = hashlib.blake2b(repr(t).encode()).hexdigest()"
    )
    here: dict[str, str] = {}
    exec(code, here)
    other = subprocess.run(
        [sys.executable, "-c", f"{code}; print(digest, hash('salted'))"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"},
    )
    digest, salted = other.stdout.split()
    assert digest == here["digest"] and int(salted) != hash("salted")


def test_making_texts_needs_no_torch():
    code = (
        "import sys, plaudit.pocket, plaudit.feedback.simulated;"
        "plaudit.pocket.World(3).votes(5); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
