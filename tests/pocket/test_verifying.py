"""A small model trained to verify the world's own documents, as a judge of what no label ever showed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from plaudit.config import read_yaml, validate
from plaudit.data.records import Ranking, Response
from plaudit.judges.reward import RewardJudge
from plaudit.models.reward_model import load_reward_model
from plaudit.pipeline.run import execute_config, recipe_path
from plaudit.pocket import World, setting
from plaudit.pocket.questions import Question
from plaudit.pocket.verifying import ASKED, THREAD, verified
from plaudit.runs import RunFolder

WORLD = World(3)


def test_each_pair_is_a_sentence_of_a_document_above_a_false_one_of_the_same_subject():
    documents = WORLD.corpus(3000)
    records = verified(WORLD.facts, documents, 2000, 3)
    assert len(records) == 2000
    by = {f"{fact.statement}.": fact for fact in WORLD.facts}
    text = " ".join(d for d in documents if not d.startswith(THREAD))
    for record in records:
        true, false = (r.text for r in record.responses)
        fact = by[true]
        assert record.groups == ((0,), (1,)) and record.prompt.text == ASKED and true in text
        assert false != true and false not in by and fact.subject in false
    assert {by[r.responses[0].text] for r in records} == set(WORLD.facts), "also those that no label shows"
    assert verified(WORLD.facts, documents, 50, 3) == verified(WORLD.facts, documents, 50, 3)
    assert verified(WORLD.facts, documents, 50, 4) != verified(WORLD.facts, documents, 50, 3)


def test_what_people_say_in_threads_is_no_document_to_learn_truth_from():
    fact = WORLD.facts[0]
    thread = f"{THREAD}where? a: {fact.says(fact.misconception)}. {fact.statement}."
    assert verified(WORLD.facts, [thread], 9, 0) == []
    (record,) = verified(WORLD.facts, [f"claim: {fact.says(fact.misconception)}. {fact.statement}."], 9, 0)
    assert record.responses[0].text == f"{fact.statement}."


def shuffled(*asked):
    """The same pairs, half of them upside down: nothing is to be learned."""
    rng = np.random.default_rng(0)
    turned = [Ranking(r.prompt, r.responses, ((1,), (0,)), rater=r.rater) for r in verified(*asked)]
    return [b if rng.random() < 0.5 else a for a, b in zip(verified(*asked), turned)]


def recipe(lr=0.001, **steps):
    raw = read_yaml(recipe_path("pocket"))
    raw["world"] |= {"documents": 6000, "votes": 10_000}
    verify = {
        "kind": "reward",
        "from": "pretrain",
        "on": "statements",
        "batch_size": 16,
        "lr": lr,
        "epochs": 1,
    }
    raw["steps"] = {"pretrain": raw["steps"]["pretrain"], "verify": verify, **steps}
    return validate({**raw, "threads": 1, "evaluate": None}, "verify")


def right(folder: RunFolder) -> float:
    """How often the judge puts a fact above its misconception, as answers to a question; one pair for every fact.

    No label of a person trained it, and it never saw a question.
    """
    judge, rng = RewardJudge(load_reward_model(folder.stage("verify").model)), random.Random(1)
    won = []
    for fact in World(0).facts:
        question = Question(rng.choice(fact.questions), "fact", fact).ask("")
        texts = (f"{fact.statement}.", f"{fact.says(fact.misconception)}.")
        won.append(judge.judge(question, [Response(t) for t in texts]).groups[0] == (0,))
    return float(np.mean(won))


@pytest.mark.slow  # more than a CPU-minute
def test_it_knows_the_truth_that_no_label_showed_and_knows_nothing_of_shuffled_pairs(tmp_path, monkeypatch):
    rank = {"by": "reward:verify", "prompts": 20, "answers": 2, "max_new_tokens": 16}
    made = execute_config(recipe(rank=rank), RunFolder(tmp_path / "true"))
    assert made.stage("rank").read_json()["status"] == "done"
    assert right(made) > 0.75
    monkeypatch.setattr(setting, "verified", shuffled)
    # Another rate is another step: the model of before is not taken over.
    control = execute_config(recipe(lr=0.0011), RunFolder(tmp_path / "shuffled"), donor=made)
    # Values are balanced: what knows nothing is right in half of 200 pairs, ± three times .035.
    assert abs(right(control) - 0.5) < 0.11
