"""Every test: no network, 80 columns, no colours from outside. Its folder holds what tests share (``toy``)."""

from __future__ import annotations

import os
import sys

import pytest

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
