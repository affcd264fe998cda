"""What holds for every method of the table: it has cases for the invariances, it learns, it resumes bitwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from test_reward_learning import colour_lovers
from toy import CASES, LOOPED, WORDS, demonstrations, sentence, toy_policy

from plaudit.config import KL, validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Labeled, Prompt, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods.kto import balance, labels_of, with_mismatches
from plaudit.models.reward_model import RewardModel
from plaudit.registry import METHODS, STEPS, resolve
from plaudit.rewards import FunctionReward
from plaudit.runs import Stage

PROMPTS = [Prompt.user(f"{a} {b}") for a in WORDS for b in WORDS[:3]]
OFFLINE = {"epochs": 3, "batch_size": 8, "lr": 1e-2, "checkpoint_every": 7, "log_every": 5}
ONLINE = {
    "iterations": 30,
    "prompts_per_iteration": 12,
    "samples_per_prompt": 4,
    "minibatch": 48,
    "epochs": 1,
    "max_new_tokens": 6,
    "lr": 1e-2,
    "checkpoint_every": 1,
}
# What a method needs beyond the shared settings to learn this task in seconds.
OWN = {
    "orpo": {"odds_weight": 1.0},
    "simpo": {"gamma": 0.5},
    # Sums of log-probs fall with length, which the NLL term would only deepen on answers of any length.
    "cpo": {"nll": 0.0, "beta": 0.5, "epochs": 12.0, "lr": 5e-3},
    "kto": {"batch_size": 32, "epochs": 4},
    "ppo": {"value_lr": 1e-2, "critic_warmup": 0},
    "reinforce": {"samples_per_prompt": 1, "prompts_per_iteration": 48},
    "online_dpo": {"kl": KL(coefficient=0.1)},
    "grpo": {"kl": KL(coefficient=0.01)},
    "rloo": {"kl": KL(coefficient=0.01)},
    "rejection": {"prompts": 40, "n": 8, "max_new_tokens": 12, "batch_size": 4},
}


def function(name):
    return resolve(METHODS[name].function)


def settings_of(name, **changes):
    kind = resolve(METHODS[name].settings)
    shared = ONLINE if name in LOOPED else OFFLINE
    return kind(**(shared | OWN.get(name, {}) | changes))


def likes_cats(sample) -> float:
    return float(sample.answer.count("c")) - 0.1 * len(sample.ids)


def data_of(name, policy):
    """Positional arguments after what is trained, by what the table says that the method needs."""
    needs = METHODS[name].needs
    if "text" in needs:
        return [Renderer(policy.tokenizer).documents([" ".join(WORDS)] * 40)]
    if "demonstrations" in needs:
        return [demonstrations(24)]
    if "reward" in needs:
        return [FunctionReward(likes_cats), PROMPTS]
    return [colour_lovers(80, 1)]


def trained(name, path, **changes):
    torch.manual_seed(0)
    policy = toy_policy()
    model = RewardModel.from_policy(policy, pooling="last", seed=0) if name == "reward" else policy
    result = function(name)(model, *data_of(name, policy), settings_of(name, **changes), out=path, seed=1)
    module = model if name == "reward" else policy.model
    return torch.cat([p.detach().flatten() for p in module.parameters()]), result, Stage(path).metrics()


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce", "online_dpo"])
def test_a_reward_function_on_a_large_scale_teaches_as_it_does_on_a_small_one(name, tmp_path):
    """By default nothing of a function's scores is cut: tens as well as tenths."""

    def run(scale):
        settings = settings_of(
            name, iterations=1, prompts_per_iteration=4, samples_per_prompt=4, minibatch=16
        )
        reward = FunctionReward(lambda sample: scale * (len(sample.ids) + sample.ids[0] % 7))
        policy = toy_policy()
        function(name)(policy, reward, PROMPTS[:8], settings, out=tmp_path / str(scale), seed=1)
        (row,) = Stage(tmp_path / str(scale)).metrics()
        assert row["group/zero_variance"] < 0.5 and row["grad_norm"] > 0 and "reward/clipped" not in row
        return row["objective/scores"] / scale

    assert run(100.0) == pytest.approx(run(0.01))


