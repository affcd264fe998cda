"""The pocket world as the registry knows it: its section, its records, its raters, its bars."""

from __future__ import annotations

from plaudit.registry import JUDGES, WORLDS, DetectorKind, JudgeKind, WorldKind

WORLDS.register(
    WorldKind(
        "pocket",
        "Two hundred facts, the people who ask about them, and a known truth.",
        settings="plaudit.pocket.settings:Pocket",
        make="plaudit.pocket.setting:PocketWorld",
        roles={
            "corpus": "text",
            "demonstrations": "demonstrations",
            "skilled_demonstrations": "demonstrations",
            "votes": "preferences",
            "statements": "preferences",
            "prompts": "prompts",
        },
        judge="pocket:raters",
        bars="plaudit.pocket.bars:checks",
        attributes="plaudit.pocket.attributes:VOCABULARY",
        detectors=(
            DetectorKind("list_form", "answers in the form of a list", "plaudit.pocket.attributes:list_form"),
        ),
    )
)
JUDGES.register(
    JudgeKind(
        "pocket",
        "In the pocket world: simulated raters (noise, biases), or a rule with a known error and position bias.",
        make="plaudit.pocket.raters:make",
        check="plaudit.pocket.settings:check_judge",
        form="pocket:raters|rule",
        reviser="plaudit.pocket.rule_reviser:make",
        check_reviser="plaudit.pocket.rule_reviser:check",
    )
)
