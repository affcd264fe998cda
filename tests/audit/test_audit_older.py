"""A run recorded before recipes were graphs is read as it was: the same verdict, findings and report."""

import re

import pytest
from made_runs import PLACES, held_to_the_start, older_form, write_run

from plaudit.audit.run import read_run
from plaudit.audit.verdict import verdict
from plaudit.audit.write import audit, findings
from plaudit.report.build import render
from plaudit.runs import RunFolder


@pytest.fixture(scope="module", params=["pocket", "real"])
def both(request, tmp_path_factory):
    """A run in today's form, and the same as it was recorded before."""
    root = tmp_path_factory.mktemp("runs")
    today = write_run(root / "today", kind=request.param, siblings=())
    folder = RunFolder(today)
    folder.write_json("summary.json", held_to_the_start(folder.read_json("summary.json")))
    return today, older_form(write_run(root / "before", kind=request.param, siblings=()))


def test_nothing_of_todays_form_stands_in_the_older_one(both):
    _, before = both
    for name in ("run.json", "summary.json"):
        text = (before / name).read_text()
        assert not re.search(r'"(steps|places|policies|reward_models|by_step|end_vs_start|start|end)"', text)


def test_its_steps_and_places_are_found_from_its_stages(both):
    today, before = map(read_run, both)
    assert before.places == today.places == PLACES
    for name in today.steps:
        old = before.steps["judge" if name == "proxy" else name]
        assert {k: old[k] for k in ("kind", "gives", "preference", "tone")} == {
            k: today.steps[name][k] for k in ("kind", "gives", "preference", "tone")
        }


def test_it_is_judged_as_it_would_be_today(both):
    today, before = map(read_run, both)
    assert verdict(before) == verdict(today)
    assert findings(before) == findings(today)
    assert audit(before) == audit(today)


def test_its_report_says_the_same(both):
    today, before = (render(run).split("<main>")[1].split('id="record"')[0] for run in both)
    # It recorded no graph and no name of the proxy's step; everything else is there.
    without = re.sub(r'<figure class="plot wide graph">.*?</figure>', "", today, flags=re.S)
    assert [line.strip() for line in before.splitlines() if line.strip()] == [
        line.strip() for line in without.splitlines() if line.strip()
    ]


def test_a_stop_of_an_older_run_is_that_of_its_last_step(tmp_path):
    run = older_form(write_run(tmp_path / "run", siblings=()))
    file = run / "summary.json"
    file.write_text(
        file.read_text().replace('"seed"', '"stopped": "objective/kl 9.1 is above kl_max 8", "seed"', 1)
    )
    assert [f.rule for f in findings(read_run(run))] == ["stopped_early"]
    assert "PPO was stopped" in render(run)