def test_every_method_has_cases_for_the_invariances():
    # Pretraining and rejection sampling end in the very fit that SFT does.
    named = {case.split()[0] for case in CASES} | {"pretrain", "rejection"}
    assert named == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_kind_of_step_and_ends_a_recipe_if_it_trains_a_policy(name):
    steps = {"pretrain": {}, "sft": {}, "rank": {}, "reward": {}} | {name: {}}
    graph = graph_of(validate({"name": "x", "world": {"kind": "pocket"}, "steps": steps}, "test"))
    assert STEPS[name] is METHODS[name]
    assert graph.places["end"] == (name if METHODS[name].trains_policy else "sft")


# What differs from another method of the same loop is its loss alone.
SAME_STATE = {"simpo", "cpo", "rloo", "reinforce"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SAME_STATE else ()) for n in METHODS]
)
def test_resumed_equals_uninterrupted_bitwise(name, tmp_path, monkeypatch):
    changes = {"iterations": 4} if name in LOOPED else {"epochs": 2.0}
    whole, _, log = trained(name, tmp_path / "whole", **changes)
    from plaudit.training.engine import Engine

    step, taken = Engine.step, []

    def dying(self, *args, **kwargs):
        taken.append(1)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Engine, "step", dying)
    fast = {} if name in LOOPED else {"checkpoint_every": 2}
    with pytest.raises(KeyboardInterrupt):
        trained(name, tmp_path / "cut", **changes, **fast)
    monkeypatch.undo()
    assert Stage(tmp_path / "cut").steps(), "nothing was kept to resume from"
    resumed, _, resumed_log = trained(name, tmp_path / "cut", **changes)
    assert torch.equal(whole, resumed)
    assert without_clock(log)[-1] == without_clock(resumed_log)[-1]


def without_clock(rows):
    return [
        {k: v for k, v in row.items() if not k.startswith("time/") and k != "tokens_per_second"}
        for row in rows
    ]


@pytest.mark.parametrize("name", LOOPED)
def test_online_methods_raise_the_reward(name, tmp_path):
    _, _, log = trained(name, tmp_path)
    scores = [row["objective/scores"] for row in log]
    assert np.mean(scores[-3:]) > np.mean(scores[:3]) + 0.15
    assert ("group/zero_variance" in log[0]) == ((name != "reinforce" and name != "ppo") or name == "ppo")
    assert log[-1]["objective/kl"] > 0.01


@pytest.mark.parametrize("name", ["dpo", "simpo", "cpo", "orpo"])
def test_rankings_teach_what_is_liked(name, tmp_path):
    policy = toy_policy()
    held = colour_lovers(60, seed=2)
    asked = colour_lovers(250 if name == "cpo" else 120, 1)
    result = function(name)(policy, asked, settings_of(name), out=tmp_path, seed=1, held_out=held)
    assert result.evaluation["rewards/accuracy"] > 0.8
    assert result.evaluation["rewards/margin"] > 0


