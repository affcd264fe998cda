"""Stages run in order, are skipped when nothing they depend on changed, and are set aside when it did."""

from __future__ import annotations

import pytest

from plaudit.pipeline.stages import Plan, StageSpec, execute
from plaudit.runs import RunFolder


def make(folder, log, **settings):
    data = folder.path / "data.txt"
    if not data.exists():
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_text("one")

    def stage(name):
        def run(stage):
            log.append(name)
            stage.path.mkdir(parents=True, exist_ok=True)
            (stage.path / "out").write_text(name)
            return {"made": name}

        return run

    plan = Plan(common={"threads": 1})
    plan.add(StageSpec("a", stage("a"), settings=settings.get("a"), reads=[data]))
    plan.add(StageSpec("b", stage("b"), settings=settings.get("b"), inputs=["a"]))
    plan.add(StageSpec("c", stage("c"), settings=settings.get("c"), inputs=["a"]))
    return plan


def run(folder, donor=None, **settings):
    log, states = [], []
    plan = make(folder, log, **settings)
    execute(plan, folder, announce=lambda n, s: states.append((n, s)), donor=donor)
    return log, states


def test_unchanged_stages_are_skipped(tmp_path):
    folder = RunFolder(tmp_path)
    assert run(folder)[0] == ["a", "b", "c"]
    log, states = run(folder)
    assert log == [] and states == [(n, "skipped") for n in "abc"]
    assert folder.stage("a").read_json()["made"] == "a"


def test_a_changed_setting_reruns_the_stage_and_its_readers_only(tmp_path):
    folder = RunFolder(tmp_path)
    run(folder)
    assert run(folder, b=1)[0] == ["b"]
    assert run(folder, a=1, b=1)[0] == ["a", "b", "c"]
    assert sorted(p.name for p in (tmp_path / "replaced").iterdir()) == ["a-001", "b-001", "b-002", "c-001"]


def test_a_changed_file_reruns_its_readers(tmp_path):
    folder = RunFolder(tmp_path)
    run(folder)
    (tmp_path / "data.txt").write_text("two")
    assert run(folder)[0] == ["a", "b", "c"]


def test_a_stage_that_failed_is_resumed_not_set_aside(tmp_path):
    folder = RunFolder(tmp_path)

    def fails(stage):
        (stage.path / "half").write_text("x")
        raise RuntimeError("power cut")

    plan = Plan()
    plan.add(StageSpec("a", fails))
    with pytest.raises(RuntimeError):
        execute(plan, folder, announce=lambda n, s: None)
    plan = Plan()
    seen = []
    plan.add(StageSpec("a", lambda stage: seen.append((stage.path / "half").exists()) or {}))
    states = []
    execute(plan, folder, announce=lambda n, s: states.append(s))
    assert seen == [True] and states == ["resumed", "done"]


def test_a_donor_lends_what_it_did_under_the_same_key(tmp_path):
    base, sibling = RunFolder(tmp_path / "base"), RunFolder(tmp_path / "sibling")
    run(base)
    assert run(sibling, donor=base, c=2)[0] == ["c"]
    assert (sibling.stage("b").path / "out").read_text() == "b"
    assert [e["stage"] for e in sibling.events() if e["event"] == "adopted"] == ["a", "b"]


def test_a_stage_cannot_read_what_comes_later():
    with pytest.raises(ValueError, match="come later"):
        Plan().add(StageSpec("b", lambda s: {}, inputs=["a"]))


def test_a_profile_says_where_the_seconds_of_every_stage_went(tmp_path):
    from plaudit.pipeline.profile import phases_of
    from plaudit.runs import RunFolder

    folder = RunFolder(tmp_path)
    sft, ppo = folder.stage("sft"), folder.stage("ppo")
    for stage, seconds in ((sft, 10.0), (ppo, 20.0)):
        stage.path.mkdir(parents=True)
        stage.write_json("stage.json", {"seconds": seconds, "started": seconds})
    sft.append_metrics(1, {"loss": 1.0, "time/forward": 2.0, "time/backward": 4.0})
    sft.append_metrics(2, {"loss": 1.0, "time/forward": 1.0})
    ppo.append_metrics(1, {"time/rollout": 5.0, "time/train": 9.0, "time/forward": 3.0})
    assert phases_of(folder) == {
        "sft": {"forward": 3.0, "backward": 4.0, "rest": 3.0},
        "ppo": {"rollout": 5.0, "forward": 3.0, "rest": 12.0},
    }
