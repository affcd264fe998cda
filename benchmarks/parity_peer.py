"""The peer's losses and gradients on the work of parity.py; started by it in the peer's own environment."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from work import LONGEST

DPO = {
    "dpo": {"loss_type": ["sigmoid"]},
    "dpo robust": {"loss_type": ["robust"], "label_smoothing": 0.1},
    "dpo hinge": {"loss_type": ["hinge"]},
    "dpo ipo": {"loss_type": ["ipo"]},
    "dpo length_normalised": {"loss_type": ["sigmoid_norm"]},
    "dpo sppo_hard": {"loss_type": ["sppo_hard"]},
    "dpo apo_zero": {"loss_type": ["apo_zero"]},
    "dpo apo_down": {"loss_type": ["apo_down"]},
    "dpo js": {"loss_type": ["sigmoid"], "f_divergence_type": "js_divergence"},
    "dpo forward_kl": {"loss_type": ["sigmoid"], "f_divergence_type": "forward_kl"},
}


class Parity:
    """Trainers over one batch that is the whole data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
        self.rows = json.loads((folder / "rows.json").read_text())

    def model(self, name: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder / name, dtype=torch.float32)

    def settings(self, rows: int) -> dict[str, Any]:
        return {
            "output_dir": tempfile.mkdtemp(),
            "per_device_train_batch_size": rows,
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "report_to": [],
            "disable_tqdm": True,
            "max_length": LONGEST,
        }

    def pairs(self) -> Dataset:
        names = ("prompt", "chosen", "rejected")
        return Dataset.from_list([dict(zip(names, (r["prompt"], *r["answers"]))) for r in self.rows])

    def measured(self, trainer: Any, loss: Callable[[Any, Any], Any] | None = None) -> dict[str, Any]:
        batch = next(iter(trainer.get_train_dataloader()))
        model = trainer.model
        model.eval()  # no dropout anywhere; the loss itself does not look
        model.zero_grad()
        value = loss(model, batch) if loss else trainer.compute_loss(model, batch)
        value.backward()
        return {"loss": float(value), **{f"grad/{n}": p.grad.numpy() for n, p in model.named_parameters()}}

    def sft(self) -> dict[str, Any]:
        from trl import SFTConfig, SFTTrainer

        data = [{"prompt": r["prompt"], "completion": r["answers"][0]} for r in self.rows]
        return self.measured(
            SFTTrainer(
                self.model("policy"),
                args=SFTConfig(**self.settings(len(data))),
                train_dataset=Dataset.from_list(data),
                processing_class=self.tokenizer,
            )
        )

    def reward(self) -> dict[str, Any]:
        from trl import RewardConfig, RewardTrainer

        model = AutoModelForSequenceClassification.from_pretrained(
            self.folder / "reward", num_labels=1, dtype=torch.float32
        )
        model.config.pad_token_id = self.tokenizer.pad_token_id
        return self.measured(
            RewardTrainer(
                model,
                args=RewardConfig(**self.settings(len(self.rows))),
                train_dataset=self.pairs(),
                processing_class=self.tokenizer,
            )
        )

    def dpo(self, options: dict[str, Any]) -> dict[str, Any]:
        from trl import DPOConfig, DPOTrainer

        return self.measured(
            DPOTrainer(
                self.model("policy"),
                ref_model=self.model("reference"),
                args=DPOConfig(**self.settings(len(self.rows)), beta=0.1, **options),
                train_dataset=self.pairs(),
                processing_class=self.tokenizer,
            )
        )

    def kto(self) -> dict[str, Any]:
        from trl import KTOConfig, KTOTrainer

        data = [
            {"prompt": r["prompt"], "completion": r["answers"][i % 2], "label": i % 2 == 0}
            for i, r in enumerate(self.rows)
        ]
        return self.measured(
            KTOTrainer(
                self.model("policy"),
                ref_model=self.model("reference"),
                args=KTOConfig(**self.settings(len(data)), beta=0.1, undesirable_weight=1.5),
                train_dataset=Dataset.from_list(data),
                processing_class=self.tokenizer,
            )
        )

    def orpo(self) -> dict[str, Any]:
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        trainer = ORPOTrainer(
            self.model("policy"),
            args=ORPOConfig(**self.settings(len(self.rows)), beta=0.1),
            train_dataset=self.pairs(),
            processing_class=self.tokenizer,
        )

        def odds(model: Any, batch: Any) -> Any:
            # The part on odds alone: its NLL covers the prompt too, ours the answer.
            chosen, rejected, *_ = trainer.concatenated_forward(model, batch)
            return -trainer.odds_ratio_loss(chosen, rejected)[0].mean()

        return self.measured(trainer, odds)

    def cpo(self, kind: str) -> dict[str, Any]:
        from trl.experimental.cpo import CPOConfig, CPOTrainer

        options = {"beta": 2.0, "simpo_gamma": 1.0} if kind == "simpo" else {"beta": 0.1}
        trainer = CPOTrainer(
            self.model("policy"),
            args=CPOConfig(**self.settings(len(self.rows)), loss_type=kind, cpo_alpha=0.0, **options),
            train_dataset=self.pairs(),
            processing_class=self.tokenizer,
        )

        def preference(model: Any, batch: Any) -> Any:
            chosen, rejected, *_ = trainer.concatenated_forward(model, batch)
            return trainer.cpo_loss(chosen, rejected)[0].mean()

        return self.measured(trainer, preference)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    sys.stdout = sys.stderr  # trainers talk
    parity = Parity(given.folder)
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        "sft": parity.sft,
        "reward": parity.reward,
        **{name: lambda options=options: parity.dpo(options) for name, options in DPO.items()},
        "kto": parity.kto,
        "orpo": parity.orpo,
        "cpo": lambda: parity.cpo("sigmoid"),
        "simpo": lambda: parity.cpo("simpo"),
    }
    for name, case in cases.items():
        try:
            np.savez(given.folder / f"peer {name}.npz", **case())
        except Exception as error:
            (given.folder / f"peer {name}.txt").write_text(repr(error))


if __name__ == "__main__":
    main()
