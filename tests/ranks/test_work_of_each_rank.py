"""How the demo's training is dealt to two ranks, at its default settings; planned, not trained."""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.config import load_recipe
from plaudit.config.resolve import graph_of
from plaudit.data.records import Ranking, Response
from plaudit.data.tokens.batching import plan, slots_in
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.methods.on_policy import minibatch_items
from plaudit.methods.train import render_demonstrations, render_preferences
from plaudit.models.tokenizers import train_bpe
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.run import recipe_path
from plaudit.runtime import Runtime
from plaudit.training.fit import batch_indices
from plaudit.training.memory import ENOUGH

# Fewer texts of the same kind: batch sizes, lengths and budgets are the demo's.
FEWER = ["world.documents=1500", "world.votes=400", "world.demonstrations=300"]
STEPS = 40


@pytest.fixture(scope="module")
def demo():
    config = load_recipe(recipe_path("pocket"), FEWER)
    return Context(config, graph_of(config), None, materials_of(config), Runtime())


@pytest.fixture(scope="module")
def items(demo):
    """The token items of each step that trains; where the demo samples, the world's demonstrations are the answers."""
    texts = list(demo.materials.records("corpus")[0])
    told = demo.materials.records("demonstrations")[0]
    tokenizer = train_bpe(
        [*texts, *(d.response.text for d in told)], vocabulary=demo.config.policy.vocabulary
    )

    def renderer():
        return demo.renderer(tokenizer)

    rng = np.random.default_rng(0)
    low, high = demo.graph["rank"].settings.low, demo.graph["rank"].settings.high
    answers = [d.response.text for d in told]
    ranked = []
    for prompt in demo.materials.prompts("train")[:300]:
        chosen = sorted(set(rng.choice(answers, int(rng.integers(low, high + 1))).tolist()))
        if len(chosen) > 1:
            groups = tuple((i,) for i in range(len(chosen)))
            ranked.append(Ranking(prompt, tuple(Response(text) for text in chosen), groups))
    sampled = [
        TokenItem(
            renderer().prompt(d.prompt.messages, room=20),
            (Segment.of(renderer().response_ids(d.prompt.messages, d.response)),),
        )
        for d in told
    ]
    graph = demo.graph
    return {
        "pretrain": renderer().documents(texts),
        "sft": render_demonstrations(renderer(), demo.records(graph["sft"])[0]),
        "votes": render_preferences(renderer(), demo.records(graph["votes"])[0]),
        "reward": render_preferences(renderer(), ranked),
        "ppo": sampled,
    }


def shares(batches, budget, world):
    """The part of all trained slots that each rank has, over these steps, where plans are made for ``world`` ranks."""
    slots = [0, 0]
    for batch in batches:
        parts = plan(batch, budget, "shared", world)
        for rank in range(2):
            slots[rank] += sum(slots_in([batch[i] for i in part], "shared") for part in parts[rank::2])
    return [n / sum(slots) for n in slots]


@pytest.mark.parametrize("name", ["pretrain", "sft", "votes", "reward", "ppo"])
def test_each_of_two_ranks_has_about_half_of_the_trained_slots(demo, items, name):
    settings = demo.graph[name].settings
    size = minibatch_items(settings) if name == "ppo" else settings.batch_size
    of = items[name]
    batches = [
        [of[i] for i in batch_indices(step, items=len(of), batch_size=size, seed=0)] for step in range(STEPS)
    ]
    budget = settings.token_budget or ENOUGH
    assert all(0.45 <= share <= 0.55 for share in shares(batches, budget, 2))
    # One rank's plan, dealt out, leaves the other one idle.
    assert shares(batches, budget, 1)[1] < 0.45


def test_the_steps_are_those_that_train(demo, items):
    assert {name for name, node in demo.graph.nodes.items() if node.kind.data and name != "rank"} == set(
        items
    )
