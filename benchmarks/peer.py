"""One measurement of TRL, the most used library, as a sensible user runs it; prints one JSON line."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import resource
import sys
import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    TrainerCallback,
)
from work import LONGEST, NEW, rows, short_prompts, weights

WARM = 4


class Watch(TrainerCallback):
    """Stops a trainer after enough seconds, warm-up not counted."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.marks: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self.marks.append(time.perf_counter())
        if len(self.marks) > WARM and self.marks[-1] - self.marks[WARM - 1] >= self.seconds:
            control.should_training_stop = True
        return control

    def result(self, batch: int, tokens: float) -> dict[str, float]:
        steps = len(self.marks) - WARM
        took = self.marks[-1] - self.marks[WARM - 1]
        return {"samples": steps * batch / took, "tokens": steps * batch * tokens / took, "steps": steps}


def common(batch: int, bf16: bool) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": batch,
        "max_steps": 100_000,
        "learning_rate": 1e-4,
        "use_cpu": True,
        "bf16": bf16,
        "gradient_checkpointing": False,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }


def sft(folder: str, tokenizer: Any, seconds: float, bf16: bool) -> dict[str, float]:
    from trl import SFTConfig, SFTTrainer

    data = [{"prompt": r["prompt"], "completion": r["answers"][0]} for r in rows()]
    watch = Watch(seconds)
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=SFTConfig(**common(16, bf16), max_length=LONGEST),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    n = weights(trainer.model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.train()
    mean = sum(len(ids) for ids in trainer.train_dataset["input_ids"]) / len(trainer.train_dataset)
    return {**watch.result(16, mean), "weights": n, "before_kb": before}


def reward(folder: str, tokenizer: Any, seconds: float, bf16: bool, answers: int) -> dict[str, float]:
    from trl import RewardConfig, RewardTrainer

    data = [
        {"prompt": r["prompt"], "chosen": r["answers"][i], "rejected": r["answers"][j]}
        for r in rows()
        for i, j in itertools.combinations(range(answers), 2)
    ]
    batch = 8 if answers == 2 else 24
    watch = Watch(seconds)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id
    trainer = RewardTrainer(
        model,
        args=RewardConfig(**common(batch, bf16), max_length=LONGEST),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    n = weights(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.train()
    found = watch.result(batch, 0.0)
    if answers > 2:  # rankings a second, like ours
        found["samples"] /= answers * (answers - 1) / 2
    return {**found, "weights": n, "before_kb": before}


def ppo(folder: str, tokenizer: Any, seconds: float, bf16: bool) -> dict[str, float]:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    prompts = short_prompts(tokenizer)
    tokenizer.padding_side = "left"
    settings = common(16, bf16)
    settings.pop("max_steps")
    settings["learning_rate"] = 1e-6
    watch = Watch(seconds)

    def classifier() -> Any:
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
        model.config.pad_token_id = tokenizer.pad_token_id
        return model

    def policy() -> Any:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.lm_head.weight.data[1] = 0
        return model

    trainer = PPOTrainer(
        args=PPOConfig(
            **settings,
            total_episodes=16 * 10_000,
            num_ppo_epochs=4,
            num_mini_batches=1,
            local_rollout_forward_batch_size=16,
            num_sample_generations=0,
            response_length=NEW,
            temperature=1.0,
            kl_coef=0.05,
        ),
        processing_class=tokenizer,
        model=policy(),
        ref_model=policy(),
        reward_model=classifier(),
        value_model=classifier(),
        train_dataset=Dataset.from_dict({"input_ids": prompts}),
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[watch, Stop(watch)],
    )
    n = weights(trainer.model.policy)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(Enough):
        trainer.train()
    mean = sum(map(len, prompts)) / len(prompts) + NEW
    return {**watch.result(16, mean), "weights": n, "before_kb": before}


class Enough(Exception):
    pass


class Stop(TrainerCallback):
    """The PPO trainer does not look at ``should_training_stop``."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if control.should_training_stop:
            raise Enough
        return control


def pairs() -> Dataset:
    return Dataset.from_list(
        [{"prompt": r["prompt"], "chosen": r["answers"][0], "rejected": r["answers"][1]} for r in rows()]
    )


def dpo(
    folder: str, tokenizer: Any, seconds: float, bf16: bool, precomputed: bool, loss: str = "sigmoid"
) -> dict[str, float]:
    from trl import DPOConfig, DPOTrainer

    watch = Watch(seconds)
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        ref_model=None if precomputed else AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=DPOConfig(
            **common(8, bf16), max_length=LONGEST, precompute_ref_log_probs=precomputed, loss_type=[loss]
        ),
        train_dataset=pairs().select(range(400)) if precomputed else pairs(),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    return trained(trainer, watch, 8)


def trained(trainer: Any, watch: Watch, batch: int) -> dict[str, float]:
    n = weights(trainer.model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.train()
    return {**watch.result(batch, 0.0), "weights": n, "before_kb": before}


def orpo(folder: str, tokenizer: Any, seconds: float, bf16: bool) -> dict[str, float]:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    watch = Watch(seconds)
    trainer = ORPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=ORPOConfig(**common(8, bf16), max_length=LONGEST),
        train_dataset=pairs(),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    return trained(trainer, watch, 8)


def cpo(folder: str, tokenizer: Any, seconds: float, bf16: bool, loss: str) -> dict[str, float]:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    # SimPO has no NLL term.
    alpha = 0.0 if loss == "simpo" else 1.0
    watch = Watch(seconds)
    trainer = CPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=CPOConfig(**common(8, bf16), max_length=LONGEST, loss_type=loss, cpo_alpha=alpha),
        train_dataset=pairs(),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    return trained(trainer, watch, 8)


def kto(folder: str, tokenizer: Any, seconds: float, bf16: bool) -> dict[str, float]:
    from trl import KTOConfig, KTOTrainer

    data = [
        {"prompt": r["prompt"], "completion": r["answers"][i % 2], "label": i % 2 == 0}
        for i, r in enumerate(rows())
    ]
    watch = Watch(seconds)
    trainer = KTOTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        ref_model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=KTOConfig(**common(16, bf16), max_length=LONGEST),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    return trained(trainer, watch, 16)


def group(folder: str, tokenizer: Any, seconds: float, bf16: bool, kind: str) -> dict[str, float]:
    import trl

    tokenizer.padding_side = "left"
    watch = Watch(seconds)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.lm_head.weight.data[1] = 0
    reward_model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32
    )
    reward_model.config.pad_token_id = tokenizer.pad_token_id
    settings = {**common(16, bf16), "learning_rate": 1e-6}
    shared = {"num_generations": 8, "max_completion_length": NEW, "temperature": 1.0, "beta": 0.05}
    prompts = [{"prompt": tokenizer.decode(ids)} for ids in short_prompts(tokenizer)]
    trainer = getattr(trl, f"{kind}Trainer")(
        model,
        reward_funcs=reward_model,
        args=getattr(trl, f"{kind}Config")(**settings, **shared),
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
        reward_processing_classes=AutoTokenizer.from_pretrained(folder),
        callbacks=[watch],
    )
    return trained(trainer, watch, 16)


def online_dpo(folder: str, tokenizer: Any, seconds: float, bf16: bool) -> dict[str, float]:
    """Two samples of each of 8 prompts a step, the better by the reward preferred."""
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    tokenizer.padding_side = "left"
    watch = Watch(seconds)

    def policy() -> Any:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.lm_head.weight.data[1] = 0
        return model

    reward_model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32
    )
    reward_model.config.pad_token_id = tokenizer.pad_token_id
    settings = {**common(8, bf16), "learning_rate": 1e-6}
    trainer = OnlineDPOTrainer(
        policy(),
        ref_model=policy(),
        reward_funcs=reward_model,
        args=OnlineDPOConfig(**settings, max_new_tokens=NEW, max_length=LONGEST, temperature=1.0, beta=0.05),
        train_dataset=Dataset.from_list(
            [{"prompt": tokenizer.decode(ids)} for ids in short_prompts(tokenizer)]
        ),
        processing_class=tokenizer,
        reward_processing_classes=AutoTokenizer.from_pretrained(folder),
        callbacks=[watch],
    )
    return trained(trainer, watch, 16)


def sampling(
    folder: str, tokenizer: Any, seconds: float, bf16: bool, prompts: int, n: int
) -> dict[str, float]:
    ids = short_prompts(tokenizer)
    tokenizer.padding_side = "left"
    dtype = torch.bfloat16 if bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    model.lm_head.weight.data[1] = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = calls = 0
    start = time.perf_counter()
    for call in itertools.count():
        chosen = [ids[(call * prompts + i) % len(ids)] for i in range(prompts)]
        batch = tokenizer.pad({"input_ids": chosen}, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(
                **batch, max_new_tokens=48, do_sample=True, top_k=0, num_return_sequences=n, pad_token_id=0
            )
        if call < WARM:
            start = time.perf_counter()
            continue
        done, calls = done + out[:, batch["input_ids"].shape[1] :].numel(), calls + 1
        if time.perf_counter() - start >= seconds:
            break
    took = time.perf_counter() - start
    found = {"samples": done / took / 48, "tokens": done / took, "steps": calls}
    return {**found, "weights": weights(model), "before_kb": before}


ROWS = {
    "sft": sft,
    "reward": lambda *a: reward(*a, 2),
    "reward-k4": lambda *a: reward(*a, 4),
    "ppo": ppo,
    "dpo": lambda *a: dpo(*a, False),
    "dpo-precomputed": lambda *a: dpo(*a, True),
    "ipo": lambda *a: dpo(*a, False, "ipo"),
    "orpo": orpo,
    "simpo": lambda *a: cpo(*a, "simpo"),
    "cpo": lambda *a: cpo(*a, "sigmoid"),
    "kto": kto,
    "kto-live": kto,
    "grpo": lambda *a: group(*a, "GRPO"),
    "rloo": lambda *a: group(*a, "RLOO"),
    "online-dpo": online_dpo,
    "sampling-64x1": lambda *a: sampling(*a, 64, 1),
    "sampling-8x8": lambda *a: sampling(*a, 8, 8),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    printed, sys.stdout = sys.stdout, sys.stderr  # trainers talk
    found = ROWS[given.row](given.model, tokenizer, given.seconds, given.precision == "bf16")
    sys.stdout = printed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["peak_mb"] = (peak - found.pop("before_kb")) / 1024
    print(json.dumps({**found, "rss_mb": peak / 1024}))


if __name__ == "__main__":
    main()
