"""Two gloo ranks: the same loss and weights as one, the same work each, or an error; never another number."""

from __future__ import annotations

import shutil
import signal
from multiprocessing import get_context

import numpy as np
import pytest
import rank_work
from rank_pair import Pair
from toy import CASES, comes_first

from plaudit.data.tokens.batching import plan, slots_in
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.runs import Stage
from plaudit.runtime import Mesh, MeshError

ONE = Mesh()
FIRST = [case for case in CASES if comes_first(case)]
OTHERS = [case for case in CASES if not comes_first(case)]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """How far two vectors of weights are from one another, relative to their size."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def check_updates(pair, cases):
    both = pair.run(rank_work.updates, cases)
    one = rank_work.updates(ONE, cases)
    for case, (loss, weights, _) in one.items():
        for found in both:
            assert found[case][0] == pytest.approx(loss, rel=1e-6), case
            assert apart(found[case][1], weights) <= 1e-6, case
        assert np.array_equal(both[0][case][1], both[1][case][1]), case
        # Each had work of its own, and as many passes as the other.
        assert both[0][case][2] == both[1][case][2] >= 1, case
    assert any(both[0][case, rank_work.TINY][2] > 1 for case in cases)


def test_an_update_of_every_method_is_that_of_one_rank(pair):
    check_updates(pair, FIRST)


@pytest.mark.slow
def test_an_update_of_every_objective_is_that_of_one_rank(pair):
    check_updates(pair, OTHERS)


def check_offline(pair, methods, tmp_path):
    both = pair.run(rank_work.offline, methods, str(tmp_path / "two"))
    one = rank_work.offline(ONE, methods, str(tmp_path / "one"))
    for name, (evaluation, weights) in one.items():
        for held, found in (both[0][name], both[1][name]):
            assert apart(found, weights) <= 1e-6, name
            assert held == pytest.approx(evaluation, rel=1e-5, abs=1e-6), name


def test_whole_runs_of_offline_methods_are_those_of_one_rank(pair, tmp_path):
    check_offline(pair, ["dpo", "kto"], tmp_path)


@pytest.mark.slow
def test_whole_runs_of_the_other_offline_methods_are_those_of_one_rank(pair, tmp_path):
    check_offline(pair, ["sft", "reward", "simpo", "cpo", "orpo"], tmp_path)


@pytest.mark.parametrize("different", ["budget", "precision", "items"])
def test_ranks_that_differ_in_what_decides_the_gradient_are_an_error(pair, different):
    for state, error in pair.outcomes(rank_work.one_update, "dpo", different):
        assert state == "failed"
        assert error[0] == "MeshError" and "the ranks differ" in error[1]


def test_without_the_comparison_the_gradient_would_be_another_one(pair):
    """The planted fault: the shares of two plans do not cover the batch once."""
    found = pair.run(rank_work.without_agreement, "dpo")
    loss, _ = rank_work.one_update(ONE, "dpo", "nothing")
    assert abs(found[0][0] - loss) > 0.05 * abs(loss)


def test_ranks_of_different_thread_counts_have_the_gradient_of_one(pair):
    found = pair.run(rank_work.one_update, "dpo", "threads")
    loss, weights = rank_work.one_update(ONE, "dpo", "nothing")
    assert found[0][0] == pytest.approx(loss, rel=1e-6)
    assert apart(found[0][1], weights) <= 1e-6


def test_ranks_of_different_memory_take_what_fits_the_least(pair, tmp_path):
    (first, slots), (second, others) = pair.run(rank_work.least_memory, str(tmp_path / "two"))
    alone, most = rank_work.least_memory(ONE, str(tmp_path / "one"))
    assert np.array_equal(first, second) and apart(first, alone) <= 1e-6
    assert max(slots, others) < most / 2  # what one rank has, who has memory for all of it


def test_a_forward_pass_that_waits_for_the_others_never_waits_in_vain(pair):
    counts = [1, 2, 3, 12]
    both = pair.run(rank_work.collective, counts)
    one = rank_work.collective(ONE, counts)
    for a, b, (loss, _) in zip(*both, one):
        assert a[1] == b[1]
        assert a[0] == b[0] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("rank", [0, 1])
def test_memory_that_runs_out_on_one_rank_halves_the_budget_of_both(pair, rank):
    assert pair.run(rank_work.out_of_memory, rank) == [rank_work.out_of_memory(ONE, 5)] * 2


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_an_rl_run_is_that_of_one_rank_and_the_reward_is_asked_once(pair, method, tmp_path):
    both = pair.run(rank_work.rl, method, str(tmp_path / "two"))
    one = rank_work.rl(ONE, method, str(tmp_path / "one"))
    samples = 4 * 6 * (4 if method == "grpo" else 1)
    assert one["asked"] == samples == both[0]["asked"] + both[1]["asked"]
    assert both[0]["asked"] == both[1]["asked"]
    for found in both:
        assert apart(found["weights"], one["weights"]) <= 1e-4
    assert len(both[0]["log"]) == len(one["log"])


def test_ranks_drop_and_replace_the_same_prompts(pair, tmp_path):
    both = pair.run(rank_work.rl, "dapo", str(tmp_path / "two"))
    one = rank_work.rl(ONE, "dapo", str(tmp_path / "one"))
    assert one["asked"] == both[0]["asked"] + both[1]["asked"] > 4 * 6 * 4
    for found in both:
        assert apart(found["weights"], one["weights"]) <= 1e-4
        for row, other in zip(found["log"], one["log"], strict=True):
            for name in ("sampling/dropped", "sampling/rounds", "sampling/missing", "policy/masked"):
                assert row.get(name) == other.get(name)
    assert any(row.get("sampling/dropped", 0) > 0 for row in one["log"])


def test_a_judge_as_a_reward_is_asked_once_in_all(pair, tmp_path):
    """By rank 0, which has the whole batch: an answer that is not graded gets the mean of all others."""
    both = pair.run(rank_work.rl, "grpo", str(tmp_path / "two"), None, None, True)
    one = rank_work.rl(ONE, "grpo", str(tmp_path / "one"), None, None, True)
    assert [found["asked"] for found in both] == [one["asked"], 0] and one["asked"] == 4 * 6 * 4
    iterations = list(zip(both[0]["log"], one["log"], strict=True))[1:]
    for row, other in iterations:
        assert row["objective/scores"] == pytest.approx(other["objective/scores"], abs=1e-6)
    assert any(0 < row["reward/judge_abstained"] < 1 for row, _ in iterations)


def test_a_run_goes_on_with_another_number_of_ranks(pair, tmp_path):
    """Two ranks, then one, then two: the weights of two that nobody interrupted, and the same log."""
    whole = pair.run(rank_work.rl, "ppo", str(tmp_path / "whole"))[0]
    path = str(tmp_path / "cut")
    assert pair.run(rank_work.rl, "ppo", path, 1)[0]["stopped"]
    assert rank_work.rl(ONE, "ppo", path, 3)["stopped"]
    ended = pair.run(rank_work.rl, "ppo", path)[0]
    assert apart(ended["weights"], whole["weights"]) <= 1e-6
    assert len(ended["log"]) == len(whole["log"]) == 5  # and what is measured before the first
    for row, other in zip(ended["log"], whole["log"]):
        assert row.keys() == other.keys()
        assert row.get("objective/scores") == pytest.approx(other.get("objective/scores"))


def kill_alone(path: str, at: int) -> int | None:
    """The exit code of one process that goes on with the run and kills itself."""
    process = get_context("spawn").Process(target=rank_work.rl, args=(ONE, "ppo", path, at, 0))
    process.start()
    process.join(timeout=300)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_either_rank_is_killed_and_the_run_goes_on(pair, rank, tmp_path):
    """With as many ranks bitwise; with two, then one that is killed too, then two, up to rounding."""
    whole = pair.run(rank_work.rl, "ppo", str(tmp_path / "whole"))[0]
    path = tmp_path / "cut"
    codes = Pair().killed(rank_work.rl, "ppo", str(path), 2, rank)
    assert codes[rank] == -signal.SIGKILL and codes[1 - rank] not in (0, None)
    assert Stage(path).steps() == [1]
    shutil.copytree(path, tmp_path / "again")
    again = pair.run(rank_work.rl, "ppo", str(tmp_path / "again"))[0]
    assert np.array_equal(again["weights"], whole["weights"]) and again["log"] == whole["log"]
    assert kill_alone(str(path), 3) == -signal.SIGKILL
    assert Stage(path).steps()[-1] == 2
    ended = pair.run(rank_work.rl, "ppo", str(path))[0]
    assert apart(ended["weights"], whole["weights"]) <= 1e-6
    assert len(ended["log"]) == len(whole["log"])


def test_an_error_of_one_rank_is_an_error_of_all(pair):
    for rank, (state, error) in enumerate(pair.outcomes(failing)):
        assert state == "failed"
        assert error[0] == ("ZeroDivisionError" if rank == 1 else "MeshError")


def failing(mesh: Mesh) -> None:
    mesh.map(lambda n: 1 // n, [1, 0])


def like_hh(count: int, answers: int, seed: int) -> list[TokenItem]:
    """Items with log-normal lengths, about those of Anthropic's HH: 200 tokens of prompt, 80 of answer."""
    rng = np.random.default_rng(seed)

    def tokens(mean: float, most: int) -> np.ndarray:
        return np.zeros(int(np.clip(rng.lognormal(np.log(mean), 0.7), 8, most)), dtype=np.int64)

    return [
        TokenItem(tokens(200, 1500), tuple(Segment.of(tokens(80, 512)) for _ in range(answers)))
        for _ in range(count)
    ]


