"""The judges that plaudit brings, by the scheme that begins their spec."""

from plaudit.registry import JUDGES, JudgeKind

JUDGES.register(
    JudgeKind(
        "reward",
        "A reward model ranks by its score: a step of the run, RUN@step, or a folder.",
        "plaudit.judges.reward:make",
        options="plaudit.judges.options:RewardOptions",
        check="plaudit.judges.options:check_reward",
        form="reward:STEP|PATH|RUN@step",
    ),
    JudgeKind(
        "python",
        "A Python function (prompt, first, second) -> probability that the first is better.",
        "plaudit.judges.function:make",
        options="plaudit.judges.options:FunctionOptions",
        check="plaudit.judges.options:check_function",
        form="python:module:function",
    ),
)
