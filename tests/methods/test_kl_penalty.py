"""The KL question, by enumeration of every sequence: which gradient each method's penalty follows, and who refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from plaudit.config import KL, Grpo, OnlineDpo, Ppo, Reinforce, Rloo, validate
from plaudit.errors import UserError
from plaudit.methods.kl_penalty import KLPenalty
from plaudit.objectives import AdaptiveKL, kl_penalty
from plaudit.runs import Stage

SECTIONS = {"ppo": Ppo, "grpo": Grpo, "rloo": Rloo, "reinforce": Reinforce}
V, T = 4, 4
EVERY = torch.cartesian_prod(*[torch.arange(V)] * T)  # all V^T sequences


class Table:
    """A policy over sequences of T tokens whose logits depend on all that went before and share nothing."""

    def __init__(self, seed, size):
        g = torch.Generator().manual_seed(seed)
        self.tables = [size * torch.randn(V**t, V, generator=g, dtype=torch.float64) for t in range(T)]

    def moved(self, seed, size):
        other = Table(seed, size)
        other.tables = [(a + b).requires_grad_() for a, b in zip(self.tables, other.tables)]
        return other

    def log_probs(self):
        """log π of each token of every sequence: [V^T, T]."""
        rows = []
        for t, table in enumerate(self.tables):
            state = (
                sum(EVERY[:, i] * V ** (t - 1 - i) for i in range(t)) if t else torch.zeros(len(EVERY)).long()
            )
            rows.append(table.log_softmax(1)[state, EVERY[:, t]])
        return torch.stack(rows, 1)


def gradient(loss, policy):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, policy.tables, retain_graph=True)])


def of_tokens(policy, reference, p):
    """The gradient of Σ_t KL(π(·|s_t) ‖ π_ref(·|s_t)) where the states s_t are drawn by p [V^T] as it is."""
    total = 0.0
    for t, (table, other) in enumerate(zip(policy.tables, reference.tables)):
        reached = p.reshape(V**t, -1).sum(1)
        a, b = table.log_softmax(1), other.log_softmax(1)
        total = total + (reached * (a.exp() * (a - b)).sum(1)).sum()
    return gradient(total, policy)


def compared(kl, policy, reference):
    """Cosine and relative error of a penalty's expected gradient against that of the exact sequence KL.

    The last number is the error against the gradient of the tokens' own KL, over fixed states.
    """
    now, ref = policy.log_probs(), reference.log_probs().detach()
    p = now.sum(1).exp()
    truth = gradient((p * (now - ref).sum(1)).sum(), policy)
    local = of_tokens(policy, reference, p.detach())
    old = now.detach()
    values, _ = kl_penalty(now, ref, estimator=kl.estimator, old_log_prob=old)
    if kl.place == "loss":
        expected = (p.detach() * values.sum(1)).sum()
    else:  # the policy gradient of what the reward pays: E[Σ_t k_t · ∇log π]
        expected = (p.detach() * values.detach().sum(1) * now.sum(1)).sum()
    got = gradient(expected, policy)
    cosine = torch.cosine_similarity(got, truth, dim=0)
    return float(cosine), *(float((got - g).norm() / g.norm()) for g in (truth, local))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", SECTIONS)
def test_every_default_follows_the_gradient_of_the_kl_that_is_reported(name, seed):
    """In the reward exactly; in the loss that of every token's KL, and nearly that of the whole while it is small."""
    reference = Table(seed, 1.0)
    kl = SECTIONS[name]().kl
    far = compared(kl, reference.moved(100 + seed, 0.6), reference)  # about half a nat
    near = compared(kl, reference.moved(100 + seed, 0.15), reference)
    if kl.place == "reward":
        assert far[1] < 1e-9
    else:
        # What it leaves out: that an early token decides which states, and so which KL, come later. Tables are the
        # worst case, and docs/methods/grpo.md says how much it is.
        assert near[0] > 0.99 and far[0] > 0.94 and far[2] < 1e-9


def test_k3_alone_in_the_loss_follows_another_kl_and_k2_the_same():
    reference = Table(0, 1.0)
    policy = reference.moved(100, 0.6)
    ratio, k3, k2 = (
        compared(KL(place="loss", estimator=e), policy, reference) for e in ("k3_ratio", "k3", "k2")
    )
    assert k3[0] < 0.85 and k3[2] > 0.3
    assert k2 == pytest.approx(ratio)


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize(("place", "own"), [("reward", "k1"), ("loss", "k3_ratio")])
def test_every_method_takes_every_estimator_that_has_a_gradient_there(name, place, own):
    def read(**kl):
        return validate({"steps": {name: {"kl": kl}}}, "recipe").steps[name].settings.kl

    assert read(place=place).estimator == own
    for estimator in ("k2", "k3", own):
        assert read(place=place, estimator=estimator).estimator == estimator
    wrong = "k3_ratio" if place == "reward" else "k1"
    with pytest.raises(UserError) as caught:
        read(place=place, estimator=wrong)
    other = "loss" if place == "reward" else "reward"
    assert f"set kl.place: {other}" in str(caught.value) and f"[steps.{name}.kl]" in str(caught.value)


@pytest.mark.parametrize(
    "key", [{"place": "loss"}, {"estimator": "k2"}, {"place": "reward", "estimator": "k1"}]
)
def test_online_dpo_says_that_its_loss_holds_the_kl_already(key):
    with pytest.raises(UserError, match="online DPO has no KL term"):
        validate({"steps": {"online_dpo": {"kl": {"coefficient": 0.1, **key}}}}, "recipe")


