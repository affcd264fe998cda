"""The reward model: a transformers backbone, a linear head, one number for an answer.

Two layouts on disk, told apart by ``plaudit_reward.layout`` in ``config.json``:

- ``sequence_classification``: what ``AutoModelForSequenceClassification`` loads (decoders, ``last``
  pooling), with the same raw score and pad ≠ any token that ends an answer;
- ``backbone_and_head``: what ``AutoModel`` loads, and beside it ``reward_head.safetensors`` with
  ``score.weight`` [1, D] (encoders, and every ``mean`` pooling).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from plaudit.errors import UserError
from plaudit.models.adapters import has_adapter, merge
from plaudit.models.architectures import backbone as backbone_of, is_causal
from plaudit.models.computable import check_backbone
from plaudit.models.files import (
    check_reward_config,
    read_config,
    read_tokenizer,
    read_weights,
    readable,
    resolve,
)
from plaudit.models.policy import Policy
from plaudit.models.positions import positions_of
from plaudit.models.tokenizers import with_own_pad
from plaudit.runs.files import new_folder

Pooling = Literal["last", "mean"]
HEAD = "reward_head.safetensors"


class RewardModel(nn.Module):
    """score = w · pool(hidden states of prompt and answer), raw; rewards apply ``mean`` and ``std``.

    ``pooling`` is "last", the hidden state of the answer's true last token, or "mean", the masked mean
    over all tokens of prompt and answer. ``mean`` and ``std`` are those of comparable scores on reference
    answers, None until stored; a comparable score is the raw one over length^``length_power``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pooling: Pooling = "last",
        mean: float | None = None,
        std: float | None = None,
        length_power: float = 0.0,
    ) -> None:
        super().__init__()
        if pooling not in ("last", "mean"):
            raise ValueError(f"pooling {pooling!r} is neither 'last' nor 'mean'")
        self.backbone = backbone
        self.head = head
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.mean = mean
        self.std = std
        self.length_power = length_power

    @classmethod
    def from_policy(cls, policy: Policy, *, pooling: Pooling = "last", seed: int = 0) -> RewardModel:
        """A copy of the policy's backbone as it is in memory, adapters merged, and a fresh head."""
        backbone = copy.deepcopy(backbone_of(policy.model))
        if has_adapter(backbone):
            merge(backbone)
        backbone.requires_grad_(True)
        return cls(backbone, new_head(backbone, seed), policy.tokenizer, pooling=pooling)

    @classmethod
    def from_pretrained_backbone(
        cls,
        path: str | Path,
        *,
        revision: str | None = None,
        chat_template: str | None = None,
        pooling: Pooling = "last",
        seed: int = 0,
    ) -> RewardModel:
        """Any ``AutoModel``, decoder or encoder, and a fresh head. Files as for ``load_policy``."""
        folder = resolve(path, revision=revision)
        backbone = _read_backbone(folder, torch.float32)
        tokenizer = read_tokenizer(folder, chat_template)
        return cls(backbone, new_head(backbone, seed), tokenizer, pooling=pooling)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def max_positions(self) -> int | None:
        """The longest prompt + answer, in tokens, that the backbone has positions for, where it says so."""
        return positions_of(self)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Raw scores of whole rows, padded on either side: [B]."""
        inner = backbone_of(self.backbone)
        hidden = inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "mean":
            mask = attention_mask[..., None].to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        else:
            slots = torch.arange(input_ids.shape[1], device=input_ids.device)
            last = (slots * attention_mask).argmax(1)
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), last]
        scores: Tensor = self.head(pooled).squeeze(-1).float()
        return scores


def new_head(backbone: nn.Module, seed: int) -> nn.Linear:
    """A linear head without bias, w ~ N(0, 1 / (D + 1)) (Stiennon et al. 2020), from the seed."""
    parameter = next(backbone.parameters())
    with torch.no_grad():
        ids = torch.zeros((1, 1), dtype=torch.long, device=parameter.device)
        size = int(backbone_of(backbone)(input_ids=ids).last_hidden_state.shape[-1])
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(1, size, generator=generator) / math.sqrt(size + 1)
    return linear_head(weight.to(parameter.device, parameter.dtype))


def linear_head(weight: Tensor, bias: float | None = None) -> nn.Linear:
    """A linear layer with this weight [1, D] and bias; no random number is drawn for it."""
    head: nn.Linear = nn.utils.skip_init(
        nn.Linear, weight.shape[1], 1, bias=bias is not None, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.fill_(bias)
    return head


def save_reward_model(model: RewardModel, path: str | Path, card: str | Callable[[bool], str]) -> None:
    """Write the reward model with ``card`` as its README.md, whole or not at all; adapters are merged.

    A card that depends on the layout is a function of whether it is ``sequence_classification``.
    """
    backbone, tokenizer = backbone_of(model.backbone), model.tokenizer
    if has_adapter(backbone):
        backbone = copy.deepcopy(backbone)
        merge(backbone)
    classifier = None
    if model.pooling == "last" and is_causal(backbone):
        tokenizer = with_own_pad(tokenizer)
        classifier = _classifier(backbone, model.head, tokenizer)
    saved = backbone if classifier is None else classifier
    config = saved.config
    saved.config = copy.deepcopy(config)
    saved.config.plaudit_reward = {
        "layout": "backbone_and_head" if classifier is None else "sequence_classification",
        "pooling": model.pooling,
        "mean": model.mean,
        "std": model.std,
        "length_power": model.length_power,
    }
    try:
        with new_folder(Path(path)) as folder:
            saved.save_pretrained(folder)
            if classifier is None:
                weight = model.head.weight.detach().cpu().contiguous()
                save_file({"score.weight": weight}, folder / HEAD, metadata={"format": "pt"})
            tokenizer.save_pretrained(folder)
            text = card if isinstance(card, str) else card(classifier is not None)
            (folder / "README.md").write_text(text, encoding="utf-8")
    finally:
        saved.config = config


def _classifier(backbone: Any, head: nn.Linear, tokenizer: Any) -> Any:
    """The family's sequence classifier around this backbone and head, or None where it has no such shape."""
    config = copy.deepcopy(backbone.config)
    config.num_labels = 1
    config.pad_token_id = tokenizer.pad_token_id
    embeddings = backbone.get_input_embeddings().num_embeddings
    if len(tokenizer) > embeddings:
        config.vocab_size = len(tokenizer)
    try:
        with torch.device("meta"):
            classifier = AutoModelForSequenceClassification.from_config(config)
    except ValueError:  # no such class for this family
        return None
    score = getattr(classifier, "score", None)
    prefix = classifier.base_model_prefix
    if not isinstance(score, nn.Linear) or score.bias is not None or not hasattr(classifier, prefix):
        return None
    if len(tokenizer) > embeddings:
        backbone = copy.deepcopy(backbone)
        with torch.random.fork_rng(devices=[]):  # the new row is drawn, but never read
            backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    setattr(classifier, prefix, backbone)
    classifier.score = head
    classifier.config.architectures = [type(classifier).__name__]
    return classifier


