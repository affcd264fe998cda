"""GAE, shaped rewards, whitening and summaries against their definitions, row by row."""

import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import explained_variance, gae, masked_mean, shaped_rewards, whiten

unit = st.floats(0, 1)


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Ragged rewards and values."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    number = st.floats(-3, 3)
    make = lambda n: np.array(draw(st.lists(number, min_size=n, max_size=n)))  # noqa: E731
    return [make(n) for n in lengths], [make(n) for n in lengths]


def padded(arrays: list[np.ndarray], fill: float = 0.0, extra: int = 0) -> torch.Tensor:
    out = np.full((len(arrays), max(len(a) for a in arrays) + extra), fill)
    for row, array in zip(out, arrays):
        row[: len(array)] = array
    return torch.tensor(out)


def mask_of(arrays: list[np.ndarray], extra: int = 0) -> torch.Tensor:
    return padded([np.ones(len(a)) for a in arrays], extra=extra) > 0


def gae_row(reward: np.ndarray, value: np.ndarray, gamma: float, lam: float, after: float) -> np.ndarray:
    """A_t = Σ_l (γλ)^l·δ_{t+l}, written as the double sum."""
    n = len(reward)
    following = np.append(value[1:], after)
    delta = reward + gamma * following - value
    return np.array([sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, n)) for t in range(n)])


def test_gae_by_hand() -> None:
    # r = (0, 1), V = (½, ¼), γ = ½, λ = ½: δ₂ = 1 − ¼ = ¾, δ₁ = 0 + ⅛ − ½ = −⅜, A₁ = −⅜ + ¼·¾ = −3/16.
    rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]])
    advantages, returns = gae(rewards, values, torch.ones(1, 2, dtype=torch.bool), gamma=0.5, lam=0.5)
    assert advantages.tolist() == [[-3 / 16, 3 / 4]]
    assert returns.tolist() == [[5 / 16, 1.0]]


@given(rows(), unit, unit, st.booleans(), st.integers(0, 3))
def test_gae_equals_its_double_sum_in_every_ragged_row(
    case: tuple[list[np.ndarray], list[np.ndarray]], gamma: float, lam: float, cut: bool, extra: int
) -> None:
    rewards, values = case
    after = np.linspace(-1, 2, len(rewards)) if cut else np.zeros(len(rewards))
    mask = mask_of(rewards, extra)
    # NaN in the padding shows that nothing there is read.
    advantages, returns = gae(
        padded(rewards, math.nan, extra),
        padded(values, math.nan, extra),
        mask,
        gamma=gamma,
        lam=lam,
        bootstrap=torch.tensor(after) if cut else None,
    )
    for i, (reward, value) in enumerate(zip(rewards, values)):
        expected = gae_row(reward, value, gamma, lam, after[i])
        np.testing.assert_allclose(advantages[i, : len(reward)].numpy(), expected, atol=1e-9)
        np.testing.assert_allclose(returns[i, : len(reward)].numpy(), expected + value, atol=1e-9)
    assert not advantages[~mask].any() and not returns[~mask].any()


@given(rows(), unit)
def test_lambda_one_gives_discounted_returns_and_lambda_zero_one_step_errors(
    case: tuple[list[np.ndarray], list[np.ndarray]], gamma: float
) -> None:
    rewards, values = case
    arguments = padded(rewards), padded(values), mask_of(rewards)
    _, returns = gae(*arguments, gamma=gamma, lam=1.0)
    errors, _ = gae(*arguments, gamma=gamma, lam=0.0)
    for i, (reward, value) in enumerate(zip(rewards, values)):
        n = len(reward)
        to_go = [sum(gamma ** (k - t) * reward[k] for k in range(t, n)) for t in range(n)]
        np.testing.assert_allclose(returns[i, :n].numpy(), to_go, atol=1e-9)
        td = reward + gamma * np.append(value[1:], 0) - value
        np.testing.assert_allclose(errors[i, :n].numpy(), td, atol=1e-9)


def test_a_perfect_critic_leaves_no_advantage() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    values = torch.tensor([[6.0, 5.0, 3.0]], dtype=torch.float64)
    advantages, returns = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool))
    assert advantages.abs().max().item() < 1e-12
    assert torch.allclose(returns, values)


