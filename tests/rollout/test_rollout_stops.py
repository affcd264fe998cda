"""Stop strings where a character is cut between tokens, and where decoding strips a space."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from plaudit.rollout.stops import StopStrings

PIECES = ["é", "日本", "🙂", "stop", "\n\n", "User:", *"a bab a b"]


def byte_level():
    """Every byte is a token; so are a few pairs."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("s", "t"), ("o", "p"), ("Ġ", "a"), ("b", "Ġ")]
    vocabulary = {token: i for i, token in enumerate([*letters, *("".join(m) for m in merges)])}
    tokens = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokens.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokens)


def metaspace():
    """Every character is a token; decoding strips the first token's space, as SentencePiece does."""
    letters = sorted({"▁", *"".join(PIECES).replace(" ", "")})
    tokens = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(letters)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokens.decoder = decoders.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=tokens)


@pytest.fixture(scope="module", params=[byte_level, metaspace])
def tokenizer(request):
    return request.param()


@pytest.mark.parametrize(
    "stop",
    [("é",), ("日本",), ("stop",), ("\n\n", "User:"), ("a b",), (" a",), (" ",), ("b a", "é")],
)
def test_the_completing_token_is_the_one_found_by_decoding_everything(tokenizer, stop):
    rng = np.random.default_rng(0)
    completed = 0
    for _ in range(30):
        text = "".join(rng.choice(PIECES, size=30))
        row = np.array(tokenizer.encode(text))
        places = [n for n in range(1, len(row) + 1) if any(s in tokenizer.decode(row[:n]) for s in stop)]
        stops = StopStrings(tokenizer, stop)
        found = len(row) + 1
        for n in range(1, len(row) + 1):
            args = row[n - 1 : n], row[None], np.array([n]), np.array([True])
            if stops.completed(*args)[0]:
                found = n
                break
        assert found == (places[0] if places else len(row) + 1)
        completed += bool(places)
    assert completed > 5


def test_only_the_rows_asked_for_are_judged(tokenizer):
    row = np.array(tokenizer.encode("stop"))
    count, last = np.full(2, len(row)), np.full(2, row[-1])
    found = StopStrings(tokenizer, ("stop",)).completed(
        last, np.stack([row, row]), count, np.array([False, True])
    )
    assert found.tolist() == [False, True]
