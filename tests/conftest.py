"""Every test: no network, 80 columns, no colours from outside. Its folder holds what tests share (``toy``)."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ["COLUMNS"] = "80"
for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
