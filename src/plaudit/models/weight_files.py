"""Whether a folder's files of weights are there and whole, found by their names and headers alone."""

from __future__ import annotations

import json
from pathlib import Path

from plaudit.errors import UserError, dangling_link

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
AGAIN = "copy or download the model again"


def check_weights(folder: Path) -> None:
    """UserError where a file that holds weights is missing, cannot be read, or is not whole."""
    for file in sorted({*folder.glob("*.safetensors"), *_shards(folder)}):
        _refuse_torn(file)


def all_there(folder: Path) -> bool:
    """Whether weights lie in the folder, and every file of them that its index names."""
    return any(folder.glob("*.safetensors")) and all(file.exists() for file in _named(folder))


def _shards(folder: Path) -> list[Path]:
    """The files that the folder's index names; UserError where some are not there."""
    files = _named(folder)
    missing = [f.name for f in files if not f.exists() and not f.is_symlink()]
    if missing:
        more = ", …" if len(missing) > 3 else ""
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(files)} files of weights: {', '.join(missing[:3])}{more}",
            remedy=AGAIN,
        )
    return files


def _named(folder: Path) -> list[Path]:
    """The files that the folder's index names; none where one file holds all weights."""
    index = folder / INDEX
    if (folder / WHOLE).exists() or not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{index} is no index of weights", remedy=AGAIN) from None
    return [folder / n for n in names]


def _refuse_torn(file: Path) -> None:
    """UserError where a file is not as long as its header says: a copy or a download that was cut off."""
    if file.is_symlink() and not file.exists():
        raise dangling_link(file)
    try:
        total = file.stat().st_size
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(size)) if size < total else {}
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {error.strerror or error}", remedy=f"make it readable: chmod u+r {file}"
        ) from error
    except (ValueError, AttributeError, TypeError, KeyError):
        ends = None
    if ends is None or total != 8 + size + max(ends, default=0):
        raise UserError(
            f"{file} is no whole safetensors file: its size is not what its header says", remedy=AGAIN
        )
