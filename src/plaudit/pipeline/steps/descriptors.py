"""Steps that are no method: a policy as it comes, rankings, the proxy judge, the evaluation."""

from __future__ import annotations

from plaudit.registry import STEPS, ModelDefaults, StepKind

SECTIONS = "plaudit.config.sections"
HERE = "plaudit.pipeline.steps"

STEPS.register(
    StepKind(
        "base",
        "Base model",
        "A policy as it comes: pretrained, or built and not yet trained.",
        f"{SECTIONS}:Base",
        f"{HERE}.policies:base",
        gives=("policy",),
        tone="base",
        cost=f"{HERE}.cost:loaded",
    ),
    StepKind(
        "rank",
        "Answers and rankings",
        "Answers of the newest policy, ranked by people or a judge.",
        f"{SECTIONS}:Rank",
        f"{HERE}.rank:rank",
        gives=("preferences",),
        data="prompts",
        starts="policy",
        judged=True,
        scored=True,
        tone="reward",
        cost=f"{HERE}.cost:ranked",
        pretrained=ModelDefaults(
            {"prompts": 500, "max_new_tokens": 128}, "lengths as for RL", {"max_new_tokens": 256}
        ),
    ),
    StepKind(
        "revise",
        "Critique and revision",
        "Answers of the newest policy, mended by the principles of a constitution.",
        f"{SECTIONS}:Revise",
        f"{HERE}.revise:revise",
        gives=("demonstrations", "preferences"),
        data="prompts",
        starts="policy",
        tone="reward",
        cost=f"{HERE}.cost:revised",
        check="plaudit.judges.language_options:check_revision",
    ),
    StepKind(
        "audit",
        "Audit",
        "What changed from one policy to another, and whether the reward pays for it where the truth does not.",
        f"{SECTIONS}:AuditSettings",
        f"{HERE}.audit:audit",
        gives=("numbers",),
        starts="policy",
        scored=True,
        cost=f"{HERE}.cost:audited",
        pretrained=ModelDefaults({"max_new_tokens": 128}, "lengths as for RL", {"max_new_tokens": 256}),
    ),
    StepKind(
        "proxy",
        "Proxy judge",
        "A reward model on a disjoint split, which judges where no truth is known.",
        f"{SECTIONS}:Evaluate",
        f"{HERE}.rewards:proxy",
        gives=("reward model",),
        data="preferences",
        starts="reward model",
        code=("plaudit.methods.train:reward_model",),
        cost=f"{HERE}.cost:fitted",
    ),
    StepKind(
        "evaluate",
        "Evaluation",
        "Held-out prompts answered by every policy of the run, and judged.",
        f"{SECTIONS}:Evaluate",
        f"{HERE}.evaluate:evaluate",
        gives=("numbers",),
        cost=f"{HERE}.cost:evaluated",
        pretrained=ModelDefaults(
            {"prompts": 200, "max_new_tokens": 128}, "lengths as for RL", {"max_new_tokens": 256}
        ),
    ),
)
