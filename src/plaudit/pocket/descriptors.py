"""The pocket world as the registry knows it: its section, its records, its raters, its bars."""

from __future__ import annotations

from plaudit.registry import JUDGES, WORLDS, JudgeKind, WorldKind

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
            "prompts": "prompts",
        },
        judge="pocket:raters",
        bars="plaudit.pocket.bars:checks",
        attributes="plaudit.pocket.attributes:VOCABULARY",
    )
)
JUDGES.register(
    JudgeKind(
        "pocket",
        "Simulated raters who see the pocket world's truth through noise and biases.",
        make="plaudit.pocket.raters:make",
        options="plaudit.pocket.settings:Raters",
        check="plaudit.pocket.settings:check_raters",
        form="pocket:raters",
    )
)
