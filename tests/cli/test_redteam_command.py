"""`plaudit redteam`: a reward without a run, the items that it writes, and mistakes."""

from __future__ import annotations

import json
import shutil

import pytest
from command_line import run
from toy import TEXT, toy_policy

import plaudit
from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.feedback.importing import read_items
from plaudit.models.policy import save_policy
from plaudit.pipeline.run_record import steps_record
from plaudit.runs import RunFolder

COMMON = ("--policy", "model", "--prompts", "q.jsonl", "--limit", "10", "--max-new-tokens", "10")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redteam")
    save_policy(toy_policy(), folder / "model", "toy")
    words = TEXT.split()
    prompts = [{"prompt": " ".join(words[i : i + 4])} for i in range(10)]
    (folder / "q.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    (folder / "attacked_rewards.py").write_text(
        "def brief(sample):\n    return -float(len(sample.answer))\n\n\n"
        "def bold(sample):\n    return brief(sample) + 500.0 * ('**' in sample.answer)\n"
    )
    return folder


def test_finds_are_items_that_people_can_rank(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    spec = ("--reward", "python:attacked_rewards:bold", "--second", "python:attacked_rewards:brief")
    assert run("redteam", *spec, *COMMON, "--rounds", "4", "--out", "finds.jsonl") == 0
    shown = capsys.readouterr().out
    assert "edits in finds: " in shown and "bold" in shown and "to be ranked: finds.jsonl" in shown
    rows = [json.loads(line) for line in (place / "finds.jsonl").open()]
    assert len(rows) >= 8
    made = rows[0]["metadata"]
    assert made["provenance"] == "red-team" and "bold" in made["edits"]
    assert (made["reward"], made["second"]) == (spec[1], spec[3])
    imported = read_items(place / "finds.jsonl")
    assert len(imported.items) == len(rows)
    assert [a.model for a in imported.items[0].answers] == ["red-team", "model"]
    assert imported.items[0].answers[0].text == rows[0]["responses"][0]
    same = plaudit.redteam_reward(
        spec[1], "model", "q.jsonl", second=spec[3], out="again.jsonl", limit=10, rounds=4, max_new_tokens=10
    )
    assert [r["responses"] for r in same["rows"]] == [r["responses"] for r in rows]


def test_a_reward_that_is_the_second_opinion_gives_none(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    spec = ("--reward", "python:attacked_rewards:brief", "--second", "python:attacked_rewards:brief")
    assert run("redteam", *spec, *COMMON, "--out", "none.jsonl") == 0
    assert "finds for 0 of 10 prompts" in capsys.readouterr().out
    assert (place / "none.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reward", "r", "--policy", "p"), "also needs --prompts, --second, --out"),
        (("RUN", "--reward", "r"), "RUN brings its own reward"),
        (("nowhere",), "nowhere"),
    ],
)
def test_mistakes_end_with_code_2(arguments, words, capsys, tmp_path):
    assert run("redteam", *arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "last"), [("redteam", ("--out", ".")), ("audit", ("--detector", "nomodule:nothing"))]
)
def test_all_that_is_named_is_looked_at_before_a_model_is_loaded(verb, last, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr("plaudit.models.policy.load_policy", None)
    wrong = "--reward python:nowhere:f --policy nomodel --prompts no.jsonl --second nosuch"
    assert run(verb, *wrong.split(), *last) == 2
    told = capsys.readouterr().err
    for option in ("[reward]", "[policy]", "[prompts]", "[second]", f"[{last[0][2:]}]"):
        assert option in told, told
    good = ("--reward", "python:attacked_rewards:bold", "--second", "python:attacked_rewards:brief", *COMMON)
    assert run(verb, *good, *last) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    ("verb", "words"),
    [("redteam", ("--out", ".")), ("audit", ("--forecast",)), ("audit", ("--forecast", "--shift"))],
)
def test_what_a_run_brings_is_looked_at_before_a_model_is_loaded(
    verb, words, place, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("plaudit.models.policy.load_policy", None)
    pairs = [{"prompt": f"the cat {i}", "chosen": "sat on a mat", "rejected": "dogs"} for i in range(20)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    recipe = {
        "policy": {"path": str(place / "model")},
        "data": {"preferences": "pairs.jsonl", "preference_validation": 0.5},
        "steps": {"reward": {}, "ppo": {}},
        "evaluate": {"proxy": {}, "max_new_tokens": 120},
    }
    config = validate(recipe, "own")
    graph = graph_of(config)
    folder = RunFolder("run")
    record = {"config": json.loads(config.model_dump_json()), "steps": steps_record(graph)}
    resolved = {"precision": "fp32", "memory_gib": None}
    folder.write_json("run.json", {**record, "places": graph.places, "resolved": resolved})
    shutil.copytree(place / "model", folder.stage("base").model)
    shutil.copytree(place / "model", folder.stage("reward").model)
    assert run(verb, "run", *words, "--second", "nosuch") == 2
    told = capsys.readouterr().err
    assert "[second]: there is no model folder nosuch" in told, told
    assert "[steps.reward]" in told and "is a language model, not a reward model" in told
    if verb == "redteam":
        assert "[steps.ppo]: run has no policy of its step 'ppo' → make it: plaudit resume run" in told
        assert "[out]" in told
        shutil.rmtree(folder.stage("reward").path)
    (tmp_path / "pairs.jsonl").unlink()
    assert run(verb, "run", *words) == 2
    told = capsys.readouterr().err
    assert "[steps.proxy]: run has no reward model of its step 'proxy'" in told, told
    assert "[prompts]" in told and "pairs.jsonl" in told
    assert (verb == "redteam") == ("run has no reward model of its step 'reward'" in told)
