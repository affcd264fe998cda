"""A reward model learns what ranked the answers, by either loss, also as an ensemble; and scores demonstrations 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import sentence, toy_policy

from plaudit.config import RewardSettings
from plaudit.data.records import Demonstration, Prompt, Ranking, Response
from plaudit.methods import train
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.rewards import EnsembleReward, ModelReward, Sample

SETTINGS = RewardSettings(epochs=6, batch_size=8, lr=5e-3)
QUICK = SETTINGS.model_copy(update={"epochs": 3, "lr": 1e-2})


def colour_lovers(count: int, seed: int) -> list[Ranking]:
    """Answers are ranked by how many of two words they hold; equal ones are tied."""
    rng = np.random.default_rng(seed)
    made = []
    while len(made) < count:
        texts = [sentence(rng, 2, 8) for _ in range(int(rng.integers(2, 6)))]
        liked = [t.split().count("red") + t.split().count("blue") for t in texts]
        levels = sorted(set(liked), reverse=True)
        if len(levels) < 2:
            continue
        groups = tuple(tuple(i for i, n in enumerate(liked) if n == level) for level in levels)
        made.append(Ranking(Prompt.user(sentence(rng, 1, 4)), tuple(map(Response, texts)), groups))
    return made


@pytest.mark.parametrize(
    "change", [{}, {"loss": "plackett_luce"}, {"pooling": "mean"}, {"length_normalised": True}], ids=str
)
def test_it_predicts_held_out_rankings(change, tmp_path):
    settings = QUICK.model_copy(update=change)
    model = RewardModel.from_policy(toy_policy(), pooling=settings.pooling, seed=0)
    held = colour_lovers(60, seed=2)
    result = train.reward_model(model, colour_lovers(120, 1), settings, out=tmp_path, held_out=held)
    assert result.evaluation["accuracy"] > 0.85


@pytest.mark.parametrize("smallest", [2, 4])
def test_centering_moves_no_margin_of_a_reward_model(smallest):
    """The head's gradient by the centering term alone: the same push for all answers of a prompt, K = 2 or more."""
    from toy import rankings

    from plaudit.data.rendering.renderer import Renderer
    from plaudit.data.tokens.batching import collate
    from plaudit.methods.preference_batch import item_weight
    from plaudit.methods.reward_model import RewardModeling
    from plaudit.models.heads import comparable_scores

    policy = toy_policy()
    model = RewardModel.from_policy(policy, pooling="last", seed=0)
    items = train.render_preferences(Renderer(policy.tokenizer), rankings(5, smallest, smallest))
    batch = collate(items, policy.pad_id)
    term = RewardModeling(model, pad_id=policy.pad_id, centering=0.1).loss(batch).terms["centering"]
    scores = comparable_scores(model, batch).detach().view(5, smallest)
    torch.testing.assert_close(term.values.detach(), 4 * scores.mean(1).square())
    assert term.coefficient == 0.1
    assert term.weights.tolist() == [item_weight(item.payload) for item in items]


def test_demonstrations_score_zero_after_normalization_also_once_reloaded(tmp_path):
    model = RewardModel.from_policy(toy_policy(), pooling="last", seed=0)
    rng = np.random.default_rng(0)
    references = [
        Demonstration(Prompt.user(sentence(rng, 1, 5)), Response(sentence(rng, 1, 9))) for _ in range(40)
    ]
    train.store_normalization(model, references)
    save_reward_model(model, tmp_path / "rm", card="toy")
    reward = ModelReward(load_reward_model(tmp_path / "rm"), same_tokenizer=False)
    samples = [
        Sample(d.prompt, np.asarray([1]), np.asarray([2]), d.response.text, d.response.text, "end")
        for d in references
    ]
    scores = reward.score(samples).scores
    assert abs(scores.mean()) < 1e-5 and scores.std() == pytest.approx(1, abs=1e-5)


def test_ids_and_text_of_a_sample_get_the_same_score():
    """Rule 4: the special tokens of a response reach the reward model as in its own training."""
    from plaudit.data.rendering.renderer import Renderer

    policy = toy_policy()
    model = RewardModel.from_policy(policy, pooling="last", seed=0)
    model.mean, model.std = 0.0, 1.0
    renderer = Renderer(policy.tokenizer)
    prompt = Prompt.user("the cat")
    for text, finish in (("red blue", "end"), ("red blue", "length")):
        response = Response(text, finished=finish == "end")
        ids = renderer.response_ids(prompt.messages, response)
        sample = Sample(prompt, renderer.prompt(prompt.messages), ids, text, text, finish)
        a, b = (ModelReward(model, same_tokenizer=same).score([sample]).scores[0] for same in (True, False))
        assert a == pytest.approx(b, abs=1e-6)


def test_an_ensemble_disagrees_more_where_it_knows_less(tmp_path):
    models = []
    for seed in range(3):
        model = RewardModel.from_policy(toy_policy(), pooling="last", seed=seed)
        train.reward_model(model, colour_lovers(120, 1), SETTINGS, out=tmp_path / str(seed), seed=seed)
        model.mean, model.std = 0.0, 1.0
        models.append(model)
    doors = [ModelReward(m, same_tokenizer=False) for m in models]
    samples = [
        Sample(Prompt.user("the"), np.asarray([1]), np.asarray([2]), t, t, "end")
        for t in ("red blue", "home today " * 6)
    ]
    out = EnsembleReward(doors, aggregate="mean_minus_std").score(samples)
    assert (out.parts["ensemble_std"] > 0).all()
    assert (out.scores < EnsembleReward(doors).score(samples).scores).all()
