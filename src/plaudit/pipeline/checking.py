"""What data is good for, in the tokens of the model that is to learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from plaudit.config import Pretrained, load_recipe
from plaudit.data.checks.check import CheckReport
from plaudit.data.checks.check import check as check_records
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
        tokenizer=_tokenizer(*_model_of(source, model, chat_template, overrides)),
        against=against,
        kind=kind,
        limit=limit,
        fields=fields,
        labels=labels,
        max_dropped=max_dropped,
        overrides=overrides,
    )


def _model_of(
    source: str | Path, model: str | Path | None, chat_template: str | None, overrides: Sequence[str]
) -> tuple[str | Path | None, str | None, str | None]:
    """The model whose tokenizer counts, its revision and chat template: what is named, else a recipe's policy."""
    if model is not None or Path(source).suffix not in (".yaml", ".yml"):
        return model, None, chat_template
    policy = load_recipe(source, overrides).policy
    if not isinstance(policy, Pretrained):
        return None, None, chat_template
    return policy.path, policy.revision, chat_template or policy.chat_template


def _tokenizer(model: str | Path | None, revision: str | None, chat_template: str | None) -> object | None:
    if model is None:
        if chat_template is not None:
            raise UserError("a chat template is a model's", remedy="name the model: --model, or model=…")
        return None
    from plaudit.models.files import read_tokenizer, resolve_tokenizer

    return read_tokenizer(resolve_tokenizer(str(model), revision=revision), chat_template)
