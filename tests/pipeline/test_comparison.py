"""`plaudit compare`: what it runs, how it sums up, that it goes on where it was cut off, and its page."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import warm
from small import SMALL

from plaudit.cli import main
from plaudit.config import read_yaml, validate
from plaudit.config.resolve import graph_of
from plaudit.display.frontier_chart import frontier_svg
from plaudit.errors import UserError
from plaudit.evaluation.best_of_n import best_of_n_frontier
from plaudit.pipeline.comparison.arms import (
    arms_of,
    default_grid,
    default_methods,
    names_known,
    parse_grid,
    with_arm,
    without_arm,
)
from plaudit.pipeline.comparison.gather import gather, winners
from plaudit.pipeline.comparison.run import compare
from plaudit.pipeline.run import recipe_path
from plaudit.registry import METHODS
from plaudit.report.frontier_page import build_page, headline, page_context, render_page, yardstick

GRID = default_grid()
RAW = {
    "name": "x",
    "world": "pocket",
    "steps": {
        "sft": {},
        "rank": {},
        "reward": {},
        "dpo": {},
        "ppo": {"from": "sft", "reward": "reward", "iterations": 20, "kl": {"coefficient": 0.1}},
    },
}


def test_every_method_runs_at_each_point_of_its_grid_from_the_recipes_own_settings():
    own = {"ppo": {"iterations": 20, "kl": {"coefficient": 0.1}}}
    arms = arms_of(["ppo", "ipo", "online-dpo"], GRID, shared=["ppo.lr=1e-4", "dpo.beta=9"], own=own)
    assert [a.name for a in arms] == [
        "ppo-coefficient-0.05",
        "ppo-coefficient-0.2",
        "ipo-beta-0.2",
        "ipo-beta-1.0",
        "online_dpo-coefficient-0.2",
        "online_dpo-coefficient-1.0",
    ]
    config = validate(with_arm(RAW, "ppo", arms[0]), "test")
    step = config.steps["ppo"]
    assert list(config.steps) == list(RAW["steps"]) and step.kind == "ppo" and step.start == "sft"
    ppo = step.settings
    assert (ppo.iterations, ppo.lr, ppo.kl.coefficient) == (20, 1e-4, 0.05)
    replaced = validate(with_arm(RAW, "ppo", arms[2]), "test").steps["ppo"]
    # The grid comes last: it is what is compared. What the step takes from others stays, but for a reward.
    assert (replaced.kind, replaced.start, replaced.reward) == ("dpo", "sft", None)
    dpo = replaced.settings
    assert (dpo.loss, dpo.length_normalised, dpo.beta) == ("ipo", True, 0.2)
    online = validate(with_arm(RAW, "ppo", arms[4]), "test").steps["ppo"]
    assert online.kind == "online_dpo" and [p.path for p in online.reward] == ["reward"]


def test_an_arm_changes_nothing_of_the_recipe_that_it_is_made_from():
    before = json.dumps(RAW)
    with_arm(RAW, "ppo", arms_of(["grpo"], GRID)[0])
    assert list(without_arm(RAW, "dpo")["steps"]) == ["sft", "rank", "reward"]
    assert json.dumps(RAW) == before


def test_wrong_names_are_refused_with_a_suggestion():
    with pytest.raises(UserError, match="grpo"):
        arms_of(["grop"])
    with pytest.raises(UserError, match="twice"):
        arms_of(["dpo", "dpo"])
    with pytest.raises(UserError, match=r"method\.key"):
        parse_grid(["dpo=0.1"])
    assert parse_grid(["online-dpo.kl.coefficient=0.1,1"]) == {"online_dpo": ("kl.coefficient", (0.1, 1))}
    with pytest.raises(UserError, match=r"ppo twice: lr and kl\.coefficient"):
        parse_grid(["ppo.lr=1", "ppo.kl.coefficient=2"])


def test_what_would_act_on_no_run_is_refused_at_once(tmp_path):
    wrong = ["steps.dppo.lr=7", "reward.lr=1", "dpo.beta=2"]
    asked = {"methods": ["ppo", "online-dpo"], "grid": parse_grid(["pppo.lr=1"]), "seeds": [0, 0]}
    with pytest.raises(UserError) as caught:
        compare(
            "pocket", **asked, overrides=[*wrong, "ppo.lr=1e-4", "steps.reward.lr=1e-4"], out=tmp_path / "c"
        )
    told = str(caught.value)
    assert "'pppo' is not compared → did you mean 'ppo'" in told
    assert "no run has the step 'dppo' → did you mean" in told
    assert (
        "reward is not compared → name it with --methods; a step of the recipe is set by steps.reward.lr"
        in told
    )
    assert "dpo is not compared" in told and "--seeds names none, or one twice" in told
    assert len(caught.value.problems) == 5 and not (tmp_path / "c").exists()
    with pytest.raises(UserError, match="--seeds names none"):
        compare("pocket", seeds=[], out=tmp_path / "c")


@pytest.mark.parametrize(
    "step, said", [("reward", "no method can take its place"), ("ppoo", "did you mean 'ppo'")]
)
def test_only_a_step_that_learns_from_preferences_is_replaced(step, said, tmp_path):
    with pytest.raises(UserError, match=said):
        compare("pocket", methods=["dpo"], step=step, out=tmp_path / "cmp")
    assert not (tmp_path / "cmp").exists()


def test_every_variant_and_every_point_of_the_grid_is_valid():
    known = names_known()
    assert set(default_methods()) <= set(GRID) <= set(known)
    assert {m.name for m in METHODS.values() if m.trains_policy} <= set(known)
    for arm in arms_of(known, GRID):
        config = validate(with_arm(RAW, "ppo", arm), arm.name)
        assert config.steps["ppo"].kind == arm.section
        assert graph_of(config).places["end"] == "ppo"


def arm(method, value, kl):
    return {"method": method, "arm": f"{method}-{kl}", "point": f"beta={kl}", "value": value, "kl": kl,
            "low": value - 0.02, "high": value + 0.02, "win_rate": 0.6, "length": 12.0, "seconds": 20.0,
            "peak_mb": 700.0, "samples": 5000.0, "seeds": 3}  # fmt: skip


ARMS = [
    arm("rloo", 0.9, 0.8),
    arm("rloo", 0.95, 3.0),
    arm("dpo", 0.75, 0.9),
    arm("dpo", 0.8, 3.5),
    arm("kto", 0.6, 0.2),
]
FOUND = {
    "recipe": "pocket",
    "seeds": [0, 1, 2],
    "judge": "gold",
    "start": 0.5,
    "perfect": 1.04,
    "points": [],
    "arms": ARMS,
    "best_of_n": [{"n": 1, "kl": 0.0, "value": 0.5}, {"n": 16, "kl": 1.84, "value": 0.85}],
    "winners": winners(ARMS),
}


def test_at_equal_kl_only_what_was_measured_within_the_budget_counts():
    rows = {row["budget"]: [(r["method"], r["value"]) for r in row["ranked"]] for row in winners(ARMS)}
    assert rows[0.25] == [("kto", 0.6)]
    assert rows[1.0] == [("rloo", 0.9), ("dpo", 0.75), ("kto", 0.6)]
    assert rows[4.0] == [("rloo", 0.95), ("dpo", 0.8), ("kto", 0.6)]
    names = {"rloo": "RLOO", "dpo": "DPO", "kto": "KTO"}
    assert headline(FOUND, names) == "Within 4 nats of KL, RLOO leads with 0.95, 0.15 ahead of DPO."
    near = [*ARMS, arm("grpo", 0.96, 0.7), arm("ppo", 0.95, 0.6)]
    names |= {"ppo": "PPO"}
    # Answers that are no answers win nothing.
    best = max(ARMS, key=lambda arm: arm["value"])
    without = winners([{**arm, "null": "are one and the same text"} if arm is best else arm for arm in ARMS])
    assert all(r["arm"] != best["arm"] for row in without for r in row["ranked"])
    level = headline({**FOUND, "arms": near, "winners": winners(near)}, {**names, "grpo": "GRPO"})
    assert level == "Within 1 nat of KL, GRPO and PPO lead level, at 0.96."
    assert "best of 16 answers" in yardstick(FOUND) and "less than" in yardstick(FOUND)


def test_labels_cover_neither_one_another_nor_dots():
    crowd = [arm(m, 0.8 + 0.004 * i, 1.0 + 0.01 * i) for i, m in enumerate(GRID)]
    names = {m: m.upper() for m in GRID}
    drawn = frontier_svg({**FOUND, "arms": crowd}, dict.fromkeys(GRID, "m0"), names)
    root = ET.fromstring(str(drawn))
    boxes = []
    for text in root.findall(".//text"):
        if "name" not in text.get("class", "").split():
            continue
        wide = 6.6 * len(text.text)
        x = float(text.get("x")) - (wide if text.get("text-anchor") == "end" else 0)
        boxes.append((x, float(text.get("y")) - 10, x + wide, float(text.get("y")) + 3))
    assert len(boxes) == len(crowd) + 1
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def test_the_page_is_one_file_that_escapes_what_it_shows(tmp_path):
    (tmp_path / "compare.json").write_text(json.dumps({**FOUND, "recipe": "<script>x</script>"}))
    page = render_page(tmp_path)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "src=" not in page and "http" not in page.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    assert build_page(tmp_path).read_text() == page
    assert [row["name"] for row in page_context(FOUND)["rows"]][:2] == ["RLOO", "RLOO"]


def test_best_of_n_rises_with_n_when_the_proxy_is_the_value():
    scores = np.random.default_rng(0).normal(size=(50, 16))
    points = best_of_n_frontier(scores, scores, (1, 2, 4, 16))
    means = [p["mean"] for p in points]
    assert means == sorted(means) and means[0] == pytest.approx(scores.mean())
    assert means[-1] == pytest.approx(scores.max(1).mean())
    assert all(p["low"] < p["mean"] < p["high"] for p in points)


def walk_of(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`plaudit compare` on a small recipe whose DPO step is followed by a PPO step of two iterations."""
    raw = read_yaml(recipe_path("pocket"))
    raw["steps"] = {n: s if n != "ppo" else {"kind": "dpo", "from": "sft"} for n, s in raw["steps"].items()}
    raw["steps"]["after"] = {"kind": "rloo", "iterations": 1}
    recipe = out.parent / "walk.yaml"
    recipe.write_text(json.dumps(raw))
    words = [sys.executable, "-m", "plaudit", "compare", str(recipe), "--jobs", "2", "--out", str(out), *more]
    sizes = ["prompts_per_iteration=32", "minibatch=16", "max_new_tokens=16"]
    sets = [*(s for s in SMALL if not s.startswith("steps.ppo.")), *(f"steps.after.{s}" for s in sizes)]
    sets += ["dpo.epochs=0.5", "rloo.iterations=1", *(f"rloo.{s}" for s in sizes)]
    sets += ["rejection.prompts=40", "rejection.n=2"]
    return subprocess.run([*words, *(w for s in sets for w in ("--set", s))], capture_output=True, text=True)


