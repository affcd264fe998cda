"""A tokenizer in which every byte is a token: for inspecting data before there is a model."""

from __future__ import annotations

from typing import Any

from plaudit.data.rendering.chat_template import END, PAD, PLAUDIT, SPECIAL_TOKENS, TEXT


def byte_tokenizer() -> Any:
    """The 256 bytes and plaudit's role tokens, with plaudit's chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return chat_tokenizer(Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, [])))


def chat_tokenizer(core: Any) -> Any:
    """A byte-level transformers tokenizer with plaudit's role tokens and chat template."""
    from tokenizers import decoders, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=TEXT,
        eos_token=END,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in (PAD, TEXT, END)],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = PLAUDIT
    return tokenizer