BATCHES = {"reward": (64, 2, 16_384), "ppo": (128, 1, 8192), "grpo": (64, 8, 8192)}


def efficiency(parts: list[list[int]], items: list[TokenItem], layout: str, world: int) -> float:
    """Slots of all, over the slots of the busiest rank times their number."""
    used = [sum(slots_in([items[i] for i in part], layout) for part in parts[r::world]) for r in range(world)]
    return sum(used) / world / max(used)


@pytest.mark.parametrize("world", [2, 8])
@pytest.mark.parametrize("name", BATCHES)
def test_every_rank_has_nearly_the_same_number_of_slots(name, world):
    count, answers, budget = BATCHES[name]
    for seed in range(5):
        items = like_hh(count, answers, seed)
        parts = plan(items, budget, "shared", world)
        assert len(parts) % world == 0 and sorted(i for part in parts for i in part) == list(range(count))
        assert all(slots_in([items[i] for i in part], "shared") <= budget for part in parts if len(part) > 1)
        assert efficiency(parts, items, "shared", world) >= 0.95
    # What dealing out the micro-batches of one rank would come to.
    assert efficiency(plan(items, budget, "shared"), items, "shared", 8) < 0.9


@pytest.mark.parametrize("layout", ["padded", "packed", "shared"])
@pytest.mark.parametrize(("count", "budget"), [(1, 8192), (3, 8192), (7, 10), (40, 700)])
def test_plans_of_several_ranks_cover_every_item_once(layout, count, budget):
    items = like_hh(count, 2, 3)
    for world in (2, 3, 8):
        parts = plan(items, budget, layout, world)
        assert len(parts) % world == 0 and sorted(i for part in parts for i in part) == list(range(count))
        assert all(slots_in([items[i] for i in part], layout) <= budget for part in parts if len(part) > 1)


def test_ranks_without_a_device_of_their_own_are_an_error(monkeypatch):
    import torch

    from plaudit.errors import UserError
    from plaudit.runtime import resolve_device

    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == torch.device("cuda", 1) and taken == [1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"local rank 2 has no CUDA device.*\n.*nproc-per-node 2"):
        resolve_device("cuda")
    assert issubclass(MeshError, UserError)
