"""What ranks tell one another at the end of a step arrives as it was sent."""

from __future__ import annotations

import pytest
import rank_work

from plaudit.runtime import Mesh
from plaudit.training.rank_report import ROOM, report

SUMS = {"loss": [0.1 + 0.2, 0.0], "tokens": [float("nan"), 5e-324], "huge": [1e308, -7.0]}
MANY = {f"metric {i}": [float(i), 1.0] for i in range(ROOM + 3)}


def test_one_process_reports_to_itself():
    found = report(Mesh(), failed=False, used=[True, False], sums=SUMS)
    assert (found.failed, found.used, found.sums) == (False, [True, False], [SUMS])
    assert report(Mesh(), failed=True, used=[True], sums=SUMS).sums == []


@pytest.mark.parametrize("sums", [[SUMS, SUMS], [SUMS, {"loss": [1.0, 2.0]}], [MANY, MANY], [{}, SUMS]])
def test_sums_arrive_bit_for_bit_whatever_their_names(pair, sums):
    for found in pair.run(rank_work.reported, [False, False], sums):
        assert found.used == [True, True, False] and not found.failed
        assert repr(found.sums) == repr(sums)


@pytest.mark.parametrize("failed", [[True, False], [False, True]])
def test_a_rank_that_failed_is_known_to_both(pair, failed):
    assert all(found.failed for found in pair.run(rank_work.reported, failed, [SUMS, SUMS]))
