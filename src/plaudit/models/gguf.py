"""GGUF files as Hugging Face folders in the user's cache, which everything else then reads.

Config and tokenizer are read from a file's header; its weights are dequantized, once, where they are to be loaded.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

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


def folder_of(file: Path) -> Path:
    """Where a file's config and tokenizer are kept, and beside them its weights once they are dequantized."""
    return cache() / "gguf" / f"{file.stem}-{_fingerprint(file)}"


def is_described(folder: Path) -> bool:
    """Whether a folder holds what a file says of its model, whose weights are not dequantized yet."""
    kept = folder.parent == cache() / "gguf" and (folder / "config.json").is_file()
    return kept and not any(folder.glob("*.safetensors"))


def described(file: Path) -> Path:
    """The folder with the file's config and tokenizer, which are all that a plan needs; its weights are left alone."""
    folder = folder_of(file)
    if not (folder / "config.json").is_file():
        _require_gguf()
        with _readable(file):
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **_place(file))
            config = AutoConfig.from_pretrained(file.parent, **_place(file))
        # What the weights become, and the name that the file's author gave: here the folder names the model.
        config.dtype, config._name_or_path = torch.float32, ""
        if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
            config.architectures = [MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__]
        with _kept(folder) as fresh:
            config.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
    return folder


def converted(file: Path) -> Path:
    """The folder with the file's weights, dequantized to float32, and its tokenizer; made where it is not there."""
    folder = described(file)
    if not is_described(folder):
        return folder
    _require_gguf()
    logger.warning("%s is dequantized to float32, once: it is kept in %s", file, folder)
    with _readable(file):
        model = _dequantized(file, AutoConfig.from_pretrained(folder))
    with _kept(folder) as fresh:
        shutil.copytree(folder, fresh, dirs_exist_ok=True)
        model.save_pretrained(fresh)
    return folder


def _dequantized(file: Path, config: Any) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, config=config, dtype=torch.float32, **_place(file)
    )
    # The weights are no longer quantized, and a folder that says they are is refused by every reader.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = ""
    return model


def _place(file: Path) -> dict[str, Any]:
    return {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # transformers and gguf raise many kinds
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"{file} cannot be read as GGUF: {reason}",
            remedy="use the model's safetensors folder, or a GGUF of a family that transformers dequantizes",
        ) from error


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    try:
        with new_folder(folder) as fresh:
            yield fresh
    except UserError as error:  # of the disk, whose remedy is about a run's folder
        raise UserError(
            error.message, remedy="free some space, or set PLAUDIT_CACHE to a folder that can be written"
        ) from error


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
