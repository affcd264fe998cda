"""What every step knows: the graph, records by source, and how models are loaded and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from plaudit.config import Config, Pretrained
from plaudit.config.graph import FIRST, Graph, Node
from plaudit.data.mixture import weighed
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.models.adapters import add_lora, has_adapter, merge, save_adapter
from plaudit.models.cards import policy_card
from plaudit.models.half_base import is_halved
from plaudit.models.policy import Policy, load_policy, save_policy
from plaudit.pipeline.datasets import Materials
from plaudit.runs import RunFolder, Stage
from plaudit.runs.locate import model_folders
from plaudit.runtime import Mesh, Runtime

Parts = tuple[list[Any], list[Any]]
SEED_STRIDE = 1_000_003


@dataclass
class Context:
    """What every step knows."""

    config: Config
    graph: Graph
    folder: RunFolder
    materials: Materials
    runtime: Runtime

    @property
    def device(self) -> torch.device:
        return torch.device(self.runtime.device)

    @property
    def mesh(self) -> Mesh:
        """The ranks: rank 0 writes, all wait for it before they read."""
        return self.runtime.mesh

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def world(self) -> Any:
        """The made world, None on real data."""
        return self.materials.world

    @property
    def gold(self) -> Any:
        """What knows the truth about an answer, None on real data."""
        return self.world.gold if self.world is not None else None

    def step_seed(self, step: Node) -> int:
        """The seed of a step: ``ppo-2`` draws other numbers than ``ppo``."""
        return self.seed + SEED_STRIDE * self.repetition(step)

    @staticmethod
    def repetition(step: Node) -> int:
        """How many steps of the same name come before by the number behind it: 0 for ``ppo`` and ``ppo-1``."""
        number = step.name.rpartition("-")[2]
        return max(0, int(number) - 1) if number.isdigit() else 0

    def say(self, text: str) -> None:
        """Tell the user what a step does beside what was asked, and keep it with the run."""
        if self.mesh.is_main:
            print(text, flush=True)
            self.folder.event("note", text=text)

    def renderer(self, tokenizer: Any) -> Renderer:
        data = self.config.data
        return Renderer(
            tokenizer,
            max_length=data.max_length,
            max_prompt_length=data.max_prompt_length,
            train_on=data.train_on,
        )

    def load(self, step: str) -> Policy:
        """The policy that a step saved, on the run's device."""
        policy = load_policy(self.folder.stage(step).model)
        policy.model.to(self.device)
        return policy

    def source_of(self, step: str) -> Any:
        """The policy section that the model of a step came from, through the steps it started from; or its backbone."""
        node = self.graph[step]
        while node.policy is None and node.start is not None:
            node = self.graph[node.start]
        return node.policy or getattr(node.settings, "backbone", None)

    def lora(self, step: str) -> Any:
        """The adapters that the policy of a step is trained with, None for none."""
        source = self.source_of(step)
        return source.lora if isinstance(source, Pretrained) else None

    def load_start(self, step: Node) -> Policy:
        """The policy that a step starts from, with fresh adapters where the recipe asks for them."""
        assert step.start is not None
        policy = load_policy(self.folder.stage(step.start).model)
        if lora := self.lora(step.name):
            # Before the device: there a base in bfloat16 may fit where one in float32 does not.
            add_lora(policy.model, **lora.model_dump(), seed=self.seed)
        policy.model.to(self.device)
        return policy

    def save(self, policy: Policy, stage: Stage, summary: str) -> None:
        """Save a policy, adapters merged in and kept beside it where the recipe says so, with its card."""
        if self.mesh.is_main:
            if has_adapter(policy.model):
                self.keep_adapter(policy.model, stage)
                if is_halved(policy.model):
                    policy.model.to("cpu")  # merged it is float32, for which the device may have no room
                merge(policy.model)
            words = f"{summary}, run {self.config.name!r}, seed {self.seed}. Weights are float32."
            save_policy(policy, stage.model, policy_card(f"{self.config.name}@{stage.name}", words))
        self.mesh.barrier()

    def keep_adapter(self, module: Any, stage: Stage) -> None:
        """Write the adapters of a step alone, in peft's layout, named for the model that they were trained on."""
        if self.config.save == "merged":
            return
        start, source = self.graph[stage.name].start, self.source_of(stage.name)
        # A base step leaves the weights as they came; a pretrain step has changed them.
        as_it_came = start is None or self.graph[start].kind.name == FIRST
        if start is not None and self.graph[start].gives("reward model"):
            base: Path | str = self.reward_folders(start)[0]
        elif as_it_came and isinstance(source, Pretrained):
            base = source.path
        else:
            base = self.folder.stage(str(start)).model
        save_adapter(module, stage.path / "adapter", base=str(base))

    def judge_folder(self, spec: str) -> Path:
        """Where what a remote judge said and cost is kept: one place for all steps of the run."""
        from plaudit.judges.language_options import folder_name

        return self.folder.path / "judges" / folder_name(spec)

    def has_reward(self, step: str) -> bool:
        return step in self.graph.nodes and self.graph[step].gives("reward model")

    def reward_folders(self, step: str) -> list[Path]:
        """The model folders of a step's reward model: several for an ensemble."""
        return model_folders(self.folder, step)

    def records(self, step: Node, stage: Stage | None = None) -> Parts:
        """What a step learns from, for training and held out, of all its sources with their weights.

        A prompt that one source holds out is trained on in none; how many records that leaves out is recorded.
        """
        train: list[Any] = []
        held: list[Any] = []
        for source in step.on:
            own, kept = self.parts(source.name)
            train += [weighed(r, source.weight) for r in own]
            held += [weighed(r, source.weight) for r in kept]
        if len(step.on) < 2:
            return train, held
        out = {self.materials.key(r) for r in held}
        fresh = [r for r in train if self.materials.key(r) not in out]
        if stage is not None and len(fresh) < len(train) and self.mesh.is_main:
            stage.event("held out elsewhere", records=len(train) - len(fresh))
        return fresh, held

    def parts(self, name: str) -> tuple[Sequence[Any], Sequence[Any]]:
        """The records of a data role or of a step, for training and held out."""
        if not self.graph.gives_records(name):
            return self.materials.records(name)
        from plaudit.data.readers.read import read

        stage = self.folder.stage(name)
        parts = [stage.path / "train.jsonl", stage.path / "held_out.jsonl"]
        return tuple(read(p).records if p.exists() and p.stat().st_size else [] for p in parts)  # type: ignore[return-value]

    def prompts(self, step: Node) -> Sequence[Prompt]:
        """The training prompts of a step's sources."""
        names = [s.name for s in step.on]
        plain = not any(map(self.graph.gives_records, names))
        if plain and ("prompts" in names or not self._narrowed(step)) and self.materials.prompts("train"):
            return self.materials.prompts("train")
        found: dict[str, Prompt] = {}
        for name in names:
            records = self.materials.prompts("train") if name == "prompts" else self.parts(name)[0]
            for record in records:
                prompt = record if isinstance(record, Prompt) else record.prompt
                found.setdefault(prompt.id, prompt)
        return list(found.values())

    def _narrowed(self, step: Node) -> bool:
        return step.name in self.config.steps and self.config.steps[step.name].on is not None
