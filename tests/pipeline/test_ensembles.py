"""An ensemble of reward models goes through the whole pipeline, and PPO is paid by what it agrees on."""

from __future__ import annotations

import numpy as np
import pytest
from small import SMALL
from summary_page import documented, paths, unmatched

from plaudit.config import RewardSettings
from plaudit.data.readers.read import read
from plaudit.data.records import Prompt
from plaudit.models.reward_model import load_reward_model
from plaudit.pipeline.finished_run import context_of
from plaudit.pipeline.planning import _dumped
from plaudit.pipeline.run import run
from plaudit.pipeline.steps.rewards import own_records
from plaudit.pipeline.steps.scoring import step_reward
from plaudit.pipeline.steps.training_scores import FILE
from plaudit.pocket import World
from plaudit.rewards import EnsembleReward, ModelReward, Sample


def test_bagged_members_have_votes_of_their_own(tmp_path):
    records = list(range(300))
    settings = RewardSettings(members=2, bagging=True)
    mine, yours = (set(own_records(records, settings, seed)) for seed in (5, 1005))
    # A draw with replacement holds 1 − 1/e of the records, two draws share that of one another's.
    assert 0.58 < len(mine) / 300 < 0.69 and 0.33 < len(mine & yours) / 300 < 0.47
    assert own_records(records, settings, 5) == own_records(records, settings, 5)
    assert own_records(records, RewardSettings(members=2), 5) is records
    with pytest.raises(ValueError, match="bagging gives members rankings of their own"):
        RewardSettings(bagging=True)
    assert "bagging" not in _dumped(RewardSettings()) and _dumped(settings)["bagging"]


def test_two_members_are_trained_apart_and_pay_less_where_they_disagree(tmp_path):
    changes = [
        "steps.votes.members=2",
        "steps.reward.members=2",
        "steps.reward.aggregate=mean_minus_std",
        "steps.reward.std_penalty=0.5",
        "steps.ppo.iterations=2",
    ]
    folder = run("pocket", [*SMALL, *changes], tmp_path / "run")
    models = [load_reward_model(folder.stage("reward").path / f"member-{i}" / "model") for i in range(2)]
    weights = [m.head.weight.detach().numpy() for m in models]
    assert not np.allclose(*weights)
    assert len(folder.stage("reward").read_json()["accuracy"]) == 2
    assert len(folder.stage("ppo").metrics()) >= 2
    summary = folder.read_json("summary.json")
    assert 0 <= summary["reward_model"]["accuracy"] <= 1
    unknown, _ = unmatched(set(paths(summary)), documented("summary.json"))
    assert not unknown, "keys that docs/summary.md does not describe"
    unknown, _ = unmatched(set(paths(folder.read_json("findings.json"))), documented("findings.json"))
    assert not unknown, "keys that docs/summary.md does not describe"
    rows = folder.stage("ppo").metrics()
    assert all(0 <= row["reward/above_training"] <= 1 and row["reward/disagreement"] > 0 for row in rows[-2:])
    assert 0 <= summary["shift"]["ppo"]["above"]["mean"] <= 1 and summary["shift"]["ppo"]["disagreement"] > 0
    audit = folder.read_json("audit.json")
    # The world's own detector is among those of every audit of its runs.
    assert {"list_form", "lists"} <= {c["detector"] for c in audit["changes"]}
    audit = audit["shift"]["policies"]
    assert audit["ppo"]["quantiles"]["above"] == summary["shift"]["ppo"]["above"]

    tokenizer = models[0].tokenizer
    prompt = Prompt.user("where does an owl live?")
    samples = []
    for text in ("an owl lives in a tree.", "i do not know."):
        ids = np.array([*tokenizer(text)["input_ids"], tokenizer.eos_token_id])
        asked = np.array(tokenizer(prompt.text)["input_ids"])
        samples.append(Sample(prompt=prompt, prompt_ids=asked, ids=ids, text=text, answer=text, finish="end"))
    doors = [ModelReward(m, same_tokenizer=True) for m in models]
    alone = np.stack([door.score(samples).scores for door in doors])
    together = EnsembleReward(doors, aggregate="mean_minus_std", std_penalty=0.5).score(samples).scores
    np.testing.assert_allclose(together, alone.mean(0) - 0.5 * alone.std(0), rtol=1e-5)
    assert (together < alone.mean(0)).all()

    # What was ranked, as it lies on disk: some answers are scripted, and none of those is good.
    gold, scripted = World(0).gold, []
    for record in read(folder.stage("rank").path / "train.jsonl", kind="preferences").records:
        scripted += [
            gold.judge(record.prompt, r).correctness
            for r in record.responses
            if "scripted" in str(r.metadata.get("model"))
        ]
    assert scripted and max(scripted) <= 0

    # Planted: training answers that scored far lower, or far higher, on which the members agreed more.
    context = context_of(folder)
    policy = context.load("ppo")
    usual = step_reward(context, "reward", policy).score(samples)
    stage = folder.stage("reward")
    kept = np.array(stage.read_json(FILE)["members"])
    assert kept.shape[0] == 2 and kept.shape[1] > 100
    for move, above in ((-100, 1), (100, 0)):
        near = [(row - row.mean()) / 1000 + move * kept.std() for row in kept]
        stage.write_json(FILE, {"members": [row.tolist() for row in near]})
        planted = step_reward(context, "reward", policy).score(samples)
        np.testing.assert_array_equal(planted.scores, usual.scores)
        assert planted.parts["above_training"].tolist() == [above, above]
    assert set(usual.parts) == set(planted.parts) == {"ensemble_std", "above_training", "disagreement"}
