"""Both samplers: what they draw, when they stop, and what a sample must not depend on."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import transformers
from rollout_models import FAMILIES, LetterTokenizer, build, plain_logits, policy
from scipy import stats

from plaudit.errors import NotFiniteError, UserError
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings
from plaudit.rollout.transformers_backend import TransformersSampler

SAMPLERS = [NativeSampler, TransformersSampler]


@pytest.fixture(scope="module")
def llama():
    return policy(build("llama"), end_ids=(2, 9, 17))


def requests(count=10, n=1, seed=0, longest=14):
    rng = np.random.default_rng(seed)
    return [
        Request(rng.integers(3, 55, size=rng.integers(1, longest)), f"prompt {i}", n) for i in range(count)
    ]


def by_name(sampled):
    return {(s.key, s.index): s for s in sampled}


def same(a, b):
    assert (a.key, a.index, a.finish) == (b.key, b.index, b.finish)
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_allclose(a.log_probs, b.log_probs, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_native_and_transformers_draw_the_same_tokens(family, temperature):
    tiny = policy(build(family), end_ids=(2, 9, 17))
    settings = SamplingSettings(16, temperature=temperature)
    asked = requests(6, n=2)
    native = NativeSampler(tiny, max_rows=5).sample(asked, settings, seed=0, step=0)
    reference = TransformersSampler(tiny, max_rows=7).sample(asked, settings, seed=0, step=0)
    assert len(native) == len(reference) == 12
    assert len({s.ids.tobytes() for s in native}) > 3
    for a, b in zip(native, reference):
        same(a, b)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_greedy_takes_the_best_token_of_a_plain_forward(sampler, llama):
    for s in sampler(llama).sample(requests(), SamplingSettings(10, temperature=0), seed=0, step=0):
        logits = plain_logits(llama.model, np.concatenate([s.prompt_ids, s.ids]))
        np.testing.assert_array_equal(s.ids, logits[len(s.prompt_ids) - 1 : -1].argmax(-1).numpy())
        assert (s.log_probs == 0).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sequences_come_with_their_exact_probabilities(sampler):
    """Chi-square over every sequence of at most three tokens from a vocabulary of four."""
    torch.manual_seed(4)
    config = transformers.LlamaConfig(
        vocab_size=4,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
        max_position_embeddings=32,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    prompt, draws, temperature = np.array([1, 3, 2]), 4000, 1.4
    log_p = {
        ids: plain_logits(model, [*prompt, *ids]).div(temperature).log_softmax(-1)
        for ids in product(range(4), repeat=3)
    }
    expected: dict[tuple[int, ...], float] = {}
    for ids, table in log_p.items():
        # Token 0 ends: everything after it is the same response.
        length = ids.index(0) + 1 if 0 in ids else 3
        response = ids[:length]
        expected[response] = float(sum(table[2 + t, v] for t, v in enumerate(response)).exp())
    assert sum(expected.values()) == pytest.approx(1, abs=1e-5)

    tiny = policy(model, end_ids=(0,))
    sampled = sampler(tiny, max_rows=1000).sample(
        [Request(prompt, "p", draws)], SamplingSettings(3, temperature=temperature), seed=11, step=0
    )
    counts = dict.fromkeys(expected, 0)
    for s in sampled:
        counts[tuple(s.ids.tolist())] += 1
        assert s.log_probs.sum() == pytest.approx(np.log(expected[tuple(s.ids.tolist())]), abs=2e-5)
    observed, wanted = np.array(list(counts.values())), np.array(list(expected.values())) * draws
    rare = wanted < 5
    observed, wanted = (np.append(x[~rare], x[rare].sum()) for x in (observed, wanted))
    assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_log_probs_are_those_of_the_truncated_distribution(sampler, llama):
    settings = SamplingSettings(12, temperature=0.8, top_k=9, top_p=0.85)
    for s in sampler(llama).sample(requests(5), settings, seed=0, step=0):
        logits = plain_logits(llama.model, np.concatenate([s.prompt_ids, s.ids])).double() / 0.8
        for t, (token, log_prob) in enumerate(zip(s.ids, s.log_probs)):
            p = logits[len(s.prompt_ids) - 1 + t].softmax(-1).sort(descending=True)
            p9 = p.values[:9] / p.values[:9].sum()
            kept = int((p9.cumsum(-1) < 0.85).sum()) + 1
            place = p.indices[:kept].tolist().index(token)
            assert log_prob == pytest.approx(float((p9[place] / p9[:kept].sum()).log()), abs=1e-4)


def test_samples_do_not_depend_on_rows_columns_order_grouping_or_what_was_sampled_before(llama):
    asked, settings = requests(25, n=3), SamplingSettings(30)
    whole = by_name(NativeSampler(llama).sample(asked, settings, seed=3, step=9))
    kept = NativeSampler(llama, max_rows=6)
    kept.sample(requests(9, seed=8), SamplingSettings(50), seed=1, step=1)
    split = [Request(r.prompt_ids, r.key, 1, start=i) for r in asked for i in (2, 0, 1)]
    variants = [
        NativeSampler(llama, max_rows=1).sample(asked[:4], settings, seed=3, step=9),
        NativeSampler(llama, max_rows=4).sample(asked[::-1], settings, seed=3, step=9),
        NativeSampler(llama, max_tokens=300).sample(asked, settings, seed=3, step=9),
        NativeSampler(llama, max_rows=11).sample(split, settings, seed=3, step=9),
        kept.sample(asked, settings, seed=3, step=9),
        kept.sample(asked, settings, seed=3, step=9),
        TransformersSampler(llama, max_rows=8).sample(asked[::2], settings, seed=3, step=9),
    ]
    for variant in variants:
        for s in variant:
            same(s, whole[s.key, s.index])
    assert {s.finish for s in whole.values()} == {"end", "length"}
    assert len({len(s.ids) for s in whole.values()}) > 8


def test_the_last_bit_does_not_depend_on_what_was_sampled_before(llama):
    asked, settings = requests(12, n=2), SamplingSettings(20)
    used = NativeSampler(llama)
    for longest, new in ((14, 20), (9, 70), (3, 4)):
        used.sample(requests(30, seed=7, longest=longest), SamplingSettings(new), seed=1, step=1)
        for a, b in zip(
            used.sample(asked, settings, seed=0, step=0),
            NativeSampler(llama).sample(asked, settings, seed=0, step=0),
        ):
            np.testing.assert_array_equal(a.ids, b.ids)
            np.testing.assert_array_equal(a.log_probs, b.log_probs)


def test_seed_and_step_change_the_samples(llama):
    asked, settings = requests(10), SamplingSettings(20)
    sampler = NativeSampler(llama)
    base = sampler.sample(asked, settings, seed=0, step=0)
    for seed, step in ((1, 0), (0, 1)):
        other = sampler.sample(asked, settings, seed=seed, step=step)
        assert sum(not np.array_equal(a.ids, b.ids) for a, b in zip(base, other)) >= 8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_shorter_limit_gives_a_prefix(sampler, llama):
    asked = requests(10)
    long = sampler(llama).sample(asked, SamplingSettings(25), seed=0, step=0)
    for limit in (1, 7):
        short = sampler(llama).sample(asked, SamplingSettings(limit), seed=0, step=0)
        for a, b in zip(short, long):
            np.testing.assert_array_equal(a.ids, b.ids[:limit])
            assert a.finish == ("length" if len(b.ids) > limit or b.finish == "length" else "end")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_first_of_several_end_tokens_ends_and_is_kept(sampler, llama):
    asked = requests(20)
    endless = policy(llama.model, end_ids=())
    free = sampler(endless).sample(asked, SamplingSettings(25), seed=0, step=0)
    assert {s.finish for s in free} == {"length"} and {len(s.ids) for s in free} == {25}
    ended = 0
    for s, f in zip(sampler(llama).sample(asked, SamplingSettings(25), seed=0, step=0), free):
        places = np.flatnonzero(np.isin(f.ids, llama.end_ids))
        length = places[0] + 1 if len(places) else 25
        np.testing.assert_array_equal(s.ids, f.ids[:length])
        assert s.finish == ("end" if len(places) else "length")
        ended += len(places) > 0
    assert ended > 5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_padding_with_the_end_token_changes_nothing(sampler, llama):
    asked, settings = requests(12), SamplingSettings(20)
    apart = sampler(llama).sample(asked, settings, seed=0, step=0)
    together = sampler(policy(llama.model, end_ids=(2, 9, 17), pad_id=2)).sample(
        asked, settings, seed=0, step=0
    )
    for a, b in zip(apart, together):
        same(a, b)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_stop_string_cuts_at_the_token_that_completes_it(sampler):
    endless = policy(build("llama"), end_ids=(2,))
    asked = requests(30)
    free = sampler(endless).sample(asked, SamplingSettings(25), seed=0, step=0)
    texts = [LetterTokenizer().decode(s.ids) for s in free]
    # Words of one to four characters that do occur, over several tokens.
    stop = tuple(text[4 + i % 9 :][: 1 + i % 4] for i, text in enumerate(texts[:14]) if len(text) > 20)
    cut = sampler(endless).sample(asked, SamplingSettings(25, stop=stop), seed=0, step=0)
    stopped = 0
    for s, f in zip(cut, free):
        length, finish = len(f.ids), f.finish
        for n in range(1, len(f.ids) + 1):
            if f.ids[n - 1] == 2:
                break
            if any(word in LetterTokenizer().decode(f.ids[:n]) for word in stop):
                length, finish = n, "stop"
                break
        np.testing.assert_array_equal(s.ids, f.ids[:length])
        assert s.finish == finish
        stopped += finish == "stop"
    assert 5 < stopped < 30
    words = [
        w for s in cut if s.finish == "stop" for w in stop if LetterTokenizer().decode(s.ids).endswith(w)
    ]
    assert {len(w) for w in words} == {1, 2, 3, 4}


def test_requests_that_share_a_key_go_on_counting(llama):
    [one] = requests(1)
    settings = SamplingSettings(15)
    twice = NativeSampler(llama).sample([one, replace(one, n=2)], settings, seed=0, step=0)
    at_once = NativeSampler(llama).sample([replace(one, n=3)], settings, seed=0, step=0)
    for a, b in zip(twice, at_once):
        same(a, b)
    assert len({s.ids.tobytes() for s in twice}) == 3
    with pytest.raises(ValueError, match="share the key"):
        NativeSampler(llama).sample(
            [one, Request(one.prompt_ids[::-1] + 1, one.key)], settings, seed=0, step=0
        )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_order_version_and_progress(sampler, llama):
    asked = [*requests(7, n=2), Request(np.array([4]), "none", 0)]
    calls = []
    sampled = sampler(llama, max_rows=4).sample(
        asked,
        SamplingSettings(9),
        seed=0,
        step=0,
        policy_version=12,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [(s.key, s.index) for s in sampled] == [(r.key, i) for r in asked for i in range(r.n)]
    assert {s.policy_version for s in sampled} == {12}
    assert all(s.ids.dtype == np.int64 and s.log_probs.dtype == np.float32 for s in sampled)
    assert all(len(s.ids) == len(s.log_probs) >= 1 for s in sampled)
    assert calls == sorted(calls) and calls[-1] == (14, 14)
    assert sampler(llama).sample([], SamplingSettings(9), seed=0, step=0) == []


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_model_is_left_as_it_was_and_trains_on(sampler, caplog):
    tiny = policy(build("gpt2"))
    assert tiny.model.config.attn_pdrop > 0
    tiny.model.generation_config.repetition_penalty = 9.0
    tiny.model.train()
    settings = SamplingSettings(10)
    first = sampler(tiny).sample(requests(4), settings, seed=0, step=0)
    assert tiny.model.training and tiny.model.generation_config.repetition_penalty == 9.0
    assert not [r for r in caplog.records if r.name.startswith("plaudit")], "dropout was on"
    ids = torch.tensor([[4, 5, 6]])
    tiny.model(input_ids=ids, labels=ids).loss.backward()
    tiny.model.eval()
    tiny.model.generation_config.repetition_penalty = 1.0
    for a, b in zip(first, sampler(tiny).sample(requests(4), settings, seed=0, step=0)):
        same(a, b)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_weights_are_read_anew_at_every_call(sampler):
    tiny, fresh = policy(build("qwen3")), policy(build("qwen3", seed=1))
    settings = SamplingSettings(12)
    reused = sampler(tiny)
    reused.sample(requests(5), settings, seed=0, step=0)
    tiny.model.load_state_dict(fresh.model.state_dict())
    for a, b in zip(
        reused.sample(requests(5), settings, seed=0, step=0),
        sampler(fresh).sample(requests(5), settings, seed=0, step=0),
    ):
        same(a, b)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_policy_that_is_not_finite_is_an_error_and_leaves_nothing_behind(sampler, temperature):
    tiny = policy(build("llama"))
    settings = SamplingSettings(12, temperature=temperature)
    reused = sampler(tiny)
    # The short prompts then lie where the long ones left their keys and values.
    asked = [Request(np.arange(3, 16), "long"), *(Request(np.array([4 + i]), f"{i}") for i in range(4))]
    long = [Request(np.arange(3 + i, 16 + i), f"long {i}") for i in range(5)]
    before = reused.sample(asked, settings, seed=0, step=0)
    saved = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    with torch.no_grad():
        tiny.model.model.layers[1].self_attn.v_proj.weight[3] = torch.nan
    with pytest.raises(NotFiniteError, match="not finite"):
        reused.sample(long, settings, seed=0, step=0)
    tiny.model.load_state_dict(saved)
    for a, b in zip(before, reused.sample(asked, settings, seed=0, step=0)):
        same(a, b)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_policy_that_is_not_finite_at_first_is_sampled_natively_once_it_is(temperature, caplog):
    tiny = policy(build("llama"))
    sampler, settings = NativeSampler(tiny), SamplingSettings(5, temperature=temperature)
    weight = tiny.model.model.norm.weight
    saved = weight.detach().clone()
    weight.data.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match=r"not finite(.|\n)*lower the learning rate"):
        sampler.sample(requests(3), settings, seed=0, step=0)
    weight.data.copy_(saved)
    with caplog.at_level("INFO"):
        sampler.sample(requests(3), settings, seed=0, step=0)
    assert not caplog.records


def test_half_precision_stays_close_to_the_models_own_log_probs():
    tiny = policy(build("llama").to(torch.bfloat16))
    for s in NativeSampler(tiny).sample(requests(6), SamplingSettings(10), seed=0, step=0):
        logits = plain_logits(tiny.model, np.concatenate([s.prompt_ids, s.ids])).float()
        expected = logits[len(s.prompt_ids) - 1 : -1].log_softmax(-1)
        expected = expected.gather(-1, torch.from_numpy(s.ids)[:, None])[:, 0]
        assert np.abs(s.log_probs - expected.numpy()).mean() < 0.1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_prompt_too_long_for_the_model_is_the_users_to_mend(sampler, llama):
    with pytest.raises(UserError, match=r"96 positions.*\n.*at most 6"):
        sampler(llama).sample([Request(np.arange(3, 93) % 50, "long")], SamplingSettings(7), seed=0, step=0)
    [sampled] = sampler(policy(llama.model, end_ids=())).sample(
        [Request(np.arange(3, 93) % 50, "long")], SamplingSettings(6), seed=0, step=0
    )
    assert len(sampled.ids) == 6
    with pytest.raises(ValueError, match="at least one token"):
        sampler(llama).sample(
            [Request(np.array([], dtype=int), "empty")], SamplingSettings(5), seed=0, step=0
        )


def test_all_faults_of_the_settings_are_told_at_once():
    with pytest.raises(UserError) as caught:
        SamplingSettings(0, temperature=-1, top_p=0, top_k=-2, stop=("a", ""))
    assert [p.field for p in caught.value.problems] == [
        "max_new_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
    ]
    with pytest.raises(UserError):
        SamplingSettings(5, temperature=float("nan"))
    with pytest.raises(UserError):
        SamplingSettings(5, stop="word")
