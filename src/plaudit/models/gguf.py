"""GGUF files: dequantized once to a Hugging Face folder in the user's cache, which everything else then reads."""

from __future__ import annotations

import hashlib
import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.errors import MissingExtraError, UserError
from plaudit.runs.files import new_folder

logger = logging.getLogger(__name__)

# Bytes at each end of a file that stand for its content beside size and time: hashing 5 GB takes seconds.
ENDS = 1 << 20


def cache() -> Path:
    """Where converted models are kept: ``PLAUDIT_CACHE``, else ``plaudit`` in the user's cache folder."""
    own = os.environ.get("PLAUDIT_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own).expanduser() if own else Path(shared).expanduser() / "plaudit"


def converted(file: Path) -> Path:
    """The folder with the file's weights, dequantized to float32, and its tokenizer; made where it is not there."""
    folder = cache() / "gguf" / f"{file.stem}-{_fingerprint(file)}"
    if (folder / "config.json").is_file():
        return folder
    _require_gguf()
    logger.warning("%s is dequantized to float32, once: it is kept in %s", file, folder)
    model, tokenizer = _read(file)
    try:
        with new_folder(folder) as fresh:
            model.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
    except UserError as error:  # of the disk, whose remedy is about a run's folder
        raise UserError(
            error.message, remedy="free some space, or set PLAUDIT_CACHE to a folder that can be written"
        ) from error
    return folder


def _read(file: Path) -> tuple[Any, Any]:
    place: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **place)
    except Exception as error:  # transformers and gguf raise many kinds
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"{file} cannot be read as GGUF: {reason}",
            remedy="use the model's safetensors folder, or a GGUF of a family that transformers dequantizes",
        ) from error
    # The weights are no longer quantized, and a folder that says they are is refused by every reader.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # The name that the file's author gave; here the folder names the model.
    model.config._name_or_path = ""
    return model, tokenizer


def _fingerprint(file: Path) -> str:
    state = file.stat()
    digest = hashlib.blake2b(
        f"{state.st_size} {state.st_mtime_ns} {version('transformers')}".encode(), digest_size=8
    )
    with file.open("rb") as opened:
        digest.update(opened.read(ENDS))
        opened.seek(max(0, state.st_size - ENDS))
        digest.update(opened.read())
    return digest.hexdigest()


def _require_gguf() -> None:
    for library in ("gguf", "accelerate"):
        try:
            version(library)
        except ImportError:  # PackageNotFoundError is one
            raise MissingExtraError(library, "gguf") from None
