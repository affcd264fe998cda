"""Runs side by side: on one scale, by the same numbers, with the answers that changed most."""

import pytest
from made_runs import write_run

from plaudit.audit.run import read_run
from plaudit.report.comparison import comparison


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    return comparison(read_run(write_run(tmp_path_factory.mktemp("runs") / "run")))


def test_each_sibling_is_shown_with_its_own_fall(compared):
    biased, free = compared["siblings"]
    assert biased["name"] == "Biased raters" and free["name"] == "Without the KL penalty"
    assert "Gold peaked at 0.33 before the first update" in biased["sentence"]
    assert "The KL coefficient is 0" in free["change"]
    assert "gold_falls_while_proxy_rises" in {f.rule for f in free["findings"]}


def test_both_runs_are_drawn_on_one_scale(compared):
    for part in compared["siblings"]:
        own, other, by_kl = part["charts"]
        assert own.y_range == other.y_range
        low, high = own.y_range
        assert all(low <= y <= high for c in (own, other) for s in c.series for _, y in s.points)
        assert [s.tone for s in by_kl.series] == ["trained", "hot"]


def test_the_table_sets_the_start_and_every_end_side_by_side(compared):
    table = compared["table"]
    assert [head for head, _ in table["heads"]] == ["SFT", "PPO", "Biased raters", "Without the KL penalty"]
    lines = dict(table["lines"])
    assert lines["Gold"] == ["0.33", "0.90", "−0.40", "−0.40"]
    assert lines["Wins against SFT"] == ["–", "67%", "26%", "26%"]
    assert lines["Exact KL"][2:] == ["2.10", "57.00"]
    assert lines["Flatters"] == ["6%", "0%", "41%", "41%"]


def test_the_answers_shown_are_those_that_lost_most_one_of_a_category(compared):
    for part in compared["siblings"]:
        assert len(part["examples"]) == 3
        for example in part["examples"]:
            before, after = example["answers"]
            assert before["text"] != after["text"] and "you are so right" in after["text"]
            gold = [float(a["measures"][0]["value"].replace("−", "-")) for a in (before, after)]
            assert gold[0] > gold[1]


def test_a_run_alone_is_shown_by_kl_and_a_run_without_ppo_not_at_all(tmp_path):
    alone = comparison(read_run(write_run(tmp_path / "run", siblings=())))
    assert alone["siblings"] == [] and alone["table"] is None and alone["charts"][0].square_root
    assert "Gold peaked" in alone["sentence"] or "ended at its peak" in alone["sentence"]
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "run.json").write_text("{}")
    assert comparison(read_run(tmp_path / "bare")) is None


def test_an_unknown_experiment_is_shown_under_its_own_name(tmp_path):
    run = write_run(tmp_path / "run", siblings=("no-leash",))
    (run / "siblings" / "no-leash").rename(run / "siblings" / "half_the_data")
    assert comparison(read_run(run))["siblings"][0]["name"] == "Half the data"
