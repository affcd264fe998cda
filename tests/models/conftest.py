"""One tiny model of each family per session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import DECODERS, ENCODERS, plain_tokenizer, write_model


@pytest.fixture(scope="session", params=sorted(DECODERS))
def decoder_folder(request: Any, tmp_path_factory: Any) -> Path:
    return write_model(tmp_path_factory.mktemp(request.param) / "model", request.param, plain_tokenizer())


@pytest.fixture(scope="session", params=sorted(ENCODERS))
def encoder_folder(request: Any, tmp_path_factory: Any) -> Path:
    return write_model(tmp_path_factory.mktemp(request.param) / "model", request.param, plain_tokenizer())
