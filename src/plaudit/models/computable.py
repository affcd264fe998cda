"""Checks on a few tokens, once per model, whether it can be used as a policy or a backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.errors import UserError
from plaudit.models.architectures import backbone, is_causal
from plaudit.models.output_head import output_head, shape_of

_IDS = [[21, 22, 23, 24]]


def check_policy(model: nn.Module) -> None:
    """UserError naming the family where its log-probs or their gradients cannot be computed here."""
    inner = backbone(model)
    if getattr(inner, "_plaudit_policy", False):
        return
    outer: Any = model
    outer = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    _check(
        outer,
        lambda ids: _no_states(outer, inner, ids) or _no_policy(outer, inner, ids),
        "a policy",
        "use a decoder-only text model, of the Llama, Qwen, Gemma, Mistral, Phi or GPT-2 family for example",
    )
    inner._plaudit_policy = True


def check_backbone(model: nn.Module) -> None:
    """UserError naming the family where a reward head cannot read the model's hidden states, or not train them."""
    inner = backbone(model)
    _check(
        inner,
        lambda ids: _no_states(inner, inner, ids),
        "the backbone of a reward model",
        "use a decoder or an encoder of text, of the Llama, Qwen, Gemma, BERT or RoBERTa family for example",
    )


def _check(model: Any, obstacle: Callable[[Tensor], str | None], role: str, remedy: str) -> None:
    training = model.training
    try:
        found = obstacle(torch.tensor(_IDS, device=next(model.parameters()).device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # An unknown family may fail in any way.
        reason = str(error).strip().split("\n")[0][:160]
        found = f"it fails on plain tokens ({type(error).__name__}: {reason})"
    finally:
        model.train(training)
    if found:
        family = f"a {type(model).__name__} (model_type {model.config.model_type})"
        raise UserError(f"{family} cannot be {role}: {found}", remedy=remedy)


def _no_states(outer: Any, inner: Any, ids: Tensor) -> str | None:
    """Why hidden states, or gradients through them, cannot be computed; None if they can."""
    if getattr(outer.config, "is_encoder_decoder", False):
        return "it is an encoder-decoder, whose answers do not continue their prompts"
    outer.eval()
    before = _versions(inner)
    with torch.no_grad(), torch.autocast(ids.device.type, enabled=False):
        if getattr(inner(input_ids=ids), "last_hidden_state", None) is None:
            return "what lies below its output head gives no hidden states"
    if _versions(inner) != before:
        return "computing it changes its own weights"
    _try_gradient(outer, inner, ids)
    return None


def _no_policy(outer: Any, inner: Any, ids: Tensor) -> str | None:
    """Why log-probs cannot be computed from hidden states; None if they can."""
    if output_head(outer) is None:
        return "it has no output head"
    if not is_causal(outer):
        return "it predicts a token from tokens after it too"
    outer.eval()
    with torch.no_grad(), torch.autocast(ids.device.type, enabled=False):
        expected = outer(input_ids=ids).logits[0].float()
        differ = _difference(outer, inner(input_ids=ids).last_hidden_state[0], expected)
    if differ is None:
        return None
    return (
        f"its logits are not its output head on its hidden states (they differ by {differ:.2g}); "
        "a head may be linear, with a factor or a soft cap at most"
    )


def _versions(model: nn.Module) -> list[int]:
    """Counts of in-place changes of each weight."""
    return [p._version for p in model.parameters()]


def _difference(outer: Any, states: Tensor, expected: Tensor) -> float | None:
    """The difference of logits computed here from the model's own, if it is too large; else None.

    A family may do more to its logits than ``Shape`` knows: its log-probs would be silently wrong.
    """
    logits = output_head(outer)(states)
    got = shape_of(outer).apply(logits.float())
    fine = 1e-4 if logits.dtype == torch.float32 else 3e-2
    worst = float((got - expected).abs().max().nan_to_num(torch.inf))
    return None if worst <= fine * max(1.0, float(expected.abs().max())) else worst


def _try_gradient(outer: Any, inner: Any, ids: Tensor) -> None:
    """A backward pass in training mode down to the smallest weight that is trained; raises what autograd raises."""
    trained = [p for p in inner.parameters() if p.requires_grad]
    if not trained:
        return
    smallest = min(trained, key=lambda p: p.numel())
    with (
        torch.enable_grad(),
        torch.autocast(ids.device.type, enabled=False),
        torch.random.fork_rng(devices=[]),
    ):
        outer.train()
        torch.autograd.grad(inner(input_ids=ids).last_hidden_state.sum(), smallest, allow_unused=True)
