"""The work that both sides do: one saved model, one file of examples, the same for every measurement.

Examples are real preference pairs where ``../shared/data`` has them, else made-up ones of the same lengths.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE / ".work"
REAL = HERE.parents[1] / "shared" / "data" / "hh_harmless_test" / "harmless-base_test.jsonl.gz"
LONGEST = 512
PROMPT, NEW = 128, 64  # of PPO
SIZES = {"5M": (256, 4), "27M": (512, 8)}
SEPARATOR = "\n\nAssistant:"


def pairs() -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected) in words."""
    if REAL.exists():
        with gzip.open(REAL, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        found = []
        for row in rows:
            prompt, _, chosen = row["chosen"].rpartition(SEPARATOR)
            other, _, rejected = row["rejected"].rpartition(SEPARATOR)
            if prompt == other and chosen.strip() and rejected.strip():
                found.append((prompt + SEPARATOR, chosen, rejected))
        return found
    rng = random.Random(0)
    words = ["".join(rng.choice("aeioubcdlmnrst") for _ in range(rng.randint(2, 9))) for _ in range(900)]

    def text(mean: float) -> str:
        return " " + " ".join(
            rng.choice(words) for _ in range(max(2, int(rng.lognormvariate(0, 0.7) * mean)))
        )

    return [(text(70), text(28), text(28)) for _ in range(2000)]


def prepare() -> Path:
    """Write models and examples once; the folder that holds them."""
    if (FOLDER / "done").exists():
        return FOLDER
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    FOLDER.mkdir(exist_ok=True)
    texts = pairs()
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        (part for row in texts for part in row),
        trainers.BpeTrainer(
            vocab_size=4096,
            special_tokens=["<pad>", "<end>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    rng = random.Random(1)
    rows = []
    for prompt, chosen, rejected in texts:
        extra = [rng.choice(texts)[1] for _ in range(2)]
        if count(prompt) + max(count(a) for a in (chosen, rejected, *extra)) + 1 <= LONGEST:
            rows.append({"prompt": prompt, "answers": [chosen, rejected, *extra]})
    (FOLDER / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for size, (hidden, layers) in SIZES.items():
        for vocabulary in (4096, 32_000) if size == "5M" else (4096,):
            torch.manual_seed(0)
            model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=vocabulary,
                    hidden_size=hidden,
                    intermediate_size=hidden * 43 // 16,
                    num_hidden_layers=layers,
                    num_attention_heads=hidden // 64,
                    max_position_embeddings=1024,
                    tie_word_embeddings=False,
                    pad_token_id=0,
                    bos_token_id=None,
                    eos_token_id=1,
                )
            )
            model.save_pretrained(FOLDER / f"{size}-{vocabulary}")
            tokenizer.save_pretrained(FOLDER / f"{size}-{vocabulary}")
    (FOLDER / "done").touch()
    return FOLDER


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / "rows.jsonl").read_text().splitlines()]


def short_prompts(tokenizer: Any) -> list[list[int]]:
    """Prompts of PPO and sampling: the last ``PROMPT`` tokens of each."""
    return [tokenizer(r["prompt"], add_special_tokens=False)["input_ids"][-PROMPT:] for r in rows()]


def weights(model: Any) -> int:
    """N of the arithmetic 6 · N · tokens: every weight but the input embedding, which is only looked up."""
    return sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
