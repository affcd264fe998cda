"""The script of the studies: it skips what is done, says where its numbers come from, and averages by seed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import audit_studies
import studies
import study

from plaudit.config import Online, read_yaml, validate
from plaudit.config.resolve import graph_of
from plaudit.pipeline.comparison.arms import arms_of, default_grid, with_arm
from plaudit.pipeline.run import recipe_path


@pytest.fixture
def counted(monkeypatch):
    """A study that counts what it measures: seed s gives s and s + 1 in two groups."""
    calls = []

    def measure(seed, folder):
        calls.append((seed, folder.name))
        return [{"arm": name, "gap": float(seed + i)} for i, name in enumerate(("one", "two"))]

    made = studies.Study("a test", measure, ("arm",), {"gap": ".1f"}, lambda rows: f"{len(rows)} rows.")
    monkeypatch.setitem(studies.STUDIES, "test", made)
    return calls


def test_a_study_goes_on_where_it_was_and_records_commit_command_and_machine(counted, tmp_path, capsys):
    study.main(["test", "--seeds", "10", "--out", str(tmp_path)])
    study.main(["test", "--seeds", "10", "12", "--out", str(tmp_path)])
    assert counted == [(10, "seed-10"), (12, "seed-12")]
    assert "seed 10: done before" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == [10, 12]
    assert all(line["commit"] and line["command"] and "cores" in line["machine"] for line in lines)
    text = (tmp_path / "test.md").read_text()
    assert "| one | 11.0 (10.0 / 12.0) |" in text and "| two | 12.0 (11.0 / 13.0) |" in text
    assert "4 rows." in text and "Seeds 10, 12: `python benchmarks/study.py test`" in text


def test_a_table_is_made_of_what_is_there_and_nothing_is_run(counted, tmp_path):
    with pytest.raises(SystemExit, match="holds nothing yet"):
        study.main(["test", "--table", "--out", str(tmp_path)])
    assert counted == []


@pytest.mark.parametrize("name", audit_studies.PREVENTIONS)
def test_every_prevention_is_a_graph_that_changes_what_it_says(name):
    sets, steps = audit_studies.PREVENTIONS[name]
    made = graph_of(audit_studies.config(10, 1, "x", sets, steps))
    end = made[made.places["end"]].settings
    assert made.places["start"] == "sft" and end.kl.coefficient == 0
    assert {"PAR": end.shaping == "par", "length_power .5": end.length_power == 0.5}.get(name, True)
    assert {"kl_max 6": end.kl.kl_max == 6, "ensemble of three": made["reward"].settings.members == 3}.get(
        name, True
    )
    if name == "keep_best second":
        node = made[audit_studies.HELD]
        assert [r.path for r in node.rewards] == ["reward"] and node.asked[0].path == "reward-second"
    if name == "loop of two":
        assert made["ppo-2"].rewards[0].path == "reward-2" and made["rank-2"].settings.favourites == 0.5


def test_the_repair_of_a_style_hack_ranks_with_raters_who_are_not_mistaken():
    made = graph_of(audit_studies.config(10, 1, "x", (audit_studies.MISTAKEN,), audit_studies.rounds()))
    assert made["rank"].settings.by.options == {"flattery": 2.0}
    assert made["rank-2"].settings.by is None and made["rank-3"].settings.by is None
    assert [made[f"ppo-{n}"].rewards[0].path for n in (2, 3)] == ["reward-2", "reward-3"]
    assert made["ppo-3"].start == "sft" and "ppo-2" in made.steps_of("rank-3")


def test_the_share_that_is_named_first_is_counted_by_what_was_planted():
    rows = [
        {"planted": "lists", "first named": "lists", "named right": 1.0},
        {"planted": "lists", "first named": "length", "named right": 0.0},
        {"planted": "nothing", "first named": "nothing", "named right": 1.0},
    ]
    assert audit_studies.first_named(rows).endswith("lists 1 of 2 (else length); nothing 1 of 1.")


def test_the_laws_are_fitted_as_they_are_written():
    # R(d) = d (α − β log d) with α = .5, β = .2: an exact law has R² 1 and gives its constants back.
    import math

    rows = []
    for kl in (0.5, 1.0, 2.0, 4.0, 9.0):
        d = math.sqrt(kl)
        rows.append({"KL": kl, "gold of SFT T=1": 0.1, "gold T=1": 0.1 + d * (0.5 - 0.2 * math.log(d))})
    said = studies.over_optimization_law(rows)
    assert "α = 0.50, β = 0.20, R² = 1.00" in said
    points = [{"kl": k, "mean": 0.2 + 0.6 * math.sqrt(k) - 0.1 * k} for k in (0.0, 0.3, 1.0, 2.0, 3.2)]
    assert studies._law(points) == pytest.approx(1.0)


def test_every_family_of_the_study_is_known_and_online_ones_have_the_samples_of_the_demos_ppo():
    raw = read_yaml(recipe_path("pocket"))
    arms = arms_of(studies.METHODS.split(","), default_grid(), own={"ppo": raw["steps"]["ppo"]})
    assert {arm.method for arm in arms} == set(studies.METHODS.split(","))
    samples = {}
    for arm in arms:
        own = graph_of(validate(with_arm(raw, "ppo", arm), arm.name))["ppo"].settings
        if isinstance(own, Online):
            samples[arm.name] = own.iterations * own.prompts_per_iteration * own.samples_per_prompt
    assert len(samples) >= 8 and set(samples.values()) == {20 * 256}


def test_a_cell_shows_the_interval_over_seeds_where_the_issue_is_which_is_better():
    # By hand: s = 1, t of two degrees of freedom is 4.30.
    assert study._cell([1.0, 2.0, 3.0], ".2f", True) == "2.00 ± 2.48 (1.00 / 2.00 / 3.00)"
    assert study._cell([1.0, 2.0, 3.0], ".1f", False) == "2.0 (1.0 / 2.0 / 3.0)"
    assert study._cell([1.0], ".1f", True) == "1.0" and study._cell([], ".1f", True) == "–"
