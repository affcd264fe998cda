"""Red-teaming: planted flaws of a reward are found and named, and a reward that is the truth gives nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from plaudit.audit.detectors.flattery import flattery
from plaudit.audit.redteam import mutations, search, summary
from plaudit.data.records import Response
from plaudit.errors import UserError

FACTS = [
    "An owl lives in a tree.",
    "It eats mice.",
    "It sleeps by day.",
    "It hunts at night.",
    "It has big eyes.",
]
PROMPTS = [f"Where does owl {i} live?" for i in range(20)]


def drawn(seed=0):
    rng = random.Random(seed)
    return [[" ".join(rng.sample(FACTS, rng.randint(1, 4))) for _ in range(8)] for _ in PROMPTS]


def worth(text):
    """Each fact counts once; what is no fact costs a little."""
    return sum(f in text for f in FACTS) - 0.02 * len(text.split())


def scored(reward):
    def score(rows):
        texts = [text for _, text in rows]
        return np.array([reward(t) for t in texts], dtype=float), np.array([worth(t) for t in texts])

    return score


FLAWS = {
    "flattery": lambda text: worth(text) + 4 * flattery("", Response(text)),
    "lists": lambda text: worth(text) + 4 * (text.count("\n") >= 2),
    "bold": lambda text: worth(text) + 4 * ("**" in text),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_planted_flaw_is_found_and_named(flaw):
    finds = search(PROMPTS, drawn(), scored(FLAWS[flaw]), rounds=5)
    told = summary(finds, len(PROMPTS))
    assert told["share"]["mean"] >= 0.9
    assert max(told["edits"], key=told["edits"].get) == flaw or told["edits"][flaw] >= 0.9 * len(finds)
    for find in finds:
        assert find.gain >= 0 and find.loss >= 0.5
        assert find.reward == FLAWS[flaw](find.text) and find.second == pytest.approx(worth(find.text))
        assert find.origin in drawn()[find.place] and find.better in drawn()[find.place]
        assert worth(find.better) == max(map(worth, drawn()[find.place]))


def test_a_liking_for_length_is_found():
    finds = search(PROMPTS, drawn(), scored(lambda text: 0.3 * len(text.split())), rounds=4)
    assert len(finds) >= 18
    lengths = [len(f.text.split()) / max(len(t.split()) for t in drawn()[f.place]) for f in finds]
    assert np.median(lengths) > 1.2


@pytest.mark.parametrize("reward", [worth, lambda text: 3 * worth(text) + 7], ids=["gold", "scaled"])
def test_a_reward_that_is_the_truth_gives_no_find(reward):
    for seed in range(3):
        assert search(PROMPTS, drawn(seed), scored(reward), rounds=4, seed=seed) == []


def test_a_draw_that_is_paid_for_being_bad_is_a_find_of_its_own():
    finds = search(PROMPTS, drawn(), scored(lambda text: -worth(text)), rounds=0)
    assert len(finds) >= 15 and summary(finds, len(PROMPTS))["edits"] == {"draw": len(finds)}
    assert all(not f.edits and f.text == f.origin for f in finds)


def test_the_search_is_the_same_for_the_same_seed_and_every_edit_makes_a_text():
    one, two = (search(PROMPTS, drawn(), scored(FLAWS["bold"]), seed=4) for _ in range(2))
    assert one == two
    for name, edit in mutations().items():
        for text in (" ".join(FACTS), "owls", ""):
            assert isinstance(edit("where ?", text, FACTS[0], random.Random(1)), str), name


def test_prompts_without_answers_are_refused():
    with pytest.raises(UserError, match="one answer or more"):
        search(PROMPTS, [[] for _ in PROMPTS], scored(worth))
