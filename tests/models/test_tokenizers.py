"""Byte-level BPE trained here, and when two tokenizers count as one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from tiny_models import TEXTS, plain_tokenizer

from plaudit.data.rendering.chat_template import SPECIAL_TOKENS
from plaudit.errors import UserError
from plaudit.models.tokenizers import same_tokenizer, train_bpe, with_own_pad

TOKENIZER = train_bpe(TEXTS, 320)


def test_special_tokens_come_first_and_pad_is_not_the_end():
    assert TOKENIZER.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(6))
    assert (TOKENIZER.pad_token, TOKENIZER.bos_token, TOKENIZER.eos_token) == (
        "<|pad|>",
        "<|text|>",
        "<|end|>",
    )
    assert set(TOKENIZER.all_special_tokens) == set(SPECIAL_TOKENS)
    assert len(TOKENIZER) == 320


def test_the_same_texts_give_the_same_tokenizer_in_every_process():
    """Here, by as many threads as there are cores and under this process's hashes, and in another by one thread."""
    code = (
        "from plaudit.models.tokenizers import train_bpe; import hashlib, sys\n"
        f"t = train_bpe({TEXTS!r} * 30, 400)\n"
        "print(hashlib.sha256(t.backend_tokenizer.to_str().encode()).hexdigest(), hash('salted'))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1", "RAYON_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = hashlib.sha256(train_bpe(TEXTS * 30, 400).backend_tokenizer.to_str().encode()).hexdigest()
    digest, salted = other.split()
    assert digest == here and int(salted) != hash("salted")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_comes_back(text):
    ids = TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert TOKENIZER.decode(ids) == text


def test_a_vocabulary_that_cannot_hold_the_bytes_is_an_error():
    with pytest.raises(UserError, match="262"):
        train_bpe(TEXTS, 261)
    assert len(train_bpe([], 262)) == 262


def test_tokenizers_are_the_same_when_only_the_pad_differs():
    one = plain_tokenizer(pad=None)
    assert same_tokenizer(one, plain_tokenizer(pad=None))
    padded = with_own_pad(plain_tokenizer(pad=None))
    assert padded.pad_token is not None and len(padded) == len(one) + 1
    assert padded.chat_template is not None
    one.chat_template = padded.chat_template
    assert same_tokenizer(one, padded) and same_tokenizer(padded, one)


def test_tokenizers_differ_by_template_merges_or_any_other_token():
    assert not same_tokenizer(TOKENIZER, train_bpe(TEXTS, 321))
    assert not same_tokenizer(TOKENIZER, train_bpe(TEXTS[::-1][:2], 320))
    other = train_bpe(TEXTS, 320)
    assert same_tokenizer(TOKENIZER, other)
    other.chat_template = "{{ 'x' }}"
    assert not same_tokenizer(TOKENIZER, other)
    other = train_bpe(TEXTS, 320)
    other.add_tokens(["zebra"])
    assert not same_tokenizer(TOKENIZER, other)
