"""Experiments beside the pocket world's demo: one thing changed, each a graph that shares its other steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.config import Config, apply_override, read_yaml, validate
from plaudit.errors import UserError
from plaudit.pipeline.run import recipe_path


@dataclass(frozen=True)
class Variation:
    """What a run changes: steps that it adds (None leaves one out), and settings."""

    sets: tuple[str, ...] = ()
    steps: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def config(self, overrides: Sequence[str], name: str) -> Config:
        """The demo's recipe with the overrides and this change."""
        raw = read_yaml(recipe_path("pocket"))
        steps = {n: s for n, s in raw["steps"].items() if self.steps.get(n, s) is not None}
        raw["steps"] = steps | {n: dict(s) for n, s in self.steps.items() if s is not None}
        # --quick may name a step that this change leaves out.
        kept = [o for o in overrides if not o.startswith("steps.") or o.split(".")[1] in raw["steps"]]
        for override in [*kept, *self.sets, f"name={name}"]:
            apply_override(raw, override)
        return validate(raw, name)


# Only the model's own answers are ranked: no ranking ever shows an answer to another question, and PPO finds out.
OWN_ANSWERS = "steps.rank.scripted_share=0"
# Over-optimization takes longer than the demo trains; the run beside it with a penalty is as long. Its coefficient is
# larger than the demo's: on these rankings, gold falls at .12 and stays at .2.
LONG = (OWN_ANSWERS, "steps.ppo.iterations=40", "steps.ppo.schedule=constant")
WEAK_PENALTY = {"kl": {"coefficient": 0.02}}
BIASED = "steps.rank.by={judge: pocket:raters, length: 0.06, flattery: 1.0, agreement: 1.2, list: 0.4}"
SMALL = {"hidden": 48, "layers": 2, "heads": 4, "vocabulary": 1500, "max_positions": 160}

EXPERIMENTS: dict[str, dict[str, Variation]] = {
    "no-leash": {
        "leashed": Variation((*LONG, "steps.ppo.kl.coefficient=0.2")),
        "no-leash": Variation((*LONG, "steps.ppo.kl.coefficient=0")),
    },
    "biased-raters": {"biased-raters": Variation((BIASED,))},
    # The hack; a round that ranks its answers alone and goes on from it; and one that ranks the answers of both hacked
    # policies beside the old one's, and starts from the old one again.
    "rounds": {
        "rounds": Variation(
            (OWN_ANSWERS, "steps.ppo.kl.coefficient=0.02"),
            {
                "rank-2": {"from": "ppo", "prompts": 600, "answers": [4, 9]},
                "reward-2": {
                    "from": "reward",
                    "on": ["rank", "rank-2"],
                    "batch_size": 4,
                    "lr": 0.0003,
                    "epochs": 1,
                },
                "ppo-2": {"from": "ppo", "iterations": 20, **WEAK_PENALTY},
                "rank-3": {"from": "sft", "beside": ["ppo", "ppo-2"], "prompts": 600, "answers": [6, 9]},
                "reward-3": {
                    "from": "reward",
                    "on": [{"rank": 0.5}, "rank-3"],
                    "batch_size": 4,
                    "lr": 0.0003,
                    "epochs": 1,
                },
                "ppo-3": {"from": "sft", "iterations": 20, **WEAK_PENALTY},
            },
        )
    },
    "skilled-writers": {"skilled-writers": Variation(("steps.sft.on=[skilled_demonstrations]",))},
    # One reward model for both, as InstructGPT used one of 6 B for policies of every size.
    "small-beats-large": {
        "small-beats-large": Variation(
            ("evaluate.also=[sft]",),
            {
                "ppo": None,
                "pretrain-small": {"policy": SMALL, "batch_size": 16, "lr": 0.003},
                "sft-small": {"from": "pretrain-small", "epochs": 2, "batch_size": 32, "lr": 0.001},
                "ppo-small": {"from": "sft-small", "iterations": 20, "kl": {"coefficient": 0.12}},
            },
        )
    },
}


def chosen(asked: Mapping[str, bool]) -> str | None:
    """The experiment that was asked for; UserError where several were."""
    names = [name for name, wanted in asked.items() if wanted]
    if len(names) > 1:
        raise UserError(
            f"{' and '.join(f'--{n}' for n in names)} are {len(names)} experiments",
            remedy="run one at a time: each goes beside the same demo",
        )
    return names[0] if names else None
