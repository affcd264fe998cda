"""Tokenizers with chat templates in the manner of known families, and base tokenizers without."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from plaudit.models.tokenizers import train_bpe

TEXTS = [
    "An owl lives in a tree, so no.\n\nWhere does it live?\nIn a tree.",
    "What is 12 plus 30? It is 42.",
    "Human:\nhello there\n\nAssistant:\nhello, how are you today?\n\n",
    "im_start im_end user assistant system end start_of_turn end_of_turn model INST eot_id",
]


# Line breaks stay together and apart from the word that follows, as in the newer byte-level tokenizers.
LINES = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def make(
    specials: list[str],
    template: str | None,
    *,
    style: str = "bytes",
    bos: bool = False,
    thoughts: tuple[str, ...] = (),
    **names: str,
) -> Any:
    """``style``: bytes (GPT-2), lines (GPT-4), spaces (SentencePiece: a space before the first word), words (BERT).

    ``fallback`` is spaces with a token for every byte, for characters that no text had. ``thoughts`` are added
    tokens that are not special, as ``<think>`` is in most vocabularies.
    """
    unknown = [] if style == "bytes" else ["<unk>"]
    core = Tokenizer(models.BPE(unk_token=unknown[0] if unknown else None, byte_fallback=False))
    alphabet = sorted({*map(chr, range(33, 127)), "\n"})
    if style in ("bytes", "lines"):
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        if style == "lines":
            core.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(LINES), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        core.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    elif style in ("spaces", "fallback"):
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Metaspace(prepend_scheme="first")]
        )
        core.decoder = decoders.Metaspace(prepend_scheme="first")
        alphabet.append("▁")
    else:
        core.normalizer = normalizers.BertNormalizer(lowercase=True)
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=unknown + specials, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    if bos:
        first = names.get("bos_token") or names["cls_token"]
        last = names.get("sep_token")
        core.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}" if last else f"{first} $A",
            special_tokens=[(t, core.token_to_id(t)) for t in (first, last) if t],
        )
    if style == "fallback":
        core.model = with_bytes(core)
        core.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    used = set(names.values()) | set(unknown)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        additional_special_tokens=[t for t in specials if t not in used],
        **({"unk_token": "<unk>"} if unknown else {}),
        **names,
    )
    tokenizer.add_tokens(list(thoughts))
    tokenizer.chat_template = template
    return tokenizer


def with_bytes(core: Tokenizer) -> Any:
    """The trained model with a token for every byte behind its own."""
    trained = json.loads(core.to_str())["model"]
    vocabulary = dict(trained["vocab"])
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in trained["merges"]]
    return models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True)


def chatml() -> Any:
    return make(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )


def headers() -> Any:
    """A begin-of-text token, role headers, trimmed contents."""
    return make(
        ["<|begin|>", "<|role|>", "<|/role|>", "<|eot_id|>", "<|stop|>"],
        "{{ bos_token }}{% for m in messages %}<|role|>{{ m.role }}<|/role|>\n\n{{ m.content | trim }}"
        "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|role|>assistant<|/role|>\n\n{% endif %}",
        style="lines",
        bos=True,
        bos_token="<|begin|>",
        eos_token="<|stop|>",
    )


def no_system() -> Any:
    """Refuses system turns; the assistant is called model."""
    return make(
        ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
        "{{ bos_token }}{% for m in messages %}"
        "{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        style="spaces",
        bos=True,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
    )


def trailing_eos() -> Any:
    """Closes the whole conversation with another token than the turn."""
    return make(
        ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        eos_token="<|endoftext|>",
    )


def brackets() -> Any:
    """Textual role marks, a space before the answer, system turns dropped without a word."""
    return make(
        ["<s>", "</s>"],
        "{{ bos_token }}{% for m in messages %}"
        "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        style="spaces",
        bos=True,
        bos_token="<s>",
        eos_token="</s>",
    )


def base() -> Any:
    """A base model's tokenizer: one special token for everything."""
    return make(["<|endoftext|>"], None, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def base_with_start() -> Any:
    return make(["<s>", "</s>"], None, style="spaces", bos=True, bos_token="<s>", eos_token="</s>")


def encoder() -> Any:
    return make(
        ["[PAD]", "[CLS]", "[SEP]"],
        None,
        style="words",
        bos=True,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
    )


def ours() -> Any:
    return train_bpe(TEXTS, 320)


FAMILIES = {
    f.__name__: f
    for f in (ours, chatml, headers, no_system, trailing_eos, brackets, base, base_with_start, encoder)
}
