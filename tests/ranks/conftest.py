from __future__ import annotations

from collections.abc import Iterator

import pytest
from rank_pair import Pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Starting two processes takes longer than most of what they are asked."""
    found = Pair()
    yield found
    found.close()
