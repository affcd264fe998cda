"""What an accelerator reaches: a Llama of a billion random weights, real lengths, bf16; prints one JSON line a row.

    python benchmarks/accelerator.py sft dpo sampling ppo

Arithmetic is counted as executed: 6 (with gradients) or 2 times the weights of the layers for every slot, the head's
for response tokens alone, and the scores that attention computes, half of a causal square.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
import traced
from ours import LOOP, items_of, online
from transformers import LlamaConfig, LlamaForCausalLM
from work import prepare, short_prompts

from plaudit.config import Dpo, Ppo as PpoSettings
from plaudit.data.tokens.item import TokenItem
from plaudit.methods.direct import DirectPreference
from plaudit.methods.ppo import PPO
from plaudit.methods.reference_log_probs import frozen_reference
from plaudit.methods.supervised import Supervised
from plaudit.models import attention, encoder
from plaudit.models.critic import Critic
from plaudit.models.policy import Policy
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings
from plaudit.runtime import Runtime, use_compute
from plaudit.training import TrainingMethod
from plaudit.training.engine import Engine, ParameterGroup, trainable

# Dense bf16 by the vendor's data sheet, in TFLOP/s: what utilisation is usually given against.
NOMINAL = {"H100": 989.0, "H200": 989.0, "A100": 312.0}
# Hidden size, layers, heads, key-value heads, inner features.
SHAPES = {
    "1B": (2048, 20, 16, 8, 5632),
    "0.5B": (1536, 16, 12, 6, 4096),
    "tiny": (128, 2, 2, 1, 352),
}


def wait() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def machine(device: torch.device) -> dict[str, Any]:
    """Measured limits: bf16 products in TFLOP/s, a copy in TB/s (read and written)."""
    on_cuda = device.type == "cuda"
    side, size = (8192, 2**31) if on_cuda else (1024, 2**27)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    big, other = (torch.ones(size, device=device, dtype=torch.uint8) for _ in range(2))
    rates = []
    for work, amount in ((lambda: a @ b, 2 * side**3), (lambda: other.copy_(big), 2 * size)):
        for _ in range(5):
            work()
        start = wait()
        for _ in range(30):
            work()
        rates.append(30 * amount / (wait() - start) / 1e12)
    name = torch.cuda.get_device_name() if on_cuda else "cpu"
    nominal = next((v for k, v in NOMINAL.items() if k in name), rates[0])
    return {
        "device": name,
        "torch": torch.__version__,
        "tflops": rates[0],
        "tbps": rates[1],
        "nominal": nominal,
    }


def policy_of(size: str, device: torch.device) -> Policy:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(prepare() / "5M-4096")
    hidden, layers, heads, kv, inner = SHAPES[size]
    config = LlamaConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
        intermediate_size=inner, vocab_size=32_000, max_position_embeddings=2048, tie_word_embeddings=False,
        pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    with device:
        torch.manual_seed(0)
        return Policy(LlamaForCausalLM(config), tokenizer)


def executed(policy: Policy, items: Sequence[TokenItem], passes: float) -> float:
    """FLOP of a step, as computed with shared prompts; ``passes`` is 1 a forward and 2 a backward pass."""
    config = policy.model.config
    layers = sum(p.numel() for p in policy.model.model.layers.parameters())
    head = policy.model.lm_head.weight.numel()
    width = 2.0 * config.num_hidden_layers * config.hidden_size  # of scores and their mix, a pair of tokens
    total = 0.0
    for item in items:
        prompt, answers = len(item.prompt), [len(r) for r in item.responses]
        total += 2.0 * layers * (prompt + sum(answers)) + 2.0 * head * sum(answers)
        total += 2 * width * (prompt**2 / 2 + sum(n * prompt + n**2 / 2 for n in answers))
    return total * passes


def train(
    policy: Policy,
    method: TrainingMethod,
    items: list[TokenItem],
    *,
    batch: int,
    budget: int,
    seconds: float,
    passes: float,
) -> dict[str, Any]:
    engine = Engine(
        [ParameterGroup("model", trainable(policy.model), 1e-5)],
        schedule=lambda _: 1.0,
        token_budget=budget,
        runtime=Runtime(policy.device),
    )
    policy.model.train()
    batches: Iterator[list[TokenItem]] = (
        items[i : i + batch] for i in itertools.cycle(range(0, len(items) - batch, batch))
    )
    warm = wait()
    steps, done, flops, start = 0, 0, 0.0, 0.0
    for step, work in enumerate(batches):
        engine.step([(method, work)])
        if step < 3:
            start = wait()
            engine.clock.take()
            continue
        steps, done = steps + 1, done + len(work)
        flops += executed(policy, work, passes)
        if wait() - start > seconds:
            break
    took = wait() - start
    shares = {f"share/{n.removeprefix('time/')}": s / took for n, s in engine.clock.take().items()}
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return {
        "warm_s": start - warm,
        "steps": steps,
        "samples": done / took,
        "tflops": flops / took / 1e12,
        "peak_gib": peak,
        **shares,
    }


@contextlib.contextmanager
def way(name: str) -> Iterator[None]:
    """``blocks``: attention block by block; ``kernel``: the varlen kernel, own modules; ``compiled``: traced layers."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(use_compute(precision="bf16"))
        if name == "blocks":
            stack.enter_context(patch.object(attention, "suits", lambda *_: False))
        if name == "compiled":
            stack.enter_context(patch.object(encoder, "fused_hidden", traced.hidden))
        yield


