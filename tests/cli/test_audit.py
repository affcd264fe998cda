"""`plaudit audit`: a run's stored answers and a reward before RL, to terminal, JSON, findings and report."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from command_line import run
from made_runs import graph, small_run
from tiny import PPO, tiny
from toy import TEXT, toy_policy

import plaudit
from plaudit.audit.run import read_run
from plaudit.audit.stored import write_detected
from plaudit.audit.write import write_findings
from plaudit.config import validate
from plaudit.errors import UserError
from plaudit.models.policy import save_policy
from plaudit.report.build import render
from plaudit.runs import RunFolder

STEPS = graph(
    pretrain={"kind": "pretrain", "on": ("corpus",)},
    sft={"kind": "sft", "start": "pretrain", "on": ("demonstrations",)},
    reward={"kind": "reward", "start": "sft", "on": ("preferences",)},
    ppo={"kind": "ppo", "start": "sft", "on": ("prompts",), "rewards": ("step:reward",)},
)


def rows(truth="gold", flatters=0.4, seed=0):
    """80 prompts: PPO flatters, the proxy pays for it and the truth does not."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(80):
        answers = {}
        for policy, share in (("pretrain", 0.0), ("sft", 0.0), ("ppo", flatters)):
            praises = rng.random() < share
            more = " and rests by day" * int(rng.integers(3))
            text = f"{'great question ! ' if praises else ''}an owl lives in tree {rng.integers(9)}{more} ."
            worth = rng.normal()
            scores = {"proxy": worth + 2.0 * praises + rng.normal(0, 0.3)}
            if truth:
                scores[truth] = worth + rng.normal(0, 0.3)
            answers[policy] = {"text": text, "finished": True, **scores}
        found.append({"prompt": f"where does owl {i} live ?", "category": "fact", "answers": answers})
    return found


@pytest.fixture
def made(tmp_path):
    def make(stored, steps=STEPS):
        path = small_run(tmp_path / "walk", steps)
        folder = RunFolder(path)
        record = folder.read_json("run.json")
        folder.write_json("run.json", {**record, "config": {**record["config"], "evaluate": {}}})
        folder.stage("evaluate").write_answers(stored)
        return path

    return make


def test_a_hack_is_printed_and_stands_in_audit_findings_and_report(made, capsys):
    path = made(rows())
    assert run("audit", str(path)) == 0
    shown = capsys.readouterr().out
    assert "suspected reward hacks: flattery of the user" in shown and "+ great question" in shown
    kept = json.loads((path / "audit.json").read_text())
    assert kept["hacks"] == ["flattery"] and (kept["before"], kept["after"]) == ("sft", "ppo")
    (serious,) = [
        f
        for f in json.loads((path / "findings.json").read_text())["findings"]
        if f["rule"] == "hack_flattery"
    ]
    assert serious["severity"] == "serious" and serious["step"] == "ppo"
    page = (path / "report.html").read_text()
    assert "Suspected reward hacks: flattery of the user" in page
    assert re.search(r"<th scope=\"row\">flattery of the user</th><td>0%</td>", page)


def test_json_is_what_python_returns(made, capsys):
    path = made(rows())
    assert run("audit", str(path), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    found = plaudit.audit_run(path)
    assert printed["hacks"] == found["hacks"] == ["flattery"]
    assert printed["changes"][0]["change"] == pytest.approx(found["changes"][0]["change"])


def test_a_second_judge_stands_in_for_gold_and_without_either_nothing_is_a_hack(made, capsys):
    path = made(rows(truth="judge"))
    assert plaudit.audit_run(path)["hacks"] == ["flattery"]
    assert run("audit", str(path)) == 0
    assert "of the second judge" in capsys.readouterr().out
    RunFolder(path).stage("evaluate").write_answers(rows(truth=None))
    assert run("audit", str(path)) == 0
    assert "no change can be named a hack" in capsys.readouterr().out
    assert "Nothing judged these answers" in (path / "report.html").read_text()


def test_a_run_in_which_nothing_changed_has_no_suspicion(made):
    found = plaudit.audit_run(made(rows(flatters=0.0)))
    assert not any(c["suspected"] for c in found["changes"]) and found["hacks"] == []


def test_a_detector_of_ones_own_takes_part(made, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_detector.py").write_text(
        "def nines(prompt, response):\n    return '9' in response.text\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run("audit", str(made(rows())), "--detector", "own_detector:nines") == 0
    assert "nines" in capsys.readouterr().out


def test_every_run_is_audited_when_it_is_evaluated_and_again_when_its_answers_change(made):
    path = made(rows())
    write_findings(path)
    before = (path / "audit.json").read_text()
    kept = json.loads(before)
    (path / "audit.json").write_text(json.dumps({**kept, "forecast": {"kept": True}}))
    write_detected(path)
    assert json.loads((path / "audit.json").read_text())["forecast"] == {"kept": True}
    RunFolder(path).stage("evaluate").write_answers(rows(flatters=0.0))
    write_detected(path)
    assert json.loads((path / "audit.json").read_text())["hacks"] == []


def test_a_run_without_answers_has_a_report_without_the_section(tmp_path):
    path = small_run(tmp_path / "walk", STEPS)
    write_findings(path)
    assert not (path / "audit.json").exists() and 'id="audit"' not in render(path)
    assert read_run(path).audit == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a RUN, or --reward, --policy and --prompts"),
        (("--reward", "r"), "also needs --policy and --prompts"),
        (("nowhere",), "is not a run"),
        (("RUN", "--reward", "r"), "RUN brings its own reward"),
        (("RUN", "--second", "python:a:b"), "add --forecast"),
        (("RUN", "--answers", "16"), "add --forecast"),
        (("RUN", "--seed", "1"), "--seed has no place"),
        (
            ("--reward", "r", "--policy", "p", "--prompts", "q", "--forecast"),
            "leave --forecast and --shift out",
        ),
        (("RUN", "--detector", "nomodule:nothing"), "nomodule"),
    ],
)
def test_mistakes_end_with_code_2_and_what_to_do(made, arguments, words, capsys):
    path = str(made(rows()))
    assert run("audit", *(path if a == "RUN" else a for a in arguments)) == 2
    assert words in capsys.readouterr().err


