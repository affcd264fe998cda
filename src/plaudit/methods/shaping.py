"""The reward as RL is paid it: per token, and held against answers of the starting policy (PAR)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from plaudit.config import Online
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods.rollouts import respond
from plaudit.methods.scores import paid
from plaudit.objectives import relative_sigmoid
from plaudit.progress import Progress
from plaudit.rewards import LengthNormalizedReward, RelativeReward, Reward, Sample, checked
from plaudit.rollout.protocol import Sampler, SamplingSettings
from plaudit.runs import Stage, files, logs
from plaudit.runtime import Mesh, Runtime
from plaudit.training.fit import stream_indices

# A stream of random numbers of its own.
REFERENCE_STEP = 7_000_000
FILE = "reference_answers.jsonl"


def is_shaped(settings: Online) -> bool:
    """Whether an answer is paid anything else than the reward itself."""
    return settings.shaping != "none" or settings.length_power > 0


def length_normalized(reward: Reward, settings: Online) -> Reward:
    """The reward, length-normalized where the settings say so."""
    return LengthNormalizedReward(reward, settings.length_power) if settings.length_power else reward


def paid_at_the_start(
    reward: Reward, settings: Online, samples: Sequence[Sample], answers: int, mesh: Mesh | None = None
) -> np.ndarray:
    """[P, ``answers``]: what RL would pay for samples of the policy that it starts from, as a forecast needs it."""
    output = checked(length_normalized(reward, settings), samples, mesh)
    if settings.shaping != "none":
        scores = among_themselves(output.scores.reshape(-1, answers), settings)
        output = replace(output, scores=scores.ravel(), normalized=False)
    return paid(output, samples, settings)[0].reshape(-1, answers)


def among_themselves(scores: np.ndarray, settings: Online) -> np.ndarray:
    """[P, N] scores of the starting policy's answers as they are paid, each answer's references being all N."""
    if settings.shaping == "none":
        return scores
    rows = torch.from_numpy(scores)
    n = rows.shape[1]
    found: np.ndarray = relative_sigmoid(rows.flatten(), rows.repeat_interleave(n, 0)).view(-1, n).numpy()
    return found


def shaped(
    reward: Reward,
    settings: Online,
    prompts: Sequence[Prompt],
    *,
    renderer: Renderer,
    sampler: Sampler,
    stage: Stage,
    runtime: Runtime,
    label: str,
) -> Reward:
    """The reward of a run; its reference answers are sampled now, from the policy as it is, or found in ``stage``."""
    reward = length_normalized(reward, settings)
    if settings.shaping == "none":
        return reward
    needed = _asked(prompts, settings, runtime.seed)
    path, n, mesh = stage.path / FILE, settings.reference_answers, runtime.mesh
    rows = mesh.from_main(lambda: logs.read_lines(path))
    known = {row["prompt"]: row["scores"] for row in rows if len(row["scores"]) == n}
    if any(prompt.id not in known for prompt in needed):
        with (
            Progress(
                len(mesh.share(needed)) * n,
                f"{label}: reference answers",
                unit="answer",
                quiet=not mesh.is_main,
            ) as bar,
            runtime.computing(),
        ):
            rollouts = respond(
                needed,
                renderer=renderer,
                sampler=sampler,
                settings=SamplingSettings(settings.max_new_tokens, temperature=settings.temperature),
                samples_per_prompt=n,
                seed=runtime.seed,
                step=REFERENCE_STEP,
                mesh=mesh,
                progress=lambda done, _: bar.update(done),
            )
            scores = checked(reward, rollouts.samples, mesh).scores.reshape(-1, n).tolist()
        known = {prompt.id: mine for prompt, mine in zip(needed, scores, strict=True)}
        if mesh.is_main:
            lines = [
                {
                    "prompt": prompt.id,
                    "answers": [s.text for s in rollouts.samples[i * n : (i + 1) * n]],
                    "scores": scores[i],
                }
                for i, prompt in enumerate(needed)
            ]
            files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines))
        mesh.barrier()
    return RelativeReward(reward, known)


def _asked(prompts: Sequence[Prompt], settings: Online, seed: int) -> list[Prompt]:
    """The prompts that the run can come to, each once."""
    rounds = 1 + getattr(settings, "dynamic_sampling", 0)
    count = settings.iterations * min(settings.prompts_per_iteration, len(prompts)) * rounds
    chosen = stream_indices(0, min(count, len(prompts)), items=len(prompts), seed=seed)
    return list({prompts[i].id: prompts[i] for i in chosen}.values())