def test_a_cut_response_goes_on_to_its_bootstrap_and_an_ended_one_does_not() -> None:
    rewards = torch.zeros(2, 3, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    _, returns = gae(
        rewards,
        torch.zeros_like(rewards),
        mask,
        gamma=0.5,
        lam=1.0,
        bootstrap=torch.tensor([8.0, 0.0], dtype=torch.float64),
    )
    # 8 lies after two tokens: discounted once at the second and twice at the first.
    assert returns.tolist() == [[2.0, 4.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mask": torch.tensor([[True, False, True]])}, ValueError, "gap"),
        ({"mask": torch.tensor([[False, True, True]])}, ValueError, "gap"),
        ({"mask": torch.ones(1, 3)}, TypeError, "boolean"),
        ({"values": torch.zeros(3)}, ValueError, "shapes"),
        ({"values": torch.zeros(1, 2)}, ValueError, "shapes"),
        ({"rewards": torch.zeros(3)}, ValueError, "2 axes"),
        ({"bootstrap": torch.zeros(1, 1)}, ValueError, "shapes"),
        ({"gamma": 1.1}, ValueError, "gamma"),
        ({"lam": -0.1}, ValueError, "lam"),
    ],
)
def test_gae_refuses(changes: dict, error: type[Exception], message: str) -> None:
    arguments = {
        "rewards": torch.zeros(1, 3),
        "values": torch.zeros(1, 3),
        "mask": torch.ones(1, 3, dtype=torch.bool),
        **changes,
    }
    with pytest.raises(error, match=message):
        gae(arguments.pop("rewards"), arguments.pop("values"), arguments.pop("mask"), **arguments)


def test_the_score_lands_on_the_true_last_token() -> None:
    kl = torch.tensor([[1.0, -2.0, math.nan], [0.5, 0.0, 4.0]])
    rewards = shaped_rewards(kl, torch.tensor([10.0, 20.0]), torch.tensor([2, 3]), coefficient=0.5)
    assert rewards.tolist() == [[-0.5, 11.0, 0.0], [-0.25, 0.0, 18.0]]


@given(rows(), st.floats(0, 2))
def test_rewards_sum_to_the_score_less_the_leash(
    case: tuple[list[np.ndarray], list[np.ndarray]], coefficient: float
) -> None:
    kl, _ = case
    score = torch.linspace(-1, 1, len(kl), dtype=torch.float64)
    lengths = torch.tensor([len(row) for row in kl])
    rewards = shaped_rewards(padded(kl, math.nan, 2), score, lengths, coefficient=coefficient)
    expected = score.numpy() - coefficient * np.array([row.sum() for row in kl])
    np.testing.assert_allclose(rewards.sum(1).numpy(), expected, atol=1e-9)
    without = shaped_rewards(padded(kl), score, lengths, coefficient=0.0)
    assert (without != 0).sum() <= len(kl)


def test_float64_scores_do_not_widen_float32_rewards() -> None:
    rewards = shaped_rewards(
        torch.zeros(1, 2), torch.ones(1, dtype=torch.float64), torch.tensor([1]), coefficient=0.1
    )
    assert rewards.dtype == torch.float32


@pytest.mark.parametrize(
    ("score", "lengths", "message"),
    [
        (torch.zeros(2), torch.tensor([0, 1]), "lengths"),
        (torch.zeros(2), torch.tensor([1, 4]), "lengths"),
        (torch.zeros(2, 1), torch.tensor([1, 1]), "axes"),
        (torch.zeros(3), torch.tensor([1, 1]), "shapes"),
        (torch.zeros(1), torch.tensor([1]), "shapes"),
    ],
)
def test_shaped_rewards_refuses(score: torch.Tensor, lengths: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shaped_rewards(torch.zeros(2, 3), score, lengths, coefficient=0.1)


@st.composite
def masked(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T] numbers with a spread, at least two of them masked in."""
    b, t = draw(st.integers(2, 5)), draw(st.integers(2, 5))
    seed = draw(st.integers(0, 10_000))
    random = np.random.default_rng(seed)
    mask = random.random((b, t)) < 0.7
    mask[0, :2] = True
    return torch.tensor(random.normal(3, 2, (b, t))), torch.tensor(mask)


@given(masked())
def test_whitened_tokens_have_mean_zero_and_deviation_one(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, mask = case
    # One but for ε: σ/√(σ² + ε).
    variance = np.var(x.numpy()[mask.numpy()])
    deviation = math.sqrt(variance / (variance + 1e-8))
    white = whiten(x, mask)
    assert white[mask].mean().item() == pytest.approx(0, abs=1e-6)
    assert white[mask].std(correction=0).item() == pytest.approx(deviation, abs=1e-6)
    assert not white[~mask].any()
    kept = whiten(x, mask, shift_mean=False)
    assert kept[mask].mean().item() == pytest.approx(x[mask].mean().item(), abs=1e-6)
    assert kept[mask].std(correction=0).item() == pytest.approx(deviation, abs=1e-6)
    assert not kept[~mask].any()


def test_whitening_by_hand() -> None:
    # 1, 3, 5, 7: mean 4, variance (9 + 1 + 1 + 9)/4 = 5; with ε = 4 the divisor is 3.
    x = torch.tensor([[1.0, 3.0, math.nan], [5.0, 7.0, math.nan]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, True, False]])
    expected = [[-1.0, -1 / 3, 0.0], [1 / 3, 1.0, 0.0]]
    np.testing.assert_allclose(whiten(x, mask, eps=4.0).numpy(), expected, atol=1e-12)


@given(masked(), st.floats(0.1, 10), st.floats(-5, 5))
def test_whitening_forgets_scale_and_shift(
    case: tuple[torch.Tensor, torch.Tensor], scale: float, shift: float
) -> None:
    x, mask = case
    plain, moved = whiten(x, mask, eps=0.0), whiten(scale * x + shift, mask, eps=0.0)
    np.testing.assert_allclose(plain.numpy(), moved.numpy(), atol=1e-9)


def test_equal_values_whiten_to_nothing() -> None:
    x, mask = torch.full((2, 3), 5.0), torch.ones(2, 3, dtype=torch.bool)
    assert torch.equal(whiten(x, mask), torch.zeros(2, 3))
    assert torch.equal(whiten(x, mask, shift_mean=False), x)


class Meeting:
    """Ranks as threads: ``reduce`` waits for all of them and gives each the sum."""

    def __init__(self, ranks: int) -> None:
        self.barrier = threading.Barrier(ranks, timeout=300)
        self.parts: list[torch.Tensor] = []
        self.lock = threading.Lock()

    def reduce(self, sums: torch.Tensor) -> torch.Tensor:
        with self.lock:
            self.parts.append(sums)
        self.barrier.wait()
        total = torch.stack(self.parts).sum(0)
        if self.barrier.wait() == 0:
            self.parts.clear()
        self.barrier.wait()
        return total


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_two_ranks_whiten_as_one_even_if_one_has_no_token(cut: int) -> None:
    random = torch.Generator().manual_seed(cut)
    x = torch.randn(4, 5, generator=random, dtype=torch.float64) * 3 + 100
    mask = torch.rand(4, 5, generator=random) < 0.6
    mask[0] = True
    if cut == 3:
        mask[3] = False
    meeting, shards = Meeting(2), [slice(0, cut), slice(cut, 4)]
    done: dict[int, torch.Tensor] = {}

    def work(rank: int) -> None:
        done[rank] = whiten(x[shards[rank]], mask[shards[rank]], reduce=meeting.reduce)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(torch.cat([done[0], done[1]]).numpy(), whiten(x, mask).numpy(), atol=1e-12)


def test_whiten_refuses_an_empty_mask_and_a_mask_of_numbers() -> None:
    with pytest.raises(ValueError, match="nothing to whiten"):
        whiten(torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(TypeError, match="boolean"):
        whiten(torch.zeros(2, 2), torch.ones(2, 2))
    with pytest.raises(ValueError, match="shapes"):
        whiten(torch.zeros(2, 2), torch.ones(2, 1, dtype=torch.bool))


def test_advantages_carry_no_gradient_to_the_critic() -> None:
    values = torch.zeros(1, 2, requires_grad=True)
    mask = torch.ones(1, 2, dtype=torch.bool)
    advantages, returns = gae(torch.ones(1, 2), values, mask)
    assert not advantages.requires_grad and not returns.requires_grad
    assert not whiten(values + torch.arange(2), mask).requires_grad


@given(masked())
def test_the_masked_mean_is_the_mean_of_what_is_masked_in(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, mask = case
    garbage = torch.where(mask, x, torch.full_like(x, math.nan))
    assert masked_mean(garbage, mask).item() == pytest.approx(np.mean(x.numpy()[mask.numpy()]), abs=1e-12)


def test_masked_mean_refuses_an_empty_mask_and_a_mask_of_numbers() -> None:
    with pytest.raises(ValueError, match="holds no token"):
        masked_mean(torch.ones(2), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(TypeError, match="boolean"):
        masked_mean(torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match="shapes"):
        masked_mean(torch.ones(2, 1), torch.ones(2, dtype=torch.bool))


# Target 1, 2, 3, 4 has variance 5/4. Errors 0, 0, 0, 2 have variance 3/4: 1 − 3/5.
@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([1, 2, 3, 4], 1.0),
        ([8, 9, 10, 11], 1.0),
        ([7, 7, 7, 7], 0.0),
        ([1, 2, 3, 2], 0.4),
        ([-1, -2, -3, -4], -3.0),
    ],
)
def test_explained_variance_by_hand(predicted: list[int], expected: float) -> None:
    target = torch.tensor([1.0, 2, 3, 4])
    result = explained_variance(torch.tensor(predicted, dtype=torch.float32), target)
    assert result.item() == pytest.approx(expected, abs=1e-6)


def test_a_target_without_variance_gives_a_number() -> None:
    flat = torch.full((3,), 2.0)
    assert explained_variance(torch.tensor([5.0, 5.0, 5.0]), flat).item() == 1
    assert explained_variance(torch.tensor([1.0, 2.0, 3.0]), flat).item() == 0
    assert explained_variance(torch.ones(1), torch.zeros(1)).item() == 1
    with pytest.raises(ValueError, match="shapes"):
        explained_variance(torch.ones(2, 1), torch.ones(2))
