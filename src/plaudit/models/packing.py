"""Finds the layout that a model computes exactly, by a test when it is first called.

A model may ignore a table of sequences in many ways (its own attention, its own positions, a state between
tokens). Therefore its packed hidden states are compared with those of single sequences.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.data.tokens.layout import Layout, LayoutKind, lay_out
from plaudit.models import attention
from plaudit.models.architectures import OFFSET_POSITIONS, backbone, is_causal
from plaudit.models.compute import LAYOUT_ORDER
from plaudit.runtime import compute_config, use_compute

logger = logging.getLogger(__name__)


class CannotPack(Exception):
    """Raised if the model does not compute a packed row exactly; the message says why."""


def layout_for(*models: nn.Module) -> LayoutKind:
    """The best layout that all these models compute exactly and the settings allow."""
    return min((compute_config().layout, *(capability(m) for m in models)), key=LAYOUT_ORDER.index)


def capability(model: nn.Module) -> LayoutKind:
    """``shared``, ``packed`` (encoders: a prompt's states depend on the answer) or ``padded``."""
    inner = backbone(model)
    known: LayoutKind | None = getattr(inner, "_plaudit_layout", None)
    if known is None:
        known = _try(inner)
        inner._plaudit_layout = known
    return known


def _try(inner: Any) -> LayoutKind:
    wanted: LayoutKind = "shared" if is_causal(inner) else "packed"
    before = inner.config._attn_implementation
    training = inner.training
    inner.eval()
    try:
        with torch.no_grad(), _narrow_windows(inner):
            _refuse_by_config(inner)
            expected = [_single(inner, item) for item in _ITEMS]
            inner.set_attn_implementation(attention.NAME)
            if inner.config._attn_implementation != attention.NAME:
                raise CannotPack("it takes no other attention")
            _compare(inner, wanted, expected)
            if wanted == "shared":
                _compare(inner, "packed", expected)
        return wanted
    except Exception as error:
        # An unknown model may fail in any way when it is fed a packed row; padded rows always work.
        reason = str(error) if isinstance(error, CannotPack) else repr(error)[:200]
        logger.warning("%s is computed in padded batches: %s", type(inner).__name__, reason)
        inner.set_attn_implementation(before)
        return "padded"
    finally:
        inner.train(training)


@contextmanager
def _narrow_windows(inner: Any) -> Iterator[None]:
    """Within the block sliding windows are so short that the few tokens of the trial show what a family does to them.

    Some families put a window into their mask alone, which a packed row does not have.
    """
    changed = []
    for holder in (inner.config, inner.config.get_text_config(), *inner.modules()):
        width = vars(holder).get("sliding_window")
        if isinstance(width, int) and width > _WINDOW:
            changed.append((holder, width))
            holder.sliding_window = _WINDOW
    try:
        yield
    finally:
        for holder, width in changed:
            holder.sliding_window = width


def arguments(inner: Any, layout_ids: Tensor, position_ids: Tensor, table: Tensor) -> dict[str, Any]:
    """The keyword arguments of a backbone for a packed row."""
    config = inner.config
    if config.model_type in OFFSET_POSITIONS:
        position_ids = position_ids + (config.pad_token_id or 0) + 1
    given: dict[str, Any] = {"input_ids": layout_ids, "attention_mask": table, "position_ids": position_ids}
    names = inspect.signature(inner.forward).parameters
    if "token_type_ids" in names and getattr(config, "type_vocab_size", None):
        # The model's own default is only as long as its longest sequence. (GPT-2 takes the argument too, but
        # looks it up among its words.)
        given["token_type_ids"] = torch.zeros_like(layout_ids)
    if "use_cache" in names:
        given["use_cache"] = False
    return given


# Of the trial: fewer tokens than its longest sequences have.
_WINDOW = 3
# Ids small enough for any vocabulary and no one's padding; prompts and answers of unequal lengths, one of
# them a single token.
_ITEMS = [
    TokenItem(prompt=_ids, responses=_answers)
    for _ids, _answers in [
        (
            Segment.of([25, 29, 22]).ids,
            (Segment.of([27, 23]), Segment.of([24, 28, 26, 23]), Segment.of([29])),
        ),
        (Segment.of([28]).ids, (Segment.of([22, 26, 25]),)),
        (Segment.of([23, 24, 27, 21, 26]).ids, (Segment.of([25, 22, 29, 24]),)),
        (Segment.of([22, 23]).ids, (Segment.of([29, 21]),)),
        (Segment.of([26, 21]).ids, (Segment.of([23, 28]),)),
    ]
]


def _refuse_by_config(inner: Any) -> None:
    config = inner.config.get_text_config()
    strange = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if strange:
        raise CannotPack(f"its layers of type {', '.join(sorted(strange))} carry a state between tokens")
    if getattr(config, "attention_chunk_size", None) is not None:
        raise CannotPack("it attends in chunks of positions")
    if "position_ids" not in inspect.signature(inner.forward).parameters:
        raise CannotPack("it takes no positions")


def _single(inner: Any, item: TokenItem) -> list[Tensor]:
    """Hidden states [T, D] of each response with its prompt, alone."""
    device = next(inner.parameters()).device
    rows = [[*item.prompt, *segment.ids] for segment in item.responses]
    return [inner(input_ids=torch.tensor([row], device=device)).last_hidden_state[0].float() for row in rows]


def _compare(inner: Any, kind: LayoutKind, expected: list[list[Tensor]]) -> None:
    device = next(inner.parameters()).device
    layout = lay_out(_ITEMS, kind, 0).to(device)
    assert layout.table is not None
    seen: list[nn.Module] = []
    attention.witnesses = seen
    try:
        output = inner(**arguments(inner, layout.input_ids, layout.position_ids, layout.table))
    finally:
        attention.witnesses = None
    layers = inner.config.get_text_config().num_hidden_layers
    if len({id(m) for m in seen}) != layers:
        raise CannotPack(f"{len({id(m) for m in seen})} of {layers} layers use the packed attention")
    worst, scale = _distance(output.last_hidden_state[0], layout, expected)
    fine = next(inner.parameters()).dtype == torch.float32
    if not worst <= (1e-4 if fine else 3e-2) * max(scale, 1e-3):
        raise CannotPack(
            f"its {kind} states differ from single ones by {worst:.2g} at a scale of {scale:.2g}"
        )


def _distance(hidden: Tensor, layout: Layout, expected: list[list[Tensor]]) -> tuple[float, float]:
    """The largest difference of packed states from single ones, and the scale of those."""
    slots, owners = layout.whole()
    singles = [rows for item in expected for rows in item]
    worst = max(
        float((hidden[slots[owners == r]].float() - rows).abs().max().nan_to_num(torch.inf))
        for r, rows in enumerate(singles)
    )
    return worst, max(float(rows.abs().max()) for rows in singles)


def same_states(inner: Any, states: Callable[[Layout, Tensor | None], Tensor]) -> bool:
    """Whether ``states`` (a packed layout, the slots asked for → [S, D]) gives what the model's own modules give.

    In full precision, where a fault cannot hide in the rounding; for all slots, and for some of them.
    """
    training = inner.training
    inner.eval()
    try:
        with (
            use_compute(precision="fp32"),
            torch.autocast(next(inner.parameters()).device.type, enabled=False),
        ):
            expected = [_single(inner, item) for item in _ITEMS]
            layout = lay_out(_ITEMS, "shared", 0).to(next(inner.parameters()).device)
            whole = states(layout, None)
            worst, scale = _distance(whole, layout, expected)
            for asked in (layout.predicting, layout.last):
                worst = max(worst, float((states(layout, asked) - whole)[asked].abs().max()))
    finally:
        inner.train(training)
    return worst <= 1e-4 * max(scale, 1e-3)
