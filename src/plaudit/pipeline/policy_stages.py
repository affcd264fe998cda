"""The stages that train a policy: load what came before, call one method, save the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.config import Pretrained, Scratch
from plaudit.methods import train
from plaudit.methods.lengths import bounded
from plaudit.models.adapters import add_lora
from plaudit.models.policy import build_policy, load_policy
from plaudit.models.tokenizers import train_bpe
from plaudit.pipeline.context import Context
from plaudit.pipeline.materials import PocketMaterials
from plaudit.runs import Stage


def base(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Load the pretrained policy once and keep the run's own copy of it."""
    source = context.config.policy
    assert isinstance(source, Pretrained)
    policy = load_policy(source.path, revision=source.revision, chat_template=source.chat_template)
    context.save(policy, stage, f"Base model from {source.path}")
    return {"parameters": _parameters(policy.model)}


def pretrain(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Tokenizer and base model from the run's own text."""
    source, materials, settings = context.config.policy, context.materials, context.config.pretrain
    assert isinstance(source, Scratch)
    texts = list(materials.corpus)
    spoken = [m.content for d in materials.demonstrations[0] for m in d.prompt.messages]
    spoken += [d.response.text for d in materials.demonstrations[0]]
    tokenizer = train_bpe(texts + spoken, vocabulary=source.vocabulary)
    policy = build_policy(
        tokenizer,
        hidden=source.hidden,
        layers=source.layers,
        heads=source.heads,
        kv_heads=source.kv_heads,
        intermediate=source.intermediate,
        max_positions=source.max_positions,
        seed=context.seed,
    )
    policy.model.to(context.device)
    outcome: dict[str, Any] = {"parameters": _parameters(policy.model), "vocabulary": len(tokenizer)}
    if settings is not None and texts:
        renderer = bounded(context.renderer(tokenizer), policy.model)
        items = renderer.documents(texts)
        held = items[: max(1, len(items) // 100)]
        result = train.pretrain(
            policy,
            items[len(held) :],
            settings,
            out=stage,
            seed=context.seed,
            held_out=held,
            label="pretrain",
            device=context.device,
            ranks=context.ranks,
        )
        tokens = sum(item.trained_tokens for item in items)
        outcome |= {"documents": len(items), "tokens": tokens, "held_out": result.evaluation}
    context.save(policy, stage, "Next-token predictor trained from scratch")
    return outcome


def verdict(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Only the yes or no of an answer is trained: with the whole answer its one token is diluted."""
    assert isinstance(context.materials, PocketMaterials) and context.config.verdict
    policy = context.load(context.base_stage())
    records = context.materials.verdicts
    train.sft(
        policy,
        records,
        context.config.verdict,
        out=stage,
        seed=context.seed,
        renderer=context.renderer(policy.tokenizer),
        label="verdict",
        device=context.device,
        ranks=context.ranks,
    )
    context.save(policy, stage, "Base model after the verdict stage")
    return {"demonstrations": len(records)}


def sft(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Imitate demonstrations."""
    assert context.config.sft
    policy = context.load(context.start_of_sft())
    if isinstance(context.config.policy, Pretrained) and context.config.policy.lora:
        add_lora(policy.model, **context.config.policy.lora.model_dump(), seed=context.seed)
    records, held = context.materials.demonstrations
    if isinstance(context.materials, PocketMaterials) and context.config.verdict:
        # Without them the verdict that was just learnt fades again.
        records = [*records, *context.materials.verdicts[: context.materials.settings.kept_verdicts]]
    renderer = context.renderer(policy.tokenizer)
    result = train.sft(
        policy,
        records,
        context.config.sft,
        out=stage,
        seed=context.seed,
        held_out=held,
        renderer=renderer,
        label="sft",
        device=context.device,
        ranks=context.ranks,
    )
    context.save(policy, stage, "Fine-tuned on demonstrations")
    return {
        "demonstrations": len(records),
        "held_out": result.evaluation,
        "rendering": dict(renderer.counts),
    }


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())