@pytest.mark.slow
def test_a_step_in_the_middle_is_replaced_and_what_follows_it_runs_after_each_arm(tmp_path):
    out = tmp_path / "cmp"
    done = walk_of(out, "--methods", "dpo,rloo,rejection", "--step", "ppo", "--quick")
    assert done.returncode == 0, done.stderr[-3000:]
    kinds = {}
    for arm in ("dpo", "rloo", "rejection"):
        record = json.loads((out / "seed-0" / arm / "run.json").read_text())
        kinds[arm] = record["steps"]["ppo"]["kind"]
        assert record["steps"]["after"]["from"] == "ppo" and record["places"]["end"] == "after"
    assert kinds == {"dpo": "dpo", "rloo": "rloo", "rejection": "rejection"}
    assert "after" not in json.loads((out / "seed-0" / "base" / "run.json").read_text())["steps"]


def test_a_small_comparison_runs_resumes_and_shows_its_frontier(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("plaudit.pipeline.comparison.run.get_context", lambda kind: warm.CONTEXT)
    out = tmp_path / "cmp"
    words = [
        "compare",
        "pocket",
        "--methods",
        "dpo,rloo",
        "--jobs",
        "2",
        "--quick",
        "--out",
        str(out),
    ]
    small = [s for s in SMALL if not s.startswith("steps.ppo.")]
    sets = [*small, "rloo.iterations=1", "rloo.prompts_per_iteration=16", "rloo.minibatch=16"]
    sets += ["rloo.max_new_tokens=16", "dpo.epochs=0.5", "evaluate.prompts=20"]
    for override in sets:
        words += ["--set", override]

    def compared() -> None:
        with pytest.raises(SystemExit) as ended:
            main(words)
        shown = capsys.readouterr()
        assert not ended.value.code, shown.err
        assert "page:" in shown.out and "Traceback" not in shown.err

    compared()
    found = json.loads((out / "compare.json").read_text())
    assert {p["method"] for p in found["points"]} == {"dpo", "rloo"}
    for point in found["points"]:
        assert np.isfinite([point["value"], point["kl"], point["seconds"], point["peak_mb"]]).all()
        assert point["samples"] > 0
    assert [p["n"] for p in found["best_of_n"]] == [1, 2, 4, 8, 16]
    # The stages before the method were trained once.
    sizes = {
        (out / "seed-0" / name / "stages" / "reward" / "stage.json").read_text() for name in ("base", "rloo")
    }
    assert len(sizes) == 1
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("summary.json")}
    (out / "seed-0" / "dpo" / "summary.json").unlink()
    compared()
    unchanged = [p for p, t in stamps.items() if "dpo" not in p.parts and p.stat().st_mtime_ns == t]
    assert len(unchanged) == len(stamps) - 1
    assert json.loads((out / "compare.json").read_text())["arms"] == found["arms"]
    assert gather(out)["winners"] == found["winners"]
    assert recipe_path("pocket").exists()
