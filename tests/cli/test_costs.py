"""Estimates of time follow from what is computed and what the processor is, not from how busy it is."""

from __future__ import annotations

import json
import time

import pytest
from command_line import run

from plaudit.advice import Situation, advise
from plaudit.advice.costs import Amount, Speed, cpu, duration, seconds
from plaudit.errors import UserError

SPEED = Speed(peak=1e11, training=0.5, memory=1e10)


def test_training_forward_sampling_and_loading_add_up():
    n = 1e8
    assert seconds(Amount(trained=1000), n, SPEED) == pytest.approx(6 * n * 1000 / 5e10)
    assert seconds(Amount(trained=1000), n, SPEED, adapters=True) == pytest.approx(4 * n * 1000 / 5e10)
    assert seconds(Amount(forward=1000), n, SPEED) == pytest.approx(2 * n * 1000 / 5e10)
    # One sequence alone waits for memory: 400 MB a token at 10 GB/s. Many together are computed.
    assert seconds(Amount(sampled=100, at_once=1), n, SPEED) == pytest.approx(100 * 0.04)
    assert seconds(Amount(sampled=6400, at_once=64), n, SPEED) == pytest.approx(6400 * 2 * n / 3e10)
    assert seconds(Amount(loads=1), n, SPEED) == pytest.approx(0.5 + 0.8)
    whole = Amount(1, 2, 3, 4, 5)
    parts = [Amount(trained=1), Amount(forward=2), Amount(sampled=3, at_once=4), Amount(loads=5)]
    assert seconds(whole, n, SPEED) == pytest.approx(sum(seconds(p, n, SPEED) for p in parts))


def test_the_processor_has_one_speed_however_often_it_is_asked():
    assert cpu(2) == cpu(2) and cpu(2).peak == pytest.approx(2 * cpu(1).peak)
    assert 1e10 < cpu(1).peak < 1e12


@pytest.mark.parametrize(
    ("time", "words"), [(0.2, "1 s"), (80, "80 s"), (600, "10 min"), (8000, "2.2 h"), (2e5, "2.3 days")]
)
def test_a_duration_in_words(time, words):
    assert duration(time) == words


def test_advise_counts_the_iterations_of_the_recipe_that_it_writes():
    found = Situation({"prompts", "function"}, parameters=7e9, tokens=12 * 40)
    first = advise(found).advice[0]
    section = first.recipe["steps"]["grpo"]
    episodes = section["iterations"] * section["prompts_per_iteration"] * 8
    assert first.method == "grpo" and first.amount.sampled == episodes * section["max_new_tokens"]
    # By hand: at least 6 N flops for every token that is learned from, at 200 GFLOP/s.
    least = 6 * 7e9 * episodes * section["max_new_tokens"] / 2e11
    assert seconds(first.amount, 7e9, Speed(2e11, 1.0)) > least > 3600


def test_memory_is_named_where_it_is_memory_that_leaves_no_method(capsys):
    with pytest.raises(
        UserError,
        match=r"12 GiB of memory are too few for 7 billion.*15\.\d GiB with adapters on a base in bf",
    ):
        advise(Situation({"pairs"}, memory=12, parameters=7e9))
    assert run("advise", "--have", "pairs", "--parameters", "7B", "--memory", "12") == 2
    assert "a device with more memory" in capsys.readouterr().err
    assert run("advise", "--have", "pairs", "--parameters", "7B", "--memory", "24") == 0
    assert "on a base in bfloat16; loading and saving take 26.1 GiB of main memory" in capsys.readouterr().out


def test_eight_billion_parameters_are_answered_from_the_config_alone(tmp_path, capsys):
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    began = time.process_time()
    assert run("advise", "--have", "pairs,demonstrations", "--model", str(tmp_path)) == 0
    assert time.process_time() - began < 10
    assert "8.03 billion parameters" in capsys.readouterr().out