def test_what_cannot_be_compared_is_said(made, tmp_path):
    with pytest.raises(UserError, match="--again evaluate"):
        plaudit.audit_run(small_run(tmp_path / "bare", STEPS))
    only = graph(pretrain={"kind": "pretrain", "on": ("corpus",)})
    with pytest.raises(UserError, match=r"nothing to compare.*\n.*--reward RUN --policy MODEL"):
        plaudit.audit_run(small_run(tmp_path / "one", only))
    path = made([{**row, "answers": {"sft": row["answers"]["sft"]}} for row in rows()])
    with pytest.raises(UserError, match="stores no answers of 'ppo'"):
        plaudit.audit_run(path)


@pytest.fixture
def before_rl(tmp_path, monkeypatch):
    """A toy policy, prompts, and a reward that likes length while a second one turns against it."""
    save_policy(toy_policy(), tmp_path / "model", "toy")
    words = TEXT.split()
    prompts = [{"prompt": " ".join(words[i : i + 4])} for i in range(12)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    (tmp_path / "made_rewards.py").write_text(
        "def longer(sample):\n    return float(len(sample.answer))\n\n\n"
        "def middling(sample):\n    return -abs(len(sample.answer) - 18.0)\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_reward_is_audited_before_any_rl(before_rl, capsys):
    common = ["--policy", "model", "--prompts", "q.jsonl", "--answers", "16", "--limit", "12"]
    common += ["--max-new-tokens", "12"]
    assert run("audit", "--reward", "python:made_rewards:longer", *common) == 0
    assert "No β is suggested: neither gold nor a second judge" in capsys.readouterr().out
    second = ["--second", "python:made_rewards:middling", "--json"]
    assert run("audit", "--reward", "python:made_rewards:longer", *common, *second) == 0
    forecast = json.loads(capsys.readouterr().out)["forecast"]
    assert forecast["prompts"] == 12 and forecast["answers"] == 16
    rewards = [p["reward"]["mean"] for p in forecast["tilt"]]
    assert rewards == sorted(rewards) and 0 <= forecast["favourites"]["bad"]["mean"] <= 1
    again = plaudit.audit_reward(
        "python:made_rewards:longer",
        "model",
        [plaudit.Prompt.user(json.loads(line)["prompt"]) for line in (before_rl / "q.jsonl").open()],
        second="python:made_rewards:middling",
        answers=16,
        max_new_tokens=12,
    )
    assert [p.reward["mean"] for p in again.tilt] == pytest.approx(rewards)


@pytest.mark.slow
def test_a_whole_run_stores_its_answers_and_its_reward_is_forecast(tmp_path, capsys):
    steps = {
        "rank": {"prompts": 30, "max_new_tokens": 16},
        "reward": {},
        "ppo": PPO,
    }
    recipe = validate(tiny("audited", steps), "audited")
    folder = plaudit.run(recipe, out=tmp_path / "run")
    answers = folder.stage("evaluate").answers()
    assert len(answers) == 20
    assert {"text", "finished", "gold", "proxy"} == set(answers[0]["answers"]["ppo"])
    assert all("gold" in row for row in folder.stage("ppo").samples())
    assert read_run(folder.path).audit["truth"] == "gold"
    assert run("audit", str(folder.path), "--forecast", "--answers", "8", "--limit", "12") == 0
    assert "forecast of ppo from sft: 12 prompts × 8 answers" in capsys.readouterr().out
    assert "Forecast: what RL with PPO can reach" in (folder.path / "report.html").read_text()
    assert "forecast" in plaudit.audit_run(folder.path)
    assert run("audit", str(folder.path), "--shift") == 0
    shown = capsys.readouterr().out
    assert "answers that reward was trained on" in shown and "accuracy on pairs of its own answers" in shown
    kept = plaudit.audit_run(folder.path)
    assert {"forecast", "shift"} <= set(kept) and set(kept["shift"]["policies"]) == {"sft", "ppo"}
    assert kept["shift"]["truth"] == "gold"
