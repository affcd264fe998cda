"""A report of any sequence of steps: several policies, several reward models, or only some of it."""

import json
import re
from html import unescape

import pytest
from made_runs import graph, small_run
from test_report_page import Page, words

from plaudit.audit.run import read_run
from plaudit.report.answers import cards
from plaudit.report.build import render
from plaudit.report.context import page_context
from plaudit.report.quality import attributes, gold_scale, policies

PRETRAIN = {"pretrain": {"kind": "pretrain", "on": ("corpus",)}}
SFT = {"sft": {"kind": "sft", "start": "pretrain", "on": ("demonstrations",)}}
RANK = {"rank": {"kind": "rank", "start": "sft", "on": ("prompts",)}}
REWARD = {"reward": {"kind": "reward", "start": "sft", "on": ("rank",)}}


def ppo(start, reward="reward"):
    return {"kind": "ppo", "start": start, "on": ("prompts",), "rewards": (f"step:{reward}",)}


def dpo(start):
    return {"kind": "dpo", "start": start, "on": ("rank",)}


SEQUENCES = {
    "two PPO steps": graph(**PRETRAIN, **SFT, **RANK, **REWARD, ppo_1=ppo("sft"), ppo_2=ppo("ppo-1")),
    "two rounds": graph(
        **PRETRAIN,
        **SFT,
        rank_1={"kind": "rank", "start": "sft", "on": ("prompts",)},
        reward_1={"kind": "reward", "start": "sft", "on": ("rank-1",)},
        ppo_1=ppo("sft", "reward-1"),
        rank_2={"kind": "rank", "start": "ppo-1", "on": ("prompts",)},
        reward_2={"kind": "reward", "start": "sft", "on": ("rank-1", "rank-2")},
        ppo_2=ppo("ppo-1", "reward-2"),
    ),
    "DPO then PPO": graph(**PRETRAIN, **SFT, **RANK, **REWARD, dpo=dpo("sft"), ppo=ppo("dpo")),
    "SFT only": graph(**PRETRAIN, **SFT),
    "a reward model only": graph(
        base={"kind": "base"}, reward={"kind": "reward", "start": "base", "on": ("preferences",)}
    ),
    "no pretraining": graph(
        base={"kind": "base"},
        rank={"kind": "rank", "start": "base", "on": ("prompts",)},
        dpo={"kind": "dpo", "start": "base", "on": ("rank",)},
    ),
    "six policies": graph(
        **PRETRAIN, **SFT, **RANK, **REWARD, dpo=dpo("sft"), ppo_1=ppo("dpo"), kto=dpo("ppo-1") | {"kind": "kto"},
        ppo_2=ppo("kto"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {name: small_run(root / re.sub(r"\W", "", name), steps) for name, steps in SEQUENCES.items()}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("evaluated", [True, False])
def test_every_sequence_has_a_well_formed_page(name, evaluated, tmp_path):
    run = small_run(tmp_path / "run", SEQUENCES[name], evaluated=evaluated, gold=name != "DPO then PPO")
    page = Page(render(run))
    assert page.faults == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    text = "".join(page.text)
    for step, facts in SEQUENCES[name].items():
        assert facts["title"] in text or step == "evaluate"


def test_two_ppo_steps_have_curves_and_samples_of_their_own(runs):
    shown = page_context(read_run(runs["two PPO steps"]))["trainings"]
    assert [part["title"] for part in shown] == ["PPO 1", "PPO 2"]
    for part in shown:
        assert {"Score", "KL from the start"} <= {item["chart"].title for item in part["curves"]}
    page = render(runs["two PPO steps"])
    assert "<h3>PPO 1</h3>" in page and "<h3>PPO 2</h3>" in page


def test_what_each_policy_wrote_while_it_learned_is_shown(tmp_path):
    run = small_run(tmp_path / "run", SEQUENCES["two PPO steps"])
    for step in ("ppo-1", "ppo-2"):
        row = {
            "step": 1,
            "prompt": "how ?",
            "response": f"written by {step}",
            "score": 0.1,
            "kl": 0.2,
            "total": 0.0,
        }
        (run / "stages" / step / "samples.jsonl").write_text(json.dumps(row) + "\n")
    text = words(render(run))
    for title, step in (("PPO 1", "ppo-1"), ("PPO 2", "ppo-2")):
        assert text.index(f"What {title} wrote while it learned") < text.index(f"written by {step}")


def test_dpo_then_ppo_shows_the_curves_of_both_under_their_titles(runs):
    shown = {p["title"]: p for p in page_context(read_run(runs["DPO then PPO"]))["trainings"]}
    assert "Implicit rewards" in {item["chart"].title for item in shown["DPO"]["curves"]}
    assert "Score" in {item["chart"].title for item in shown["PPO"]["curves"]}
    text = words(render(runs["DPO then PPO"]))
    assert (
        text.startswith("plaudit report walk")
        and "DPO and PPO together closed 30% of the gap between the SFT model" in text
    )


def test_every_reward_model_that_was_judged_is_shown_the_last_one_first(runs):
    run = read_run(runs["two rounds"])
    shown = page_context(run)["reward"]
    assert [model["title"] for model in shown["models"]] == ["Reward model 2", "Reward model 1"]
    accuracies = [f"{100 * run.get('reward_models', n, 'accuracy'):.0f}%" for n in ("reward-2", "reward-1")]
    assert [model["main"]["rows"][0]["text"] for model in shown["models"]] == accuracies
    assert [row["label"] for row in shown["all"]["rows"]] == ["Reward model 1", "Reward model 2"]
    section = render(runs["two rounds"]).split('id="reward"')[1].split("</section>")[0]
    assert section.count("Calibration</figcaption>") == 2
    assert "The reward models</h2>" in section and "<summary>Reward model 1</summary>" in section


def test_one_reward_model_is_shown_without_a_comparison(runs):
    shown = page_context(read_run(runs["two PPO steps"]))["reward"]
    assert len(shown["models"]) == 1 and shown["all"] is None
    assert "The reward model</h2>" in render(runs["two PPO steps"])


def test_a_run_of_sft_only_is_compared_with_its_base_and_shows_its_curve(runs):
    text = words(render(runs["SFT only"]))
    assert "SFT closed 30% of the gap between the base model and a perfect answer." in text
    training = text.split("How it trained")[2 if text.count("How it trained") > 1 else 1]
    assert "SFT: loss" in training.split("The reward model")[0] and "holds no such records" not in text
    assert "The run holds no reward model" in text


def test_a_run_of_a_reward_model_only_is_judged_by_it(runs):
    run = read_run(runs["a reward model only"])
    text = words(render(runs["a reward model only"]))
    right = f"{100 * run.get('reward_model', 'accuracy'):.0f}%"
    assert (
        f"This run trained a reward model and no policy: it is right on {right} of 400 held-out pairs."
        in text
    )
    assert "Calibration" in text


def test_without_pretraining_the_base_is_the_policy_as_it_came(runs):
    run = read_run(runs["no pretraining"])
    assert [p.label for p in policies(run)] == ["Base", "DPO", "Perfect"]
    scale = gold_scale(run)
    assert scale["gap"] is not None and not scale["gap"]["lost"]
    assert "the base model" in words(render(runs["no pretraining"]))


def test_many_policies_stay_readable(runs):
    run = read_run(runs["six policies"])
    assert [(p.label, p.main) for p in policies(run)] == [
        ("Base", True), ("SFT", True), ("DPO", False), ("PPO 1", False), ("KTO", False), ("PPO 2", True),
        ("Perfect", True),
    ]  # fmt: skip
    shown = cards(run)
    (card,) = shown["cards"]
    assert [a["label"] for a in card["answers"]] == ["Base", "SFT", "PPO 2"]
    assert [a["label"] for a in card["between"]] == ["DPO", "PPO 1", "KTO"] == shown["between"]
    table = attributes(run)
    assert [head["label"] for head in table["stages"]] == ["Base", "SFT", "PPO 2"]
    assert [head["label"] for head in table["all"]["heads"]] == [
        "Base",
        "SFT",
        "DPO",
        "PPO 1",
        "KTO",
        "PPO 2",
    ]
    facts = dict(table["all"]["lines"])["Facts right"]
    assert facts == ["0%", "10%", "20%", "30%", "40%", "50%"]
    assert all(len(row["cells"]) == 3 for group in table["groups"] for row in group["rows"])
    assert gold_scale(run)["between"] == "DPO −0.20, PPO 1 0.00, KTO 0.20"
    page = unescape(render(runs["six policies"]))
    for name in ("pretrain", "sft", "dpo", "ppo-1", "kto", "ppo-2"):
        assert f"answer of {name}" in page


def test_few_policies_need_nothing_collapsed(runs):
    run = read_run(runs["DPO then PPO"])
    assert attributes(read_run(runs["SFT only"]))["all"] is None
    assert cards(read_run(runs["SFT only"]))["between"] == []
    assert [a["label"] for a in cards(run)["cards"][0]["between"]] == ["DPO"]


def test_labels_of_every_step_and_steps_made_by_other_code_are_listed(tmp_path):
    run = small_run(tmp_path / "run", SEQUENCES["two rounds"])
    record = json.loads((run / "run.json").read_text())
    record["other_code"] = {"sft": "made by other code (methods/supervised.py)"}
    (run / "run.json").write_text(json.dumps(record))
    shown = words(render(run)).split("Record Time")[1].split("Glossary")[0]
    assert "Labels used" in shown
    assert re.search(r"Answers and rankings 1: \d+ rankings", shown)
    assert re.search(r"Answers and rankings 2: \d+ rankings", shown)
    assert "Made by other code" in shown and "sft: made by other code (methods/supervised.py)" in shown
