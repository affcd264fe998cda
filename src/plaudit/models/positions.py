"""The maximal number of positions of a model."""

from __future__ import annotations

from typing import Any

from plaudit.models.architectures import OFFSET_POSITIONS, backbone


def positions_of_config(config: Any) -> int | None:
    """The longest sequence, in tokens, that a model of this config has positions for; None where it states none.

    Rotary positions that are stretched (YaRN) count as far as they are stretched to.
    """
    text = config.get_text_config()
    stated = getattr(text, "max_position_embeddings", None)
    if not isinstance(stated, int) or stated < 0:
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    original, factor = rope.get("original_max_position_embeddings"), rope.get("factor")
    if rope.get("rope_type") == "yarn" and original and factor:
        stated = max(stated, int(original * factor))
    offset = (text.pad_token_id or 0) + 1 if text.model_type in OFFSET_POSITIONS else 0
    return stated - offset


def positions_of(model: Any) -> int | None:
    """The positions of a policy's, critic's or reward model's transformer; None where it states none."""
    return positions_of_config(backbone(getattr(model, "backbone", model)).config)


def fewest_positions(*models: Any) -> int | None:
    """The positions that all of these models have; None where none of them states any."""
    known = [p for model in models if (p := positions_of(model)) is not None]
    return min(known, default=None)
