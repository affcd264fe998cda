"""evaluate, report, run --seeds and the demo check: the right numbers, all of them, within 80 columns."""

from __future__ import annotations

import json

import pytest
from command_line import run
from demo_check import table

from plaudit.config import validate
from plaudit.pipeline.run_record import steps_record
from plaudit.pocket.bars import BARS
from plaudit.runs import RunFolder


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}


def summary(shift: float = 0.0) -> dict:
    return {
        "name": "a-run",
        "seed": 0,
        "judge": "gold",
        "schema": 2,
        "policies": {"base": "pretrain", "start": "sft", "end": "ppo"},
        "gold": {
            place: interval(value)
            for names, value in (
                (("base", "pretrain"), 0.1),
                (("start", "sft"), 0.4),
                (("end", "ppo"), 0.7 + shift),
            )
            for place in names
        },
        "win_rate": {"end_vs_start": interval(0.65 + shift)},
        "gap_closed": interval(0.75),
        "kl": {"exact": 1.25, "k1": 1.3, "k3": 1.2},
        "attributes": {"end": {"fact": 0.9 + shift, "harm": None}},
        "reward_model": {"accuracy": 0.81, "low": 0.78, "high": 0.84, "longer_wins": 0.52},
        "seconds": {"sft": 12.0},
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run whose evaluation is done, as `evaluate_only` gives it."""
    from plaudit.pipeline import run as pipeline

    made = RunFolder(tmp_path / "a-run")
    made.write_json("run.json", {"name": "a-run", "config": {"name": "a-run", "seed": 0}})
    monkeypatch.setattr(pipeline, "evaluate_only", RunFolder.existing)
    return made


def test_evaluate_prints_the_main_numbers_with_their_intervals(folder, capsys):
    folder.write_json("summary.json", summary())
    assert run("evaluate", str(folder.path)) == 0
    shown = capsys.readouterr().out
    *lines, last = shown.splitlines()
    assert max(map(len, lines)) <= 80 and last == f"next: plaudit chat {folder.path} --side-by-side"
    rows = {line[1:].split("│")[0].strip(): line for line in shown.splitlines() if "│" in line}
    for name, value, low in (
        ("gold end", "0.700", "0.650"),
        ("win_rate end vs start", "0.650", "0.600"),
        ("gap closed", "0.750", "0.700"),
        ("exact KL, nats per response", "1.250", ""),
        ("reward model accuracy", "0.810", "0.780"),
        ("longer wins", "0.520", ""),
    ):
        assert value in rows[name] and low in rows[name]
    assert "gold ppo" not in rows, "places say it once"
    assert shown.splitlines()[-3:-1] == ["start: a-run@sft", "end: a-run@ppo"]


@pytest.mark.parametrize("undone", [None, "sft", "dpo", "proxy"])
def test_evaluate_never_trains(undone, tmp_path, monkeypatch, capsys):
    """A run whose steps are not all done is refused; of one whose steps are, the evaluation alone is made."""
    from plaudit.config import validate
    from plaudit.config.resolve import graph_of
    from plaudit.pipeline import run as pipeline

    raw = {"name": "x", "policy": {"path": "org/model"}, "steps": {"sft": {}, "dpo": {}}}
    raw["data"] = {"demonstrations": "d.jsonl", "preferences": "p.jsonl"}
    config = validate(raw | {"evaluate": {"proxy": {}}}, "test")
    graph = graph_of(config)
    folder = RunFolder(tmp_path / "a-run")
    folder.write_json(
        "run.json", {"config": json.loads(config.model_dump_json()), "steps": steps_record(graph)}
    )
    for name in graph.nodes:
        if name not in (undone, "evaluate"):
            folder.stage(name).write_json("stage.json", {"status": "done"})
    asked = []

    def execute(config, folder, **options):
        asked.append(options)
        return folder

    monkeypatch.setattr(pipeline, "execute_config", execute)
    assert run("evaluate", str(folder.path)) == 2
    said = capsys.readouterr().err
    if undone:
        assert f"{undone} is not done" in said and f"plaudit resume {folder.path}" in said and asked == []
    else:
        assert asked == [{"only": ("evaluate",)}]


def test_evaluate_of_a_run_without_an_evaluation_says_what_to_add(folder, capsys):
    assert run("evaluate", str(folder.path)) == 2
    assert "evaluate: {}" in capsys.readouterr().err
    recipe = {"data": {"demonstrations": "d.jsonl"}, "steps": {"sft": {}}, "evaluate": None, "name": "own"}
    config = json.loads(validate(recipe, "own").model_dump_json())
    folder.write_json("run.json", {**folder.record(), "config": config, "steps": {}})
    folder.write_json("summary.json", {"name": "own"})
    assert run("evaluate", str(folder.path)) == 2, "the summary that a report writes is no evaluation"
    assert "evaluate: {}" in capsys.readouterr().err


def test_report_writes_summary_and_page_from_the_records_and_prints_the_path(folder, capsys):
    assert run("report", str(folder.path)) == 0
    page = folder.path / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert "a-run" in page.read_text("utf-8")
    assert not (folder.path / "summary.json").exists(), "an older run's summary stays as it was written"
    folder.write_json("run.json", {"name": "a-run", "config": {"name": "a-run", "seed": 0}, "steps": {}})
    assert run("report", str(folder.path)) == 0
    assert json.loads((folder.path / "summary.json").read_text())["name"] == "a-run"


def test_several_seeds_each_get_a_folder_and_their_mean_and_range_are_told(tmp_path, monkeypatch, capsys):
    from plaudit.pipeline import seeds

    ran = []

    def one(config, *, out, dry_run):
        ran.append((config.seed, out.name))
        folder = RunFolder(out)
        folder.write_json("summary.json", summary(shift=0.1 * len(ran)))
        return folder

    monkeypatch.setattr(seeds, "run", one)
    arguments = ["run", "pocket", "--set", "seed=4", "--seeds", "3", "--out", str(tmp_path / "many")]
    assert run(*arguments) == 0
    assert [name for _, name in ran] == ["many-seed4", "many-seed5", "many-seed6"]
    assert [seed for seed, _ in ran] == [4, 5, 6]
    written = json.loads((tmp_path / "many-seeds.json").read_text())
    assert written["gold/end"]["values"] == pytest.approx([0.8, 0.9, 1.0])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    (row,) = [line for line in shown.splitlines() if "gold/end" in line]
    assert row.replace("│", " ").split() == ["gold/end", "0.900", "0.800", "1.000"]


def met() -> dict:
    return {
        "checks": [
            {"name": name, "value": bar, "comparison": comparison, "bar": bar, "ok": True}
            for name, _, comparison, bar in BARS
        ]
    }


def test_the_demo_check_passes_only_when_every_bar_is_measured_and_met():
    lines, bad = table(met())
    assert (len(lines), bad) == (len(BARS), 0)

    missed = met()
    missed["checks"][2]["ok"] = False
    lines, bad = table(missed)
    assert bad == 1 and lines[2].startswith("MISSED")

    unmeasured = met()
    del unmeasured["checks"][0]
    lines, bad = table(unmeasured)
    assert bad == 1 and lines[0].startswith("MISSED") and "missing" in lines[0]

    assert table({})[1] == len(BARS)
