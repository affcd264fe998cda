"""Every test: no network, 80 columns, no colors from outside, and the same examples of every property each time.

Its folder holds what tests share (``toy``). Other examples are drawn by ``--hypothesis-profile=random``.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: neither a deadline for an example nor one for drawing it.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, database=None, max_examples=40, **BUSY)
settings.register_profile("random", database=None, print_blob=True, **BUSY)
settings.load_profile("same")

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ["COLUMNS"] = "80"
for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def same_threads():
    """A test that runs a pipeline in this process sets its threads: the next test gets those of before."""
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    yield
    if before and torch.get_num_threads() != before:
        torch.set_num_threads(before)
