"""What data is good for, in the tokens of the model that is to learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from plaudit.config import Pretrained, load_recipe
from plaudit.data.checks.check import CheckReport, check as check_records
from plaudit.errors import UserError


def check(
    source: str | Path,
    *,
    model: str | Path | None = None,
    chat_template: str | None = None,
    against: str | Path | None = None,
    kind: str | None = None,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    max_dropped: float | None = None,
    overrides: Sequence[str] = (),
) -> CheckReport:
    """Read a data file, or all data of a recipe (.yaml), and report on it; nothing is trained or written.

    ``model`` is whose tokenizer counts (default: a recipe's policy; else every byte is a token). ``against`` names
    evaluation prompts that must not occur in the data. Problems of the data are in the report, whose ``ok`` is then
    False; UserError for a recipe or a model that cannot be read.
    """
    return check_records(
        source,
        tokenizer=_tokenizer(source, model, chat_template, overrides),
        against=against,
        kind=kind,
        limit=limit,
        fields=fields,
        labels=labels,
        max_dropped=max_dropped,
        overrides=overrides,
    )


def _tokenizer(
    source: str | Path, model: str | Path | None, chat_template: str | None, overrides: Sequence[str]
) -> object | None:
    """The tokenizer of the model that is named, else of a recipe's policy where that can be read; else None."""
    from plaudit.models.files import read_tokenizer, resolve_tokenizer

    if model is not None:
        return read_tokenizer(resolve_tokenizer(str(model)), chat_template)
    policy = load_recipe(source, overrides).policy if Path(source).suffix in (".yaml", ".yml") else None
    if isinstance(policy, Pretrained):
        try:
            folder = resolve_tokenizer(policy.path, revision=policy.revision)
        except UserError:
            return None  # not named yet, or not on this machine: lengths are in bytes, and the report says so
        return read_tokenizer(folder, chat_template or policy.chat_template)
    if chat_template is not None:
        raise UserError("a chat template is a model's", remedy="name the model: --model, or model=…")
    return None