def test_a_recipe_that_was_written_out_is_read_again():
    for name in (*SECTIONS, "online_dpo"):
        config = validate({"steps": {name: {}}}, "recipe")
        again = validate(yaml.safe_load(json.dumps(json.loads(config.model_dump_json()))), "again")
        assert again == config


@pytest.mark.parametrize("name", SECTIONS)
def test_the_penalty_is_paid_in_one_place(name):
    """Two responses of one and three tokens: β·Σ_t k_t in the reward, or the same per token in the loss."""
    rng = np.random.default_rng(0)
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]]).bool()
    rows = {k: torch.tensor(rng.normal(size=(2, 3)), dtype=torch.float32) for k in ("old", "reference")}
    rollouts = SimpleNamespace(mask=mask, rows=lambda name: rows[name.removesuffix("_log_probs")])
    batch = SimpleNamespace(tokens=4, per_token=lambda name: rows[name.removesuffix("_log_probs")][mask])
    for place in ("reward", "loss"):
        penalty = KLPenalty(SECTIONS[name](kl=KL(place=place, estimator="k2")))
        paid, coefficient = penalty.of_reward(rollouts, 0.3)
        terms, _ = penalty.of_loss(rows["old"][mask], rows["old"][mask], batch, torch.ones(4))
        k2 = 0.5 * (rows["old"] - rows["reference"]).square() * mask
        if place == "reward":
            assert torch.equal(paid, k2) and coefficient == 0.3 and not terms
        else:
            assert not paid.any() and coefficient == 0 and terms["kl"].coefficient == 0.3
            torch.testing.assert_close(terms["kl"].values, k2[mask])
        assert penalty.paid_by_reward(0.3) == (place == "reward") and not penalty.paid_by_reward(0.0)


@pytest.mark.parametrize("name", ["ppo", "rloo", "reinforce"])
def test_the_loop_pays_in_the_loss_where_it_is_asked_to(name, tmp_path):
    from test_every_method import trained

    small = {"iterations": 2, "prompts_per_iteration": 4, "samples_per_prompt": 2, "minibatch": 8}
    kl = KL(coefficient=0.5, place="loss", estimator="k2")
    _, _, log = trained(name, tmp_path, kl=kl, **small)
    # One minibatch of the samples themselves: ½·Σ (log π − log π_ref)², of which k3 is the same to third order.
    assert log[0]["loss/kl"] == pytest.approx(0, abs=1e-9)
    length = log[1]["objective/response_length"] if name != "rloo" else 1.0
    assert log[1]["loss/kl"] * length == pytest.approx(log[1]["objective/kl_k3"], rel=0.1)


@pytest.mark.parametrize("iterations", [1, 7, 14, 100])
def test_a_kl_stuck_at_ten_times_its_target_moves_the_coefficient_within_the_run(iterations):
    settings = Ppo(iterations=iterations, kl=KL(controller="adaptive"))
    samples = settings.prompts_per_iteration * settings.samples_per_prompt
    control = AdaptiveKL(settings.kl.coefficient, target=settings.kl.target, horizon=settings.kl_horizon)
    for _ in range(iterations):
        control.update(10 * settings.kl.target, samples)
    moved = control.value / settings.kl.coefficient
    # Ziegler's factor is 1.2 per horizon at most, and there are ten horizons in a run of ten iterations or more.
    assert moved == pytest.approx(1.2) if iterations == 1 else moved > 3
    if iterations >= 10:
        assert moved == pytest.approx((1 + 0.2 * 10 / iterations) ** iterations)


def test_the_loop_steers_by_the_horizon_of_the_run(tmp_path):
    from test_rl import SMALL, run

    kl = KL(controller="adaptive", coefficient=0.1, target=1000.0)
    run(tmp_path, SMALL.model_copy(update={"kl": kl, "epochs": 1}))
    coefficients = [row["objective/kl_coef"] for row in Stage(tmp_path).metrics()]
    # Four iterations: a horizon is one of them, and the KL is always far below its target.
    np.testing.assert_allclose(coefficients, 0.1 * 0.8 ** np.arange(4), rtol=1e-9)


@pytest.mark.parametrize(
    ("kl", "sentence"),
    [
        ({"controller": "adaptive", "coefficient": 0.0}, "must therefore be above 0"),
        (
            {"controller": "adaptive", "horizon": 10},
            "one iteration has 256 samples, so it must be above 51.2",
        ),
    ],
)
def test_a_controller_that_would_break_down_is_refused_when_the_recipe_is_read(kl, sentence):
    with pytest.raises(UserError, match=sentence):
        validate({"steps": {"ppo": {"kl": kl}}}, "recipe")


def test_only_a_bound_above_nothing_can_clip_rewards():
    for clip in (-1, 0, True, "five", [5]):
        with pytest.raises(UserError, match="auto, a number above 0, or null"):
            validate({"steps": {"ppo": {"reward_clip": clip}}}, "recipe")
    for clip in ("auto", 3.5, None):
        assert (
            validate({"steps": {"ppo": {"reward_clip": clip}}}, "recipe").steps["ppo"].settings.reward_clip
            == clip
        )


def test_online_dpo_takes_rounding_for_no_judgement():
    from plaudit.methods.online_dpo import outcomes

    assert outcomes(np.array([0.3, 0.3 + 2e-7, 0.3]), "all", within=1e-6) == ()
    mixed = outcomes(np.array([0.3, 0.3 + 2e-7, 0.9]), "all", within=1e-6)
    assert [(o.left, o.right, o.result) for o in mixed] == [(0, 1, 0.5), (0, 2, 0.0), (1, 2, 0.0)]
    assert KLPenalty(Grpo()).place == "loss" and OnlineDpo().kl.place is None
