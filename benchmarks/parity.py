"""Are our losses and gradients the peer's, on the same weights and the same real pairs?

    python benchmarks/parity.py

Prints one line a method: both losses, and how far the gradients are apart. docs/benchmarks.md explains the differences.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from run import peer_python
from work import FOLDER, HERE, prepare, rows

from plaudit.config import Cpo, Dpo, Kto, Orpo, Simpo
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.methods.direct import DirectPreference
from plaudit.methods.kto import KTO, attach_mismatched_reference
from plaudit.methods.reference_log_probs import precompute
from plaudit.methods.reward_model import RewardModeling
from plaudit.methods.supervised import Supervised
from plaudit.models.policy import load_policy, save_policy
from plaudit.models.reward_model import RewardModel, save_reward_model
from plaudit.runs import Stage
from plaudit.training.engine import Engine, ParameterGroup, trainable

PLACE = FOLDER / "parity"
COUNT = 12
CASES: dict[str, Any] = {
    "dpo": Dpo(),
    "dpo robust": Dpo(loss="robust", label_smoothing=0.1),
    "dpo hinge": Dpo(loss="hinge"),
    "dpo ipo": Dpo(loss="ipo", length_normalised=True),
    "dpo length_normalised": Dpo(length_normalised=True),
    "dpo sppo_hard": Dpo(loss="sppo_hard"),
    "dpo apo_zero": Dpo(loss="apo_zero"),
    "dpo apo_down": Dpo(loss="apo_down"),
    "dpo js": Dpo(divergence="js"),
    "dpo forward_kl": Dpo(divergence="forward_kl"),
    "cpo": Cpo(nll=0.0),
    "simpo": Simpo(beta=2.0, gamma=1.0),
    "orpo": Orpo(odds_weight=0.1),
}


def write_work() -> list[dict[str, Any]]:
    """Short real pairs, a policy, a reference that differs a little from it, and a reward model."""
    prepare()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    policy = load_policy(FOLDER / "5M-4096")
    chosen = []
    for row in rows():
        size = len(policy.tokenizer(row["prompt"] + max(row["answers"][:2], key=len))["input_ids"])
        if size < 160 and row["answers"][0] != row["answers"][1]:
            chosen.append({"prompt": row["prompt"], "answers": row["answers"][:2]})
    chosen = chosen[:COUNT]
    (PLACE / "rows.json").write_text(json.dumps(chosen))
    save_policy(policy, PLACE / "policy", card="parity")
    save_reward_model(RewardModel.from_policy(policy, seed=1), PLACE / "reward", card="parity")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    save_policy(policy, PLACE / "reference", card="parity")
    return chosen


def items_of(chosen: list[dict[str, Any]], tokenizer: Any) -> list[TokenItem]:
    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    outcome = SimpleNamespace(left=0, right=1, result=1.0, weight=1.0, strength=None)
    return [
        TokenItem(
            np.asarray(ids(row["prompt"])),
            tuple(Segment.of([*ids(a), tokenizer.eos_token_id]) for a in row["answers"]),
            key=str(i),
            extras={"weight": [1.0, 1.0]},
            payload=SimpleNamespace(responses=row["answers"], outcomes=[outcome]),
        )
        for i, row in enumerate(chosen)
    ]


def measured(method: Any, module: Any, items: list[TokenItem]) -> dict[str, Any]:
    module.zero_grad()
    engine = Engine([ParameterGroup("m", trainable(module), 1e-4)], schedule=lambda _: 1.0, token_budget=8192)
    totals = engine.accumulate([(method, items)])
    return {
        "totals": totals,
        "grads": {n: p.grad for n, p in module.named_parameters() if p.grad is not None},
    }


def ours(chosen: list[dict[str, Any]]) -> dict[str, Callable[[], tuple[float, dict[str, Any]]]]:
    policy = load_policy(PLACE / "policy")
    items = items_of(chosen, policy.tokenizer)
    reference = load_policy(PLACE / "reference")
    referenced = precompute(reference, items, Stage(PLACE / "known"))

    def run(method: Any, module: Any, of: list[TokenItem], term: str) -> tuple[float, dict[str, Any]]:
        found = measured(method, module, of)
        return found["totals"][f"loss/{term}"][0], found["grads"]

    def direct(settings: Any) -> tuple[float, dict[str, Any]]:
        method = DirectPreference(policy, settings)
        scale = 1.0
        if isinstance(settings, Orpo):
            method.nll, scale = 0.0, settings.odds_weight
        loss, grads = run(method, policy.model, referenced, "preference")
        return scale * loss, grads

    def kto() -> tuple[float, dict[str, Any]]:
        settings = Kto(beta=0.1, undesirable_weight=1.5)
        single = [
            replace(
                item,
                responses=(item.responses[i % 2],),
                extras={"weight": [1.0], "good": [float(i % 2 == 0)]},
            )
            for i, item in enumerate(items)
        ]
        single = [
            replace(item, payload=TokenItem(item.prompt, single[i - 1].responses))
            for i, item in enumerate(single)
        ]
        known = precompute(reference, [*single, *(s.payload for s in single)], Stage(PLACE / "known"))
        of = attach_mismatched_reference(known[: len(single)], known[len(single) :])
        return run(KTO(policy, settings), policy.model, of, "kto")

    model = RewardModel.from_policy(policy, seed=1)
    first = [replace(item, responses=item.responses[:1], extras={"weight": [1.0]}) for item in items]
    return {
        "sft": lambda: run(Supervised(policy), policy.model, first, "nll"),
        "reward": lambda: run(RewardModeling(model, pad_id=0), model, items, "ranking"),
        **{name: lambda settings=settings: direct(settings) for name, settings in CASES.items()},
        "kto": kto,
    }


def theirs(name: str) -> dict[str, Any] | None:
    path = PLACE / f"peer {name}.npz"
    return dict(np.load(path)) if path.exists() else None


def same_name(name: str) -> str:
    """A parameter's name without what only wraps it."""
    for prefix, plain in (("backbone.", "model."), ("head.", "score.")):
        if name.startswith(prefix):
            return plain + name.removeprefix(prefix)
    return name


def main() -> None:
    torch.set_num_threads(1)
    chosen = write_work()
    subprocess.run([str(peer_python()), str(HERE / "parity_peer.py"), str(PLACE)], check=True, cwd=HERE)
    print("| method | plaudit | TRL | gradients apart by |\n|---|---|---|---|")
    for name, case in ours(chosen).items():
        loss, grads = case()
        peer = theirs(name)
        if peer is None:
            why = Path(PLACE / f"peer {name}.txt")
            print(f"| {name} | {loss:.6f} | – | {why.read_text()[:90] if why.exists() else 'not there'} |")
            continue
        apart = total = 0.0
        for key, grad in grads.items():
            other = torch.from_numpy(peer[f"grad/{same_name(key)}"])
            apart += float((grad - other).square().sum())
            total += float(other.square().sum())
        print(
            f"| {name} | {loss:.6f} | {float(peer['loss']):.6f} | {(apart / total) ** 0.5:.1e} |", flush=True
        )


if __name__ == "__main__":
    main()
