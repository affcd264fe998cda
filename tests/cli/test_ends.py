"""For every method that can end a run: whatever names the run speaks of its end, and says which step that is."""

from __future__ import annotations

import io
import json
import sqlite3
import sys

import pytest
from command_line import run
from toy import toy_policy

from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Message, Prompt
from plaudit.feedback.sampling import Drawing, draw_answers, voices_of
from plaudit.generation.chat import LocalChatModel, load_chat_models, locate_models
from plaudit.models.policy import save_policy
from plaudit.pipeline.run_record import ending, steps_record
from plaudit.protocols import ChatModel
from plaudit.registry import METHODS
from plaudit.runs import RunFolder

FINAL = [name for name, method in METHODS.items() if method.trains_policy]
PROMPT = "the cat"


def recipe(method: str, *before: str) -> dict:
    """Everything that a method may need, then the method."""
    steps = ["pretrain", "sft", "rank", "reward", *before, method]
    return {"name": "a-run", "world": {"kind": "pocket"}, "steps": {name: {} for name in steps}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Four policies that answer differently; no name of theirs tells which is which."""
    root = tmp_path_factory.mktemp("models")
    for seed in range(4):
        save_policy(toy_policy(seed), root / str(seed), card="# A toy")
    return root


@pytest.fixture(scope="module")
def said(models):
    """The two answers of each of them to a prompt, at seed 0, without control characters."""
    found = {}
    for seed in range(4):
        model = LocalChatModel("", models / str(seed))
        drawn = model.answer([Message("user", PROMPT)], temperature=1.0, max_new_tokens=6, n=2)
        found[seed] = [printed(answer) for answer in drawn]
    assert len({answers[0] for answers in found.values()}) == 4
    return found


def printed(text):
    return "".join(c for c in text if c.isprintable())


def made(root, models, raw, **policies):
    """A run as if it had been trained: each step's policy is one of the models."""
    folder = RunFolder(root / "a-run")
    config = validate(raw, "test")
    graph = graph_of(config)
    record = {"name": "a-run", "steps": steps_record(graph), "places": graph.places}
    folder.write_json("run.json", record | {"config": json.loads(config.model_dump_json())})
    for step, number in policies.items():
        folder.stage(step).path.mkdir(parents=True)
        folder.stage(step).model.symlink_to(models / str(number))
    for step in graph.nodes:
        folder.stage(step).write_json("stage.json", {"status": "done", "seconds": 1.0})
    return folder


@pytest.fixture(params=FINAL)
def ended(request, tmp_path, models, monkeypatch):
    """A run that ends with a method, and the method."""
    monkeypatch.chdir(tmp_path)
    method = request.param
    made(tmp_path, models, recipe(method), pretrain=0, sft=1, **{method: 2})
    return method


def answers(capsys, *source):
    """What `plaudit sample` says on standard error, and prints."""
    assert run("sample", *source[:1], PROMPT, "-n", "2", "--max-new-tokens", "6", *source[1:]) == 0
    shown = capsys.readouterr()
    return shown.err, printed(shown.out)


def test_there_are_eleven_methods_that_end_a_run():
    assert len(FINAL) == 11


def test_sample_answers_as_the_end_and_names_it(ended, said, capsys):
    for source in (["a-run"], [f"a-run@{ended}"]):
        err = f"model: a-run@{ended}\nnext: plaudit chat {source[0]}\n"
        assert answers(capsys, *source) == (err, "".join(said[2]))
    err = "model: a-run@sft\nnext: plaudit chat a-run@start\n"
    assert answers(capsys, "a-run", "--step", "start") == (err, "".join(said[1]))


def test_chat_speaks_as_the_end_and_side_by_side_as_start_and_end(ended, said, capsys, monkeypatch):
    def talk(*arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PROMPT}\n"))
        assert run("chat", *arguments, "--temperature", "1", "--max-new-tokens", "6") == 0
        shown = capsys.readouterr()
        return shown.err, printed(shown.out)

    assert talk("a-run") == (f"model: a-run@{ended}\n", said[2][0])
    both = f"a-run@sft: {said[1][0]}a-run@{ended}: {said[2][0]}"
    assert talk("a-run", "--side-by-side") == (f"model: a-run@sft and a-run@{ended}\n", both)


def test_people_are_shown_the_answers_of_the_end_under_its_full_name(ended, models, tmp_path):
    prompts, how = [Prompt.user(PROMPT)], Drawing(answers=2, max_new_tokens=6)
    (voice,) = voices_of(["a-run"])
    round_ = draw_answers([voice], prompts, how, tmp_path / "drawn.jsonl")
    assert round_.models[0]["name"] == f"a-run@{ended}" and round_.models[0]["stage"] == ended
    # A sample depends on the name it is drawn under: the model itself, under that name, says the same.
    (tmp_path / f"a-run@{ended}").symlink_to(models / "2")
    draw_answers(voices_of([f"./a-run@{ended}"]), prompts, how, tmp_path / "model.jsonl")
    row, model = (json.loads((tmp_path / name).read_text()) for name in ("drawn.jsonl", "model.jsonl"))
    assert row["model"] == model["model"] == f"a-run@{ended}"
    assert row["answers"] == model["answers"]


def test_collect_prints_the_model_that_it_takes_and_stores_its_full_name(
    tmp_path, models, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    made(tmp_path, models, recipe("dpo"), pretrain=0, sft=1, dpo=2)
    (tmp_path / "ask.jsonl").write_text(json.dumps({"prompt": PROMPT}) + "\n")
    words = ["--prompts", "ask.jsonl", "--max-new-tokens", "6", "--no-serve", "--model", "a-run@start"]
    assert run("collect", "--project", "one", "--model", "a-run", *words) == 0
    assert "model: a-run@dpo\nmodel: a-run@sft\n" in capsys.readouterr().err
    with sqlite3.connect(tmp_path / "one/collect.db") as connection:
        names = connection.execute("SELECT DISTINCT model FROM answers ORDER BY model").fetchall()
    assert names == [("a-run@dpo",), ("a-run@sft",)]
    assert run("collect", "--project", "two", *words, "--model", "a-run@dop") == 2
    assert "did you mean 'dpo'" in capsys.readouterr().err and not (tmp_path / "two").exists()


def test_evaluate_tells_the_numbers_of_the_end_and_names_it(ended, tmp_path, capsys, monkeypatch):
    from plaudit.pipeline import run as pipeline

    folder = RunFolder(tmp_path / "a-run")
    value = {"mean": 0.75, "low": 0.7, "high": 0.8}
    policies = {"base": "pretrain", "start": "sft", "end": ended}
    gold = {"end": value, ended: value, "start": value, "sft": value}
    folder.write_json(
        "summary.json",
        {"name": "a-run", "judge": "gold", "policies": policies, "gold": gold, "kl": {"exact": 2}},
    )
    monkeypatch.setattr(pipeline, "evaluate_only", RunFolder.existing)
    assert run("evaluate", "a-run") == 0
    shown = capsys.readouterr().out
    assert f"end: a-run@{ended}" in shown and "start: a-run@sft" in shown
    assert "gold end" in shown and "0.750" in shown
    assert shown.endswith("next: plaudit chat a-run --side-by-side\n")


def test_the_end_of_a_run_is_said_when_it_is_done(ended, tmp_path):
    config = validate(recipe(ended), "test")
    line = ending(graph_of(config), RunFolder("a-run"))
    assert (
        line == f"model: a-run@{ended} (a-run/stages/{ended}/model); next: plaudit chat a-run --side-by-side"
    )


def test_the_last_of_several_methods_is_the_end(tmp_path, models):
    raw = recipe("ppo-2", "ppo", "dpo")
    made(tmp_path, models, raw, pretrain=0, sft=1, ppo=2, dpo=2, **{"ppo-2": 3})
    (found,) = locate_models(str(tmp_path / "a-run"))
    assert (found.name, found.folder.resolve()) == ("a-run@ppo-2", models / "3")
    (model,) = load_chat_models([found])
    speaks: ChatModel = model  # mypy holds it to the protocol
    assert speaks.name == "a-run@ppo-2"
    assert [f.step for f in locate_models(str(tmp_path / "a-run"), count=2)] == ["sft", "ppo-2"]


def test_a_run_that_has_not_come_to_its_end_says_so(tmp_path, models, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made(tmp_path, models, recipe("dpo"), pretrain=0, sft=1)
    said = answers(capsys, "a-run")[0]
    assert said.startswith("model: a-run@sft (the run's end, dpo, is not trained yet)\n")
    assert run("chat", "a-run", "--side-by-side") == 2
    assert "side by side needs two policies: only 'sft' has a policy" in capsys.readouterr().err
    (tmp_path / "a-run/stages/sft/model").unlink()
    assert run("sample", "a-run@start", PROMPT) == 2
    said = capsys.readouterr().err
    assert "no policy at `start`: its step sft is not trained yet" in said and "plaudit resume a-run" in said
