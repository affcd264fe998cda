"""How items lie in a model's token slots: padded rows, or one packed row without padding.

- ``padded``: one row a response, prompt repeated, padding on the right;
- ``packed``: one row for all; every response with its prompt is a sequence of its own;
- ``shared``: one row for all; a prompt lies there once, and its responses branch off it.

Shapes: R responses, N response tokens, S slots, n sequences of a packed row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.data.tokens.item import TokenItem
from plaudit.runtime import LayoutKind as LayoutKind


@dataclass
class Layout:
    """Items in slots. ``input_ids`` and ``position_ids`` [rows, T] feed the model.

    A padded layout has an ``attention_mask`` [rows, T]. The others have a ``table`` [1, 1, n, 4] of the
    row's sequences, (start, end, prefix start, prefix end): the slots of a sequence, and the slots before
    them that all of it may see (its shared prompt; an empty range where there is none). It has the four
    dimensions of a finished attention mask, because transformers hands those through untouched.

    The rest indexes hidden states flattened to [S, D]:

    - ``predicting`` [N]: the slot whose hidden state predicts response token n (one before it);
    - ``positions`` [N]: the slot of response token n itself;
    - ``last`` [R]: the slot of each response's true last token;
    - ``first`` [R], ``prompt`` [R], ``prompt_length`` [R]: the slot of each response's first token, and
      where its prompt starts and how long it is.
    """

    kind: LayoutKind
    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    table: Tensor | None
    predicting: Tensor
    positions: Tensor
    last: Tensor
    first: Tensor
    prompt: Tensor
    prompt_length: Tensor

    def to(self, device: torch.device) -> Layout:
        moved: dict[str, Any] = {n: v.to(device) for n, v in self.__dict__.items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def whole(self) -> tuple[Tensor, Tensor]:
        """Every slot of every response's prompt and answer, and whose it is: [M] and [M] in 0..R-1."""
        answer = self.last - self.first + 1
        slots, owners = [], []
        for start, length in ((self.prompt, self.prompt_length), (self.first, answer)):
            owner = torch.repeat_interleave(torch.arange(len(start), device=start.device), length)
            begin = length.cumsum(0) - length
            inside = torch.arange(len(owner), device=start.device) - begin[owner]
            slots.append(start[owner] + inside)
            owners.append(owner)
        return torch.cat(slots), torch.cat(owners)


def lay_out(items: Sequence[TokenItem], kind: LayoutKind, pad_id: int) -> Layout:
    """Lay items out; responses keep their order."""
    return _padded(items, pad_id) if kind == "padded" else _packed(items, shared=kind == "shared")


def slots_of(item: TokenItem, kind: LayoutKind) -> int:
    """Slots that an item takes, the padding of a padded layout left out."""
    answers = sum(len(r) for r in item.responses)
    return answers + len(item.prompt) * (1 if kind == "shared" else len(item.responses))


def _padded(items: Sequence[TokenItem], pad_id: int) -> Layout:
    rows = [(item.prompt, segment.ids) for item in items for segment in item.responses]
    width = max(len(prompt) + len(ids) for prompt, ids in rows)
    shape = (len(rows), width)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for r, (prompt, ids) in enumerate(rows):
        start, end = len(prompt), len(prompt) + len(ids)
        input_ids[r, :start] = prompt
        input_ids[r, start:end] = ids
        attention_mask[r, :end] = 1
    prompt_starts = np.arange(len(rows), dtype=np.int64) * width
    prompts = np.asarray([len(prompt) for prompt, _ in rows], dtype=np.int64)
    lengths = np.asarray([len(ids) for _, ids in rows], dtype=np.int64)
    return _indexed(
        "padded",
        input_ids,
        np.broadcast_to(np.arange(width), shape).copy(),
        torch.from_numpy(attention_mask),
        None,
        prompt_starts,
        prompts,
        prompt_starts + prompts,
        lengths,
    )


def _packed(items: Sequence[TokenItem], *, shared: bool) -> Layout:
    ids: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    table: list[tuple[int, int, int, int]] = []
    places: list[tuple[int, int, int, int]] = []  # prompt start and length, first slot and length
    end = 0

    def put(tokens: np.ndarray, position: int) -> int:
        nonlocal end
        ids.append(tokens)
        positions.append(np.arange(position, position + len(tokens)))
        end += len(tokens)
        return end

    for item in items:
        start, prompt = end, len(item.prompt)
        branches = shared and len(item.responses) > 1
        if branches:
            put(item.prompt, 0)
            table.append((start, end, start, start))
        for segment in item.responses:
            if not branches:
                start = end
                put(item.prompt, 0)
            first = end
            put(segment.ids, prompt)
            table.append((first, end, start, start + prompt) if branches else (start, end, start, start))
            places.append((start, prompt, first, len(segment)))
    columns = np.asarray(places, dtype=np.int64).T
    return _indexed(
        "shared" if shared else "packed",
        np.concatenate(ids)[None],
        np.concatenate(positions)[None],
        None,
        torch.tensor(table, dtype=torch.int64)[None, None],
        *columns,
    )


def _indexed(
    kind: LayoutKind,
    input_ids: np.ndarray,
    position_ids: np.ndarray,
    attention_mask: Tensor | None,
    table: Tensor | None,
    prompt: np.ndarray,
    prompt_length: np.ndarray,
    first: np.ndarray,
    lengths: np.ndarray,
) -> Layout:
    owner = np.repeat(np.arange(len(lengths)), lengths)
    inside = np.arange(len(owner)) - (np.cumsum(lengths) - lengths)[owner]
    positions = first[owner] + inside
    # What predicts a response's first token is its prompt's last one, which may lie elsewhere.
    predicting = np.where(inside == 0, (prompt + prompt_length - 1)[owner], positions - 1)
    tensors = (predicting, positions, first + lengths - 1, first, prompt, prompt_length)
    return Layout(
        kind,
        torch.from_numpy(input_ids),
        torch.from_numpy(np.ascontiguousarray(position_ids)),
        attention_mask,
        table,
        *(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors),
    )
