"""Trains a byte-level BPE tokenizer, and compares tokenizers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from plaudit.data.rendering.byte_tokenizer import chat_tokenizer
from plaudit.data.rendering.chat_template import PAD, SPECIAL_TOKENS, end_of_turn_id
from plaudit.errors import UserError

BYTES = 256


def train_bpe(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding over bytes (Sennrich et al. 2016; Radford et al. 2019), with our role tokens.

    ``vocabulary`` counts everything: six special tokens, the 256 bytes, the merges; a small text may
    yield fewer. Any text round-trips exactly; the same texts give the same tokenizer.
    """
    least = len(SPECIAL_TOKENS) + BYTES
    if vocabulary < least:
        raise UserError(
            f"a vocabulary of {vocabulary} cannot hold the {least} bytes and special tokens",
            remedy=f"set vocabulary to {least} or more",
        )
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer: PreTrainedTokenizerFast = chat_tokenizer(core)
    return tokenizer


def same_tokenizer(a: Any, b: Any) -> bool:
    """Whether both render and encode every conversation to the same ids; the pad token may differ."""
    if a is b:
        return True
    if a.chat_template != b.chat_template:
        return False
    pads = {a.pad_token, b.pad_token}
    left, right = a.get_vocab(), b.get_vocab()
    if any(left.get(t) != right.get(t) for t in (left.keys() ^ right.keys()) - pads):
        return False
    if any(left[t] != right[t] for t in left.keys() & right.keys()):
        return False
    parts = ("model", "normalizer", "pre_tokenizer")
    x, y = (json.loads(t.backend_tokenizer.to_str()) for t in (a, b))
    return all(x[part] == y[part] for part in parts)


def with_own_pad(tokenizer: Any) -> Any:
    """The tokenizer itself where its pad token ends no answer, else a copy with a pad token of its own.

    A classifier of transformers takes the last token that is not pad for the answer's last one, which
    must not be what ends it. A token that the vocabulary holds for padding is preferred to a new one.
    """
    pad, ends = tokenizer.pad_token_id, (tokenizer.eos_token_id, end_of_turn_id(tokenizer))
    if pad is not None and pad not in ends:
        return tokenizer
    spare = [
        t.content
        for i, t in sorted(tokenizer.added_tokens_decoder.items())
        if t.special and "pad" in t.content.lower() and i not in ends
    ]
    padded = copy.deepcopy(tokenizer)
    padded.add_special_tokens({"pad_token": spare[0] if spare else PAD})
    return padded
