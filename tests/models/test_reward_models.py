"""Reward models and critics: where the score is read, saving in both layouts, families, ensembles."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, plain_tokenizer, write_model
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from plaudit.config import RewardSettings
from plaudit.data.records import Prompt, Ranking
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError
from plaudit.models.critic import Critic, fits_critic
from plaudit.models.heads import scores, values
from plaudit.models.policy import build_policy, load_policy
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.models.tokenizers import same_tokenizer, train_bpe, with_own_pad
from plaudit.pipeline.steps.rewards import new_reward_model

PAIR = Ranking.pair(
    Prompt.user("Where does an owl live?"), "In a tree, so no.", "I cannot help with that; here is something."
)


def small_reward_model(**options) -> RewardModel:
    tokenizer = train_bpe(TEXTS, 300)
    policy = build_policy(tokenizer, hidden=32, layers=2, heads=4, max_positions=64, seed=3)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return RewardModel.from_policy(policy, seed=1, **options)


def pair_batch(model: RewardModel):
    item = Renderer(model.tokenizer).preference(PAIR)
    pad = model.tokenizer.pad_token_id
    return item, collate([item], model.tokenizer.eos_token_id if pad is None else pad)


@torch.no_grad()
def raw(model: RewardModel) -> torch.Tensor:
    return scores(model, pair_batch(model)[1])


def padded_rows(item: TokenItem, pad: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [[*item.prompt, *s.ids] for s in item.responses]
    width = max(map(len, rows)) + 2
    ids, mask = [], []
    for row in rows:
        fill = [pad] * (width - len(row))
        ids.append(row + fill if side == "right" else fill + row)
        ones, zeros = [1] * len(row), [0] * len(fill)
        mask.append(ones + zeros if side == "right" else zeros + ones)
    return torch.tensor(ids), torch.tensor(mask)


def test_every_decoder_gives_plain_transformers_the_same_raw_score(decoder_folder, tmp_path):
    model = RewardModel.from_policy(load_policy(decoder_folder), seed=1)
    model.mean, model.std = 0.25, 2.0
    before = raw(model)
    assert abs(float(before[0] - before[1])) > 1e-3  # else equality below would say nothing
    save_reward_model(model, tmp_path / "rm", card="# Reward")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "rm")
    item, _ = pair_batch(model)
    for side in ("right", "left"):
        ids, mask = padded_rows(item, tokenizer.pad_token_id, side)
        with torch.no_grad():
            logits = plain(input_ids=ids, attention_mask=mask).logits[:, 0]
            # Models with learnt absolute positions count them from the left, padding or not.
            if side == "right" or plain.config.model_type != "gpt2":
                torch.testing.assert_close(logits, before, atol=2e-5, rtol=1e-4)
    again = load_reward_model(tmp_path / "rm")
    assert torch.equal(raw(again), before)
    assert (again.mean, again.std, again.pooling) == (0.25, 2.0, "last")
    assert (tmp_path / "rm" / "README.md").read_text() == "# Reward"


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_every_encoder_is_saved_beside_its_head(encoder_folder, tmp_path, pooling):
    model = RewardModel.from_pretrained_backbone(encoder_folder, pooling=pooling, seed=1)
    before = raw(model)
    assert abs(float(before[0] - before[1])) > 1e-4
    save_reward_model(model, tmp_path / "rm", card="")
    again = load_reward_model(tmp_path / "rm")
    assert torch.equal(raw(again), before) and again.pooling == pooling
    assert (again.mean, again.std) == (None, None)
    assert AutoModel.from_pretrained(tmp_path / "rm").config.plaudit_reward["layout"] == "backbone_and_head"


def test_a_recipe_s_backbone_is_of_the_revision_and_the_chat_template_that_it_names(tmp_path, monkeypatch):
    tokenizer, asked = plain_tokenizer(), []
    tokenizer.chat_template = {
        "default": "{{ 'a' }}",
        "brief": "{% for m in messages %}{{ m.content }}{% endfor %}",
    }
    folder = write_model(tmp_path / "b", "bert", tokenizer)

    def download(name, *, revision, **_):
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    backbone = {"source": "pretrained", "path": "owner/name", "revision": "abc", "chat_template": "brief"}
    step, context = SimpleNamespace(start=None), SimpleNamespace(device="cpu")
    model = new_reward_model(context, step, RewardSettings(backbone=backbone, pooling="mean"), 0)
    assert asked == [("owner/name", "abc")]
    assert model.tokenizer.chat_template == tokenizer.chat_template["brief"]


def test_every_encoder_scores_a_row_alone_as_it_does_padded(encoder_folder):
    for pooling in ("last", "mean"):
        model = RewardModel.from_pretrained_backbone(encoder_folder, pooling=pooling, seed=1)
        item, batch = pair_batch(model)
        with torch.no_grad():
            together = scores(model, batch)
            for k, segment in enumerate(item.responses):
                alone = collate([TokenItem(item.prompt, (segment,))], model.tokenizer.pad_token_id)
                torch.testing.assert_close(scores(model, alone)[0], together[k], atol=1e-5, rtol=1e-4)


def test_the_mean_is_over_the_tokens_of_prompt_and_answer():
    model = small_reward_model(pooling="mean")
    item, batch = pair_batch(model)
    expected = []
    with torch.no_grad():
        for segment in item.responses:
            ids = torch.tensor([[*item.prompt, *segment.ids]])
            expected.append(model.head(model.backbone(input_ids=ids).last_hidden_state[0].mean(0)))
        torch.testing.assert_close(scores(model, batch), torch.cat(expected), atol=1e-5, rtol=1e-4)
        ids, mask = padded_rows(item, model.tokenizer.pad_token_id, "left")
        torch.testing.assert_close(model(ids, mask), torch.cat(expected), atol=1e-5, rtol=1e-4)


def test_mean_pooling_of_a_decoder_is_saved_with_its_own_head(tmp_path):
    model = small_reward_model(pooling="mean")
    save_reward_model(model, tmp_path / "rm", card="")
    assert (tmp_path / "rm" / "reward_head.safetensors").is_file()
    assert torch.equal(raw(load_reward_model(tmp_path / "rm")), raw(model))


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_score_lands_on_the_end_token_between_answer_and_padding(side):
    model = small_reward_model()
    end, pad = model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
    row, fill = [40, 41, end], [pad, pad]
    ids = torch.tensor([row + fill if side == "right" else fill + row])
    mask = (ids != pad).long()
    with torch.no_grad():
        alone = model.head(model.backbone(input_ids=torch.tensor([row])).last_hidden_state[0])
        expected = float(alone[-1])
        assert float(model(ids, mask)) == pytest.approx(expected, rel=1e-4)
        assert abs(expected - float(alone[-2])) > 1e-3
        batch = collate(
            [TokenItem(np.array([40]), (Segment.of([41, end]), Segment.of([41, 42, 43, end])))], pad
        )
        layout = batch.layout("padded")
        assert layout.input_ids[0].tolist() == [40, 41, end, pad, pad]
        assert layout.last[0] == 2
        assert float(scores(model, batch)[0]) == pytest.approx(expected, rel=1e-4)


def test_an_unfinished_answer_is_scored_at_its_own_last_token():
    model = small_reward_model()
    end, pad = model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
    item = TokenItem(np.array([40]), (Segment.of([41, 42]), Segment.of([41, 42, end])))
    with torch.no_grad():
        both = scores(model, collate([item], pad))
        hidden = model.backbone(input_ids=torch.tensor([[40, 41, 42]])).last_hidden_state[0, -1]
        assert float(both[0]) == pytest.approx(float(model.head(hidden)), rel=1e-4)
    assert abs(float(both[0] - both[1])) > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("pad", [None, "</s>"])
def test_a_tokenizer_whose_pad_is_its_end_gets_another_pad_in_the_saved_model(family, pad, tmp_path):
    policy = load_policy(write_model(tmp_path / "m", family, plain_tokenizer(pad=pad)))
    model = RewardModel.from_policy(policy, seed=1)
    before = raw(model)
    save_reward_model(model, tmp_path / "rm", card="")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "rm")
    assert plain.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    item, _ = pair_batch(model)
    ids, mask = padded_rows(item, tokenizer.pad_token_id, "right")
    with torch.no_grad():
        torch.testing.assert_close(plain(ids, attention_mask=mask).logits[:, 0], before, atol=2e-5, rtol=1e-4)
    again = load_reward_model(tmp_path / "rm")
    torch.testing.assert_close(raw(again), before, atol=1e-6, rtol=1e-6)
    assert same_tokenizer(policy.tokenizer, again.tokenizer)
    # What was saved is a copy: the policy and the model in memory keep their tokenizer and size.
    assert policy.tokenizer.pad_token == pad
    assert model.backbone.get_input_embeddings().num_embeddings == len(policy.tokenizer)


def test_a_spare_pad_token_of_the_vocabulary_is_preferred_to_a_new_one():
    tokenizer = plain_tokenizer(pad="<|image_pad|>")
    spare = tokenizer.pad_token_id
    tokenizer.pad_token = tokenizer.eos_token
    padded = with_own_pad(tokenizer)
    assert padded.pad_token_id == spare and len(padded) == len(tokenizer)
    assert tokenizer.pad_token == tokenizer.eos_token


def test_the_head_is_drawn_as_the_paper_says_and_by_the_seed():
    tokenizer = train_bpe(TEXTS, 300)
    policy = build_policy(tokenizer, hidden=2048, layers=1, heads=2, intermediate=8, max_positions=8, seed=0)
    weight = RewardModel.from_policy(policy, seed=1).head.weight
    assert float(weight.std()) == pytest.approx(1 / 2049**0.5, rel=0.05)
    assert torch.equal(weight, RewardModel.from_policy(policy, seed=1).head.weight)
    assert not torch.equal(weight, RewardModel.from_policy(policy, seed=2).head.weight)


def test_the_reward_model_shares_nothing_with_the_policy():
    tokenizer = train_bpe(TEXTS, 300)
    policy = build_policy(tokenizer, hidden=32, layers=2, heads=4, max_positions=64, seed=3)
    before = policy.model.model.layers[0].mlp.up_proj.weight.clone()
    model = RewardModel.from_policy(policy)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert torch.equal(policy.model.model.layers[0].mlp.up_proj.weight, before)


def test_a_reward_model_of_others_loads_where_its_head_is_one_linear_layer(tmp_path):
    tokenizer = plain_tokenizer()
    folder = write_model(
        tmp_path / "rm", "llama", tokenizer, auto=AutoModelForSequenceClassification, num_labels=1
    )
    model = load_reward_model(folder)
    item, batch = pair_batch(model)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids, mask = padded_rows(item, tokenizer.pad_token_id, "right")
    with torch.no_grad():
        torch.testing.assert_close(plain(ids, attention_mask=mask).logits[:, 0], scores(model, batch))


def test_what_is_no_reward_model_is_refused(tmp_path):
    tokenizer = plain_tokenizer()
    auto = AutoModelForSequenceClassification
    with pytest.raises(UserError, match="3 labels"):
        load_reward_model(write_model(tmp_path / "a", "llama", tokenizer, auto=auto, num_labels=3))
    with pytest.raises(UserError, match="not one linear layer"):
        load_reward_model(write_model(tmp_path / "b", "roberta", tokenizer, auto=auto, num_labels=1))
    with pytest.raises(UserError, match="labels"):
        load_reward_model(write_model(tmp_path / "c", "llama", tokenizer))
    with pytest.raises(UserError, match="no model folder"):
        load_reward_model(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="pooling"):
        small_reward_model(pooling="max")


def test_a_missing_head_file_is_named(tmp_path):
    save_reward_model(small_reward_model(pooling="mean"), tmp_path / "rm", card="")
    (tmp_path / "rm" / "reward_head.safetensors").unlink()
    with pytest.raises(UserError, match="reward_head"):
        load_reward_model(tmp_path / "rm")


def test_saving_leaves_the_model_in_memory_as_it_was(tmp_path):
    model = small_reward_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    config = json.dumps(model.backbone.config.to_dict(), default=str)
    save_reward_model(model, tmp_path / "rm", card="")
    assert json.dumps(model.backbone.config.to_dict(), default=str) == config
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("pad", ["<pad>", None])
def test_making_saving_and_loading_leave_the_global_generator_alone(pad, tmp_path):
    folder = write_model(tmp_path / "m", "gpt2", plain_tokenizer(pad=pad))
    state = torch.random.get_rng_state()
    policy = load_policy(folder)
    model = RewardModel.from_policy(policy)
    Critic.from_reward_model(model)
    Critic.from_policy(policy)
    save_reward_model(model, tmp_path / "rm", card="")
    load_reward_model(tmp_path / "rm")
    RewardModel.from_pretrained_backbone(folder)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_max_positions_counts_what_roberta_wastes(tmp_path):
    tokenizer = plain_tokenizer()
    roberta = RewardModel.from_pretrained_backbone(write_model(tmp_path / "r", "roberta", tokenizer))
    assert roberta.max_positions == 256 - tokenizer.pad_token_id - 1
    ids = torch.full((1, roberta.max_positions), 20)
    with torch.no_grad():
        roberta(ids, torch.ones_like(ids))
        with pytest.raises((IndexError, RuntimeError)):
            roberta(torch.full((1, roberta.max_positions + 1), 20), torch.ones(1, roberta.max_positions + 1))


def test_a_critic_starts_at_the_normalised_score_so_far():
    model = small_reward_model()
    model.mean, model.std = 0.7, 1.9
    critic = Critic.from_reward_model(model)
    item, batch = pair_batch(model)
    with torch.no_grad():
        got = values(critic, batch)
        expected = []
        for segment in item.responses:
            for t in range(len(segment)):
                ids = torch.tensor([[*item.prompt, *segment.ids[:t]]])
                expected.append((model(ids, torch.ones_like(ids)) - 0.7) / 1.9)
    torch.testing.assert_close(got, torch.cat(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("normalized", "weight", "paid"),
    [
        (True, 1.0, lambda s: (s - 0.7) / 1.9),
        (True, 2.0, lambda s: 2 * (s - 0.7) / 1.9),
        (False, 1.0, lambda s: s),
        (False, -0.5, lambda s: -0.5 * s),
    ],
)
def test_a_critic_starts_in_the_units_of_the_reward(normalized, weight, paid):
    model = small_reward_model()
    model.mean, model.std = 0.7, 1.9
    critic = Critic.from_reward_model(model, normalized=normalized, weight=weight)
    hidden = torch.randn(5, model.head.weight.shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(critic.value(hidden), paid(model.head(hidden).squeeze(1)))


def test_a_length_normalized_score_is_no_start_for_a_critic():
    model = small_reward_model()
    model.length_power = 0.5
    assert not fits_critic(model)
    with pytest.raises(ValueError, match="not length-normalized"):
        Critic.from_reward_model(model)


def test_a_critic_from_the_policy_starts_at_zero_and_can_learn():
    tokenizer = train_bpe(TEXTS, 300)
    policy = build_policy(tokenizer, hidden=32, layers=2, heads=4, max_positions=64, seed=3)
    critic = Critic.from_policy(policy)
    item = Renderer(tokenizer).preference(PAIR)
    got = values(critic, collate([item], policy.pad_id))
    assert not got.any()
    (got - 1).square().sum().backward()
    assert critic.head.weight.grad.abs().sum() > 0
    assert policy.model.lm_head.weight.grad is None


def test_a_critic_from_a_model_that_sees_the_future_is_refused(tmp_path):
    encoder = RewardModel.from_pretrained_backbone(
        write_model(tmp_path / "b", "bert", plain_tokenizer()), pooling="last"
    )
    for model in (encoder, small_reward_model(pooling="mean")):
        with pytest.raises(ValueError, match="causal"):
            Critic.from_reward_model(model)


def test_every_decoder_can_be_a_critic(decoder_folder):
    policy = load_policy(decoder_folder)
    item = Renderer(policy.tokenizer).preference(PAIR)
    batch = collate([item], policy.pad_id)
    critic = Critic.from_reward_model(RewardModel.from_policy(policy, seed=1))
    with torch.no_grad():
        assert values(critic, batch).abs().sum() > 0
        assert not values(Critic.from_policy(policy), batch).any()
