"""`by: people`: a run fills a labeling project, waits for two people, and learns from what they said, once."""

from __future__ import annotations

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
import yaml
from labelers import Labelers
from tiny import PPO, example, sized, tiny

import plaudit
from plaudit.cli import main
from plaudit.config import validate
from plaudit.data.readers.read import read
from plaudit.data.records import Prompt, Response
from plaudit.errors import UserError
from plaudit.pipeline.comparison.run import compare
from plaudit.pipeline.run import resume, run
from plaudit.pipeline.stages import file_hash
from plaudit.pipeline.steps import people as asking, ranked_items
from plaudit.rewards import Sample
from plaudit.runs import RunFolder
from plaudit.web.rendering import to_html

RANK = {
    "by": "people",
    "prompts": 12,
    "answers": 3,
    "max_new_tokens": 16,
    "enough": {"items": 5, "overlap": 2},
}
# The steps of docs/recipes.md, at a size that takes seconds.
SIZES = {"rank": RANK, "reward": {"max_steps": 3}, "ppo": PPO}
RECIPE = tiny("asked", sized(example("people")["steps"], SIZES), evaluate=None)


def cli(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(w) for w in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The whole way: what each command printed and exited with, the folder, and its labelers."""
    root = tmp_path_factory.mktemp("people")
    (root / "asked.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    out = root / "run"
    people = Labelers(out / "projects" / "rank", ["Ann", "Bo"])
    told = []

    def say(*words):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = cli(*words)
        told.append((code, printed.getvalue()))

    say("run", root / "asked.yaml", "--out", out)
    people.judge(4, 2)
    say("resume", out)
    before = json.loads((out / "stages/rank/stage.json").read_text())
    say("run", root / "asked.yaml", "--out", out, "--set", "steps.rank.enough.items=4")
    people.judge(5, 5)
    say("resume", out)
    return RunFolder(out), told, people, before, root


def test_a_run_waits_with_exit_code_3_and_says_where_people_judge(walked):
    folder, told, *_ = walked
    project = folder.path / "projects" / "rank"
    assert [code for code, _ in told] == [3, 3, 3, 0], told
    first = told[0][1]
    assert "0 of 5" in first and "by 2 people each" in first
    assert f"plaudit collect --project {project}" in first and f"plaudit resume {folder.path}" in first
    assert "Traceback" not in first


def test_resume_counts_items_that_all_their_people_have_judged(walked):
    _, told, people, *_ = walked
    both = {json.dumps(t["prompt"]) for t in people.seen[:4]} & {
        json.dumps(t["prompt"]) for t in people.seen[4:6]
    }
    assert f"{len(both)} of 5" in told[1][1] and "[1/5] pretrain: unchanged, skipped" in told[1][1]


def test_a_changed_enough_neither_draws_nor_asks_anew(walked):
    folder, told, _, before, _ = walked
    assert before["status"] == "running"
    assert "of 4 items" in told[2][1] and "rank: resumed" in told[2][1]
    assert not (folder.path / "replaced").exists()


def test_what_people_gave_is_frozen_and_its_hash_is_the_steps_key(walked):
    folder, _, people, _, _ = walked
    record = folder.stage("rank").read_json()
    export = folder.stage("rank").path / "judgements.jsonl"
    assert record["key"] == file_hash(export) and record["status"] == "done"
    assert (
        record["judgements"] == len(read(export).records) == len(people.seen) == 16 and record["people"] == 2
    )
    assert record["rankings"] + record["held_out"] == 16
    for name in ("reward", "ppo"):
        assert folder.stage(name).read_json()["status"] == "done"
        assert (folder.stage(name).model / "model.safetensors").exists()


def test_training_learns_from_the_answers_that_people_put_first(walked):
    folder, *_ = walked
    stage = folder.stage("rank").path
    parts = [stage / p for p in ("train.jsonl", "held_out.jsonl") if (stage / p).stat().st_size]
    records = [r for part in parts for r in read(part).records]
    items = {
        (json.dumps(row["prompt"]), tuple(sorted(a["text"] for a in row["responses"])))
        for row in map(json.loads, (stage / "items.jsonl").read_text().splitlines())
    }
    for record in records:
        key = json.dumps([m.as_dict() for m in record.prompt.messages])
        assert (key, tuple(sorted(r.text for r in record.responses))) in items
        # The first on the page was put first: the record knows in which order the page showed them.
        assert [i for (i,) in record.groups] == record.metadata["order"]


def test_judgements_that_come_later_change_nothing(walked):
    folder, _, people, _, root = walked
    before = {p: p.stat().st_mtime_ns for p in (folder.path / "stages").rglob("*") if p.is_file()}
    people.names.append("Cy")
    people.judge(0, 2, 0)
    assert resume(folder.path).path == folder.path
    run(root / "asked.yaml", ["steps.rank.enough={items: 12, overlap: 3}"], folder.path)
    assert {p: p.stat().st_mtime_ns for p in (folder.path / "stages").rglob("*") if p.is_file()} == before


def test_people_who_answered_under_other_settings_are_named_and_not_asked_again(walked, capsys, tmp_path):
    folder, *_, root = walked
    shutil.copytree(folder.path, tmp_path / "run")
    run(root / "asked.yaml", ["steps.rank.prompts=11"], tmp_path / "run")
    said = " ".join(capsys.readouterr().out.split())
    assert "rank: people answered it under other settings, or after other steps, kept" in said
    assert "--again rank" in said and "ppo: unchanged, skipped" in said


def test_in_python_a_run_that_waits_raises(tmp_path):
    with pytest.raises(plaudit.Waiting, match=r"0 of 3 items .* by people\n.*plaudit collect --project"):
        plaudit.run(
            plaudit_config(
                {"rank": {**RANK, "prompts": 3, "project": str(tmp_path / "named"), "enough": None}}
            ),
            out=tmp_path / "run",
        )
    assert (tmp_path / "named" / "collect.db").exists()


def plaudit_config(steps):
    raw = tiny("asked", steps, evaluate=None)
    raw["steps"] = steps
    return validate(raw, "asked")


def test_compare_refuses_a_recipe_that_asks_people(tmp_path):
    path = tmp_path / "asked.yaml"
    path.write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    with pytest.raises(UserError, match="asks people") as refused:
        compare(path, methods=["dpo"], out=tmp_path / "cmp")
    assert "data.preferences" in str(refused.value) and not (tmp_path / "cmp").exists()


def made_up(prompt: Prompt, texts: list[str]) -> list[Sample]:
    ids = np.array([1])
    return [Sample(prompt=prompt, prompt_ids=ids, ids=ids, text=t, answer=t, finish="end") for t in texts]


ANSWERS = ["", " \n", "  an owl\r\nlives <b>here</b>  ", "an owl"]


def test_people_are_shown_empty_answers_and_every_answer_is_kept_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(
        ranked_items,
        "answer",
        lambda context, policy, prompts, settings, **options: [
            s for p in prompts for s in made_up(p, ANSWERS)
        ],
    )
    steps = {"rank": {**RANK, "prompts": 2, "answers": 4, "enough": None, "validation": 0.0}}
    with pytest.raises(plaudit.Waiting):
        run(plaudit_config(steps), out=tmp_path / "run")
    people = Labelers(tmp_path / "run" / "projects" / "rank", ["Ann"])
    people.judge(2)
    folder = resume(tmp_path / "run")
    for record in read(folder.stage("rank").path / "train.jsonl").records:
        assert sorted(r.text for r in record.responses) == sorted(ANSWERS)
    assert to_html(ANSWERS[2]) in [a["html"] for a in people.seen[0]["answers"]]


def test_each_answer_is_kept_with_the_policy_that_wrote_it(tmp_path, monkeypatch):
    drawn = iter((["an owl", "a fox"], ["a cat", "a dog"]))

    def answer(context, policy, prompts, settings, **options):
        texts = next(drawn)
        return [s for p in prompts for s in made_up(p, texts)]

    monkeypatch.setattr(ranked_items, "answer", answer)
    rank = {**RANK, "prompts": 2, "answers": 4, "enough": None}
    steps = {
        "first": {"kind": "base"},
        "sft": {"max_steps": 1},
        "rank": {**rank, "from": "sft", "beside": ["first"], "scripted_share": 0.0},
    }
    with pytest.raises(plaudit.Waiting):
        run(plaudit_config(steps), out=tmp_path / "run")
    items = (tmp_path / "run" / "stages" / "rank" / "items.jsonl").read_text().splitlines()
    for item in map(json.loads, items):
        of = {r["text"]: r["model"] for r in item["responses"]}
        assert of == dict.fromkeys(("an owl", "a fox"), "asked@sft") | dict.fromkeys(
            ("a cat", "a dog"), "asked@first"
        )
    assert len(items) == 2


def test_why_an_answer_was_chosen_goes_with_it_to_people_and_back():
    from plaudit.feedback.importing import items_of_rows

    marks = ("favourite", "random")
    shown = [Response(why, metadata={"model": "m", "chosen": why}) for why in marks]
    made = items_of_rows([asking._row(Prompt.user("q"), shown)], purpose="work", source="x", max_dropped=0.0)
    assert [a.info for a in made.items[0].answers] == [{"chosen": why} for why in marks]
    (plain,) = items_of_rows(
        [asking._row(Prompt.user("q"), [Response(t, metadata={"model": "m"}) for t in "ab"])],
        purpose="work",
        source="x",
        max_dropped=0.0,
    ).items
    assert all(a.info == {} for a in plain.answers)


def test_answers_of_the_same_text_are_one_answer_to_people(tmp_path, monkeypatch):
    of = {"metadata": {"model": "asked@sft"}}
    twins = [Response("an owl", **of), Response("an owl", finished=False, **of), Response("a fox", **of)]
    prompts = [Prompt.user("who?"), Prompt.user("what?")]
    monkeypatch.setattr(
        asking, "items_to_rank", lambda context, step: ([(p, tuple(twins)) for p in prompts], 0)
    )
    steps = {"rank": {**RANK, "prompts": 2, "enough": None}}
    with pytest.raises(plaudit.Waiting, match="0 of 2"):
        run(plaudit_config(steps), out=tmp_path / "run")
    Labelers(tmp_path / "run" / "projects" / "rank", ["Ann"]).judge(2, strength=2)
    assert resume(tmp_path / "run").stage("rank").read_json()["judgements"] == 2
