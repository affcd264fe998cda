"""The kinds of labeling task that plaudit brings."""

from plaudit.registry import TASKS, TaskKind

TASKS.register(
    TaskKind("pair", "Which answer is better?", least=2, most=2, strength=True),
    TaskKind("ranking", "Rank the answers, best first", least=3, most=9),
)
