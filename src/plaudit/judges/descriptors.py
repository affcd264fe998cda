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
        resolved="plaudit.judges.options:resolved_reward",
    ),
    JudgeKind(
        "python",
        "A Python function (prompt, first, second) -> probability that the first is better.",
        "plaudit.judges.function:make",
        options="plaudit.judges.options:FunctionOptions",
        check="plaudit.judges.options:check_function",
        form="python:module:function",
        gated=True,
    ),
    JudgeKind(
        "local",
        "A language model on this machine, by the log-probabilities of label tokens, in both orders.",
        "plaudit.judges.language_options:make_local",
        options="plaudit.judges.language_options:LanguageOptions",
        check="plaudit.judges.language_options:check_local",
        form="local:PATH|RUN@step",
        gated=True,
        grades=True,
        resolved="plaudit.judges.options:resolved_policy",
        reviser="plaudit.judges.language_options:local_reviser",
    ),
    *(
        JudgeKind(
            scheme,
            "A language model behind an OpenAI-compatible server, in both orders, with ledger and cache.",
            f"plaudit.judges.language_options:make_{scheme}",
            options="plaudit.judges.language_options:RemoteOptions",
            check="plaudit.judges.language_options:check_remote",
            form=f"{scheme}://host/v1#model",
            gated=True,
            grades=True,
            resolved="plaudit.judges.options:resolved_address",
            reviser=f"plaudit.judges.language_options:{scheme}_reviser",
        )
        for scheme in ("http", "https")
    ),
)
