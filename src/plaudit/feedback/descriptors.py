"""The kinds of labeling task that plaudit brings, and the labeling project as a source of records."""

from plaudit.registry import SOURCES, TASKS, SourceKind, TaskKind

SOURCES.register(
    SourceKind(
        "project", "what people judged in a labeling project", "plaudit.feedback.exporting:project_rows"
    )
)

TASKS.register(
    TaskKind("pair", "Which answer is better?", least=2, most=2, strength=True),
    TaskKind("ranking", "Rank the answers, best first", least=3, most=9),
)
