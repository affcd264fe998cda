"""Red-teaming of a reward: a policy's answers are mutated and selected, and what was found becomes ranking items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.audit.redteam import CHILDREN, KEPT, Find, search, summary
from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Message, Prompt, Response
from plaudit.errors import UserError
from plaudit.pipeline.auditing import answerable, named_reward, say_what_is_asked, truth_of
from plaudit.pipeline.preflight_audit import UNSEEN, looked_at, of_run, prompts_of
from plaudit.pipeline.run_record import run_day, run_of_steps
from plaudit.registry import PROXY
from plaudit.rewards import Sample, checked
from plaudit.runs import files

REDTEAM_STEP = 8_000_000  # a stream of random numbers of its own
ANSWERS, PROMPTS, ROUNDS = 8, 50, 3
NAME = "redteam.jsonl"


def redteam_run(
    run: str | Path,
    *,
    second: str | None = None,
    prompts: str | Path | Sequence[Prompt] | None = None,
    answers: int = ANSWERS,
    limit: int = PROMPTS,
    rounds: int = ROUNDS,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Search for answers that a run's reward likes and gold, its proxy judge or ``second`` does not.

    The search begins with ``answers`` draws of the run's end to ``limit`` held-out prompts (or to ``prompts``, a file
    or records). Finds are written to ``out``, ``redteam.jsonl`` of the run by default. UserError where the run has no
    reward, or nothing gives a second opinion.
    """
    from plaudit.data.rendering.template_date import pin_day
    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.steps.evaluation_prompts import unseen_prompts
    from plaudit.pipeline.steps.scoring import run_reward

    folder, record = run_of_steps(run)
    config = validate(record["config"], f"{folder.path}/run.json")
    graph = graph_of(config)
    if graph.rewarded_by is None:
        raise UserError(
            f"{folder.path} has no reward to attack",
            remedy="name one: plaudit redteam --reward SPEC --policy MODEL --prompts FILE --second SPEC",
        )
    if prompts is None and config.evaluate is None:
        raise UserError(f"{folder.path} holds no prompts out", remedy="name a file of them: --prompts FILE")
    if second is None and config.world is None and PROXY not in graph.nodes:
        raise UserError(
            "nothing gives a second opinion of the answers", remedy="name another reward: --second SPEC"
        )
    target = Path(out) if out else folder.path / NAME
    settings, end = config.evaluate, graph.places["end"]
    look = of_run(
        folder,
        config,
        [end],
        reward=graph.rewarded_by,
        second=second,
        prompts=prompts,
        limit=limit,
        splits=UNSEEN,
    )
    looked_at(None, limit, rewards={"second": second}, out=target, also=[look])
    context = context_of(folder, config)
    with pin_day(run_day(folder)), context.runtime.computing():
        policy = context.load(end)
        reward = run_reward(context, policy)
        assert reward is not None  # a run without one is refused above
        judge = truth_of(context, policy, second)
        assert judge is not None  # nothing that judges is refused above
        if prompts is None:
            asked = unseen_prompts(context, [policy], limit, label="red-team")
        else:
            room = settings.max_new_tokens if settings else 128
            asked = answerable(policy, prompts_of(prompts, limit), room, "red-team")
        # At most: edits that were seen before are not scored again.
        say_what_is_asked(
            context, graph[graph.rewarded_by], len(asked) * (answers + rounds * KEPT * CHILDREN)
        )
        found = _attacked(
            policy,
            asked,
            context.renderer(policy.tokenizer),
            lambda samples: checked(reward, samples).scores,
            judge[1],
            answers=answers,
            rounds=rounds,
            temperature=settings.temperature if settings else 1.0,
            max_new_tokens=settings.max_new_tokens if settings else 128,
            seed=config.seed,
        )
    names = {
        "reward": graph.rewarded_by,
        "second": judge[0],
        "policy": f"{folder.path.name}@{end}",
    }
    return _kept(*found, names, target)


def redteam_reward(
    reward: str,
    policy: str | Path,
    prompts: str | Path | Sequence[Prompt],
    *,
    second: str,
    out: str | Path,
    answers: int = ANSWERS,
    limit: int = PROMPTS,
    rounds: int = ROUNDS,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
    seed: int = 0,
) -> dict[str, Any]:
    """As ``redteam_run``, of any reward with any policy: ``reward`` and ``second`` as in ``audit_reward``."""
    from plaudit.data.rendering.renderer import Renderer
    from plaudit.models.policy import load_policy
    from plaudit.runs.locate import locate

    rewards = {"reward": reward, "second": second}
    named = looked_at(prompts, limit, policy=policy, room=max_new_tokens, rewards=rewards, out=Path(out))
    loaded = load_policy(locate(policy).source)
    asked = answerable(loaded, named, max_new_tokens, "red-team")
    first, other = named_reward(reward, loaded), named_reward(second, loaded)
    found = _attacked(
        loaded,
        asked,
        Renderer(loaded.tokenizer),
        lambda samples: checked(first, samples).scores,
        lambda samples: checked(other, samples).scores,
        answers=answers,
        rounds=rounds,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    return _kept(*found, {"reward": reward, "second": second, "policy": str(policy)}, Path(out))


def _attacked(
    policy: Any,
    asked: Sequence[Prompt],
    renderer: Any,
    reward: Any,
    second: Any,
    *,
    answers: int,
    rounds: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> tuple[list[Prompt], list[Find]]:
    from plaudit.pipeline.steps.sampling import sampled

    drawn = sampled(
        policy,
        asked,
        renderer=renderer,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        n=answers,
        seed=seed,
        step=REDTEAM_STEP,
        label="red-team",
    )
    groups = [drawn[i : i + answers] for i in range(0, len(drawn), answers)]
    finished = {(i, s.answer): s.finish for i, group in enumerate(groups) for s in group}

    def sample(place: int, text: str) -> Sample:
        prompt = groups[place][0].prompt
        ids = np.asarray(renderer.response_ids(prompt.messages, Response(text)))
        shown = policy.tokenizer.decode(ids)
        return Sample(
            prompt, groups[place][0].prompt_ids, ids, shown, text, finished.get((place, text), "end")
        )

    def score(rows: Sequence[tuple[int, str]]) -> tuple[np.ndarray, np.ndarray]:
        samples = [sample(*row) for row in rows]
        return np.asarray(reward(samples), dtype=float), np.asarray(second(samples), dtype=float)

    texts = [[s.answer for s in group] for group in groups]
    prompts = [group[0].prompt for group in groups]
    return prompts, search([p.conversation for p in prompts], texts, score, rounds=rounds, seed=seed)


def _kept(
    prompts: Sequence[Prompt], finds: Sequence[Find], names: dict[str, str], out: Path
) -> dict[str, Any]:
    rows = [_row(prompts[f.place], f, names) for f in finds]
    files.write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return {**summary(finds, len(prompts)), **names, "out": str(out), "rows": rows}


def _row(prompt: Prompt, find: Find, names: dict[str, str]) -> dict[str, Any]:
    """A ranking item: the find beside the draw that the second opinion likes best, and where it came from."""
    single = len(prompt.messages) == 1 and prompt.messages[0] == Message("user", prompt.text)
    return {
        "prompt": prompt.text if single else [m.as_dict() for m in prompt.messages],
        "responses": [find.text, find.better],
        "models": ["red-team", names["policy"]],
        "metadata": {
            "provenance": "red-team",
            **names,
            "edits": list(find.edits),
            "origin": find.origin,
            "reward_score": find.reward,
            "second_score": find.second,
            "gain": find.gain,
            "loss": find.loss,
        },
    }