def sft(policy: Policy, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    items = items_of(policy, 1)
    for name in given.ways:
        for budget in given.budgets:
            with way(name):
                found = train(
                    policy,
                    Supervised(policy),
                    items,
                    batch=given.batch,
                    budget=budget,
                    seconds=given.seconds,
                    passes=3,
                )
            yield {"way": name, "budget": budget, **found}


def dpo(policy: Policy, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    items = items_of(policy, 2)
    reference = frozen_reference(policy)
    for name in given.ways:
        for budget in given.budgets:
            with way(name):
                method = DirectPreference(policy, Dpo(), reference=reference)
                found = train(
                    policy,
                    method,
                    items,
                    batch=given.batch // 2,
                    budget=budget,
                    seconds=given.seconds,
                    passes=4,
                )
            yield {"way": name, "budget": budget, **found}


def sampling(policy: Policy, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Tokens a second, and the time that reading weights and cache once a step would take as a share of the step's."""
    ids = short_prompts(policy.tokenizer)
    policy.model.lm_head.weight.data[1] = 0
    config = policy.model.config
    read = 2.0 * sum(p.numel() for n, p in policy.model.named_parameters() if "embed" not in n)
    cell = (
        4.0
        * config.num_hidden_layers
        * config.num_key_value_heads
        * config.hidden_size
        / config.num_attention_heads
    )
    with use_compute(precision="bf16"):
        for prompts, n in ((64, 1), (8, 8), (256, 1), (32, 8)):
            sampler, settings = NativeSampler(policy), SamplingSettings(128)
            for call in range(2):
                asked = [Request(torch.tensor(ids[i]).numpy(), str(i), n) for i in range(prompts)]
                start = wait()
                drawn = sampler.sample(asked, settings, seed=0, step=call)
                took = wait() - start
            tokens = sum(len(d.ids) for d in drawn)
            kept = sum(len(ids[i]) for i in range(prompts)) + prompts * n * 64
            floor = 128 * (read + cell * kept) / (given.limits["tbps"] * 1e12)
            yield {
                "rows": f"{prompts}x{n}",
                "tokens_s": tokens / took,
                "step_ms": took / 128 * 1e3,
                "of_bandwidth": floor / took,
            }


def ppo(policy: Policy, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    loop = {**LOOP, "minibatch": 64, "token_budget": given.budgets[-1]}
    settings = PpoSettings(
        **loop, prompts_per_iteration=given.batch, epochs=4, value_lr=1e-6, critic_warmup=0
    )
    with use_compute(precision="bf16"):
        yield online(
            policy,
            given.seconds,
            lambda p, m: PPO(p, Critic.from_reward_model(m), settings, runtime=Runtime(p.device)),
            settings,
        )


ROWS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "sft": sft,
    "dpo": dpo,
    "sampling": sampling,
    "ppo": ppo,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="+", choices=ROWS)
    parser.add_argument("--size", default="1B", choices=SHAPES)
    parser.add_argument("--ways", nargs="+", default=["kernel", "compiled"])
    parser.add_argument("--budgets", nargs="+", type=int, default=[16384])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=12)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    given.limits = machine(device)
    print(json.dumps(given.limits), flush=True)
    for row in given.rows:
        policy = policy_of(given.size, device)
        if "compiled" in given.ways and not traced.right(policy.model.model):
            raise SystemExit("the traced layers do not give the model's own numbers")
        for found in ROWS[row](policy, given):
            if "tflops" in found:
                found["of_measured"] = found["tflops"] / given.limits["tflops"]
                found["of_nominal"] = found["tflops"] / given.limits["nominal"]
            rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
            print(json.dumps({"row": row, "size": given.size, **rounded}), flush=True)
        del policy
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