def load_reward_model(
    path: str | Path,
    *,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    local_only: bool = False,
) -> RewardModel:
    """A saved reward model, or any one-label sequence classifier with a plain linear head."""
    folder = resolve(path, revision=revision, local_only=local_only, kind="reward model")
    config = read_config(folder)
    facts = getattr(config, "plaudit_reward", None) or {}
    tokenizer = read_tokenizer(folder)
    if facts.get("layout") == "backbone_and_head":
        backbone = _read_backbone(folder, dtype)
        if not (folder / HEAD).is_file():
            raise UserError(f"{folder} holds no reward head: {HEAD} is missing")
        head = linear_head(load_file(folder / HEAD)["score.weight"].to(dtype))
    else:
        backbone, head = _read_classifier(folder, config, dtype)
    pooling = facts.get("pooling", "last")
    return RewardModel(
        backbone,
        head,
        tokenizer,
        pooling=pooling,
        mean=facts.get("mean"),
        std=facts.get("std"),
        length_power=facts.get("length_power", 0.0),
    )


def _read_backbone(folder: Path, dtype: torch.dtype) -> Any:
    # What pools a whole text into one vector is not read here, and may be missing in the files.
    model = read_weights(AutoModel, folder, read_config(folder), dtype, ignore=r"^pooler\.")
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    check_backbone(model)
    return model


def _read_classifier(folder: Path, config: Any, dtype: torch.dtype) -> tuple[Any, nn.Linear]:
    if config.num_labels != 1:
        raise UserError(
            f"{folder} is not a reward model: it has {config.num_labels} labels instead of one",
            remedy="to start a reward model from this backbone, name it as reward.backbone",
        )
    classifier = read_weights(AutoModelForSequenceClassification, folder, config, dtype)
    head = _plain_head(classifier)
    if head is None or not is_causal(classifier):
        raise _other_head(folder, classifier)
    return classifier.base_model, head


def _plain_head(classifier: Any) -> nn.Linear | None:
    """A classifier's head, where it is one linear layer."""
    head = getattr(classifier, "score", None)
    return head if isinstance(head, nn.Linear) and head.bias is None else None


def _other_head(folder: Path, classifier: Any) -> UserError:
    return UserError(
        f"{folder}: the head of a {type(classifier).__name__} is not one linear layer on the last token",
        remedy="to start a reward model from this backbone, name it as reward.backbone",
    )


def check_reward_folder(folder: Path, normalization: str) -> None:
    """UserError where a folder, weights aside, holds no reward model, or none that is normalized."""
    check_reward_config(folder, normalization)
    read_tokenizer(folder)
    config = read_config(folder)
    facts = getattr(config, "plaudit_reward", None)
    if (facts or {}).get("layout") == "backbone_and_head" and not (folder / HEAD).is_file():
        raise UserError(f"{folder} holds no reward head: {HEAD} is missing", remedy="copy the model again")
    if facts is None:
        with readable(folder), torch.device("meta"):
            classifier = AutoModelForSequenceClassification.from_config(config)
        if _plain_head(classifier) is None:
            raise _other_head(folder, classifier)