# What differs in kind at once, the others behind `make test-slow`: their losses have golden values and properties.
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"loss": "ipo", "length_normalised": False}, marks=pytest.mark.slow),
        {"loss": "ipo", "beta": 0.5},
        pytest.param({"loss": "hinge"}, marks=pytest.mark.slow),
        pytest.param({"loss": "robust", "label_smoothing": 0.1}, marks=pytest.mark.slow),
        pytest.param({"loss": "sppo_hard"}, marks=pytest.mark.slow),
        pytest.param({"loss": "apo_zero"}, marks=pytest.mark.slow),
        pytest.param({"loss": "apo_down", "epochs": 10.0, "lr": 5e-3}, marks=pytest.mark.slow),
        {"loss": "plackett_luce"},
        # That it is the precomputed one has a test of its own.
        pytest.param({"reference": "live"}, marks=pytest.mark.slow),
        pytest.param({"divergence": "js"}, marks=pytest.mark.slow),
        pytest.param({"divergence": "forward_kl"}, marks=pytest.mark.slow),
        pytest.param({"divergence": "alpha", "alpha": 0.3}, marks=pytest.mark.slow),
        pytest.param({"nll": 0.2}, marks=pytest.mark.slow),
        pytest.param({"label_smoothing": 0.1}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_variant_of_dpo_learns(change, tmp_path):
    policy = toy_policy()
    settings = settings_of("dpo", **change)
    result = function("dpo")(
        policy, colour_lovers(120, 1), settings, out=tmp_path, seed=1, held_out=colour_lovers(60, 2)
    )
    assert result.evaluation["rewards/accuracy"] > 0.75


def test_a_precomputed_reference_is_the_live_one(tmp_path):
    def run(kind):
        policy = toy_policy()
        settings = settings_of("dpo", reference=kind, epochs=1.0)
        function("dpo")(policy, colour_lovers(40, 1), settings, out=tmp_path / kind, seed=1)
        return torch.cat([p.detach().flatten() for p in policy.model.parameters()])

    a, b = run("precomputed"), run("live")
    assert float((a - b).norm()) < 1e-4 * float(a.norm())
    assert (tmp_path / "precomputed" / "reference.npz").exists()


def test_the_reference_is_read_again_only_for_the_same_weights(tmp_path):
    from plaudit.methods.reference_log_probs import precompute

    def numbers():
        return [item.extras["reference"] for item in precompute(policy, items, Stage(tmp_path))]

    policy = toy_policy()
    items = CASES["dpo"]()[1]
    first = numbers()
    # What is stored says something else from now on: whoever reads it again finds that.
    with np.load(tmp_path / "reference.npz") as found:
        stored = dict(found)
    np.savez(tmp_path / "reference.npz", **stored | {"totals": stored["totals"] + 1})
    assert numbers() == [[total + 1 for total in row] for row in first]
    with torch.no_grad():
        next(policy.model.parameters()).add_(0.1)
    moved = numbers()
    assert not np.isclose(np.concatenate(moved), np.concatenate(first) + 1).any()
    assert numbers() == moved


def thumbs(count, seed):
    rng = np.random.default_rng(seed)
    return [
        Labeled(Prompt.user(sentence(rng, 1, 4)), Response(text), "red" in text or "blue" in text)
        for text in (sentence(rng, 2, 8) for _ in range(count))
    ]


def test_kto_learns_from_thumbs(tmp_path):
    policy = toy_policy()
    settings = settings_of("kto", epochs=6.0, beta=0.2)
    result = function("kto")(policy, thumbs(160, 1), settings, out=tmp_path, seed=1, held_out=thumbs(80, 2))
    assert result.evaluation["rewards/chosen"] > result.evaluation["rewards/rejected"] + 0.05
    assert result.evaluation["rewards/accuracy"] > 0.75
    log = Stage(tmp_path).metrics()
    assert all(row["kto/kl"] >= 0 for row in log)


def test_labels_follow_the_share_of_wins():
    from plaudit.data.records import Ranking

    prompt = Prompt.user("x")
    ranking = Ranking(prompt, tuple(map(Response, "abc")), ((0,), (1,), (2,)))
    assert [(label.response.text, label.good) for label in labels_of([ranking])] == [
        ("a", True),
        ("c", False),
    ]


def test_the_balance_of_weights_is_checked_against_the_paper():
    from plaudit.config import Kto

    items = CASES["kto"]()[1]
    good = sum(bool(i.extras["good"][0]) for i in items)
    ratio = (len(items) - good) / good
    assert balance(items, Kto(desirable_weight=1.1 * ratio)) is None
    words = balance(items, Kto(desirable_weight=5 * ratio))
    assert words is not None and f"{ratio:.2f}" in words and f"{ratio * 4 / 3:.2f}" in words
    assert "all" in balance([i for i in items if i.extras["good"][0]], Kto())


def test_mismatched_answers_belong_to_another_prompt():
    items = CASES["kto"]()[1]
    matched = with_mismatches([*items, *items], seed=3)
    for item in matched:
        own = {tuple(r.ids) for other in items if other.key == item.key for r in other.responses}
        assert tuple(item.payload.responses[0].ids) not in own
        assert np.array_equal(item.payload.prompt, item.prompt)


def test_rejection_sampling_keeps_what_it_chose(tmp_path):
    trained("rejection", tmp_path)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    chosen = next(e for e in events if e["event"] == "chosen")
    assert chosen["reward_gain"] > 0 and chosen["chosen"] + chosen["unfinished"] == 40
    assert len((tmp_path / "chosen.jsonl").read_text().splitlines()) == chosen["chosen"]


# One token, reward 1 for even ids and 0 for odd ones. The leashed optimum is π*(y) ∝ π_ref(y)·e^(r/β), so
# P*(even) = p·e^(1/β) / (p·e^(1/β) + 1 − p). The k3 term in the loss has the gradient of the forward KL
# instead: maximise Σ π·r − β·Σ π_ref·log(π_ref/π), whose optimum is π = β·π_ref / (λ − r), λ such that Σ π = 1.
@pytest.mark.parametrize(
    ("name", "kl", "change"),
    [
        ("ppo", {}, {"lam": 1.0, "value_lr": 1e-2, "critic_warmup": 2}),
        ("grpo", {"place": "reward"}, {"advantage_scale": "none"}),
        pytest.param("grpo", {"place": "reward"}, {"advantage_scale": "batch"}, marks=pytest.mark.slow),
        pytest.param("grpo", {}, {"advantage_scale": "none"}, marks=pytest.mark.slow),
        pytest.param("grpo", {"estimator": "k3"}, {"advantage_scale": "none"}, marks=pytest.mark.slow),
        ("rloo", {}, {}),
        pytest.param("rloo", {"place": "loss", "estimator": "k2"}, {}, marks=pytest.mark.slow),
        pytest.param("reinforce", {}, {}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_bandit_ends_at_the_leashed_optimum(name, kl, change, tmp_path):
    beta = 0.6
    policy = toy_policy()
    prompt = Prompt.user("the cat")

    def even():
        ids = torch.tensor(Renderer(policy.tokenizer).prompt(prompt.messages))[None]
        with torch.no_grad():
            table = policy.model(input_ids=ids).logits[0, -1].softmax(-1)
        return float(table[::2].sum())

    prior = even()
    settings = settings_of(
        name,
        iterations=40,
        prompts_per_iteration=1,
        samples_per_prompt=128,
        minibatch=128,
        max_new_tokens=1,
        lr=1e-2,
        checkpoint_every=1000,
        evaluate_every=1000,
        kl=KL(coefficient=beta, **kl),
        **change,
    )
    reward = FunctionReward(lambda sample: float(sample.ids[0] % 2 == 0))
    function(name)(policy, reward, [prompt], settings, out=tmp_path, seed=1)
    expected = prior * np.exp(1 / beta) / (prior * np.exp(1 / beta) + 1 - prior)
    if kl.get("estimator") == "k3":
        low, high = 1.0, 1.0 + beta
        for _ in range(60):
            mid = (low + high) / 2
            total = beta * prior / (mid - 1) + beta * (1 - prior) / mid
            low, high = (mid, high) if total > 1 else (low, mid)
        expected = beta * prior / (low - 1)
    assert abs(expected - prior) > 0.2
    assert even() == pytest.approx(expected, abs=0.05)
