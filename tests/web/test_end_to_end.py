"""From people to a reward model: simulated labelers rank pocket answers over HTTP, and a recipe trains on it."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
from serving import Served

from plaudit.cli import main
from plaudit.data.readers.read import read
from plaudit.data.readers.record_kinds import join_pairs
from plaudit.data.records import Response
from plaudit.data.records.writers import write_jsonl
from plaudit.feedback.simulated import SimulatedRaters
from plaudit.models.policy import build_policy, save_policy
from plaudit.models.tokenizers import train_bpe
from plaudit.pipeline.single_method import run_method
from plaudit.pocket import Gold, World
from plaudit.web.rendering import to_html

ITEMS, ANSWERS, LABELERS = 250, 4, 6
FAST = [
    "threads=1",
    "reward.epochs=8",
    "reward.lr=2e-3",
    "reward.batch_size=16",
    "data.preference_validation=0.3",
]


def pocket(world):
    """Prompts, each with answers of different quality."""
    prompts = world.prompts("train", ITEMS)
    found = {}
    for i, prompt in enumerate(prompts):
        texts = world.candidates(prompt, np.random.default_rng(i))[:ANSWERS]
        # The page speaks HTML: answers that look alike there would be one answer to a labeler.
        if len({to_html(t) for t in texts}) == len(texts) > 1:
            found[prompt.id] = prompt, tuple(map(Response, texts))
    return found


class Labeler:
    """Someone with a browser: knows what the page shows, and nothing else."""

    def __init__(self, address, token, raters, known, seed):
        self.client = httpx.Client(base_url=address, timeout=60)
        self.raters, self.known, self.rng = raters, known, random.Random(seed)
        me = self.client.post("/api/links/join", json={"token": token, "name": f"Labeler {seed}"}).json()
        self.client.headers["x-csrf-token"] = me["csrf"]
        self.place = f"/api/projects/{me['projects'][0]['slug']}"

    def work(self):
        count = 0
        while (task := self.post("/claim")["task"]) is not None:
            self.post(
                f"/assignments/{task['assignment']}/submit", self.verdict(task), key=f"{task['assignment']}-1"
            )
            count += 1
        return count

    def verdict(self, task):
        prompt, answers = self.known[tuple(turn["html"] for turn in task["prompt"])]
        letter = {a["html"]: a["key"] for a in task["answers"]}
        ranking = self.raters.judge(prompt, answers)
        groups = [[letter[to_html(answers[i].text)] for i in group] for group in ranking.groups]
        pair = len(answers) == 2 and len(groups) == 2
        return {"groups": groups, "strength": 2 if pair else None, "active_ms": 1}

    def post(self, path, body=None, key=None):
        headers = {"idempotency-key": key} if key else {}
        answer = self.client.post(self.place + path, json=body or {}, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A project that six labelers have worked through, and what its raters would have said directly."""
    folder = tmp_path_factory.mktemp("people")
    world = World(0)
    raters = SimulatedRaters(Gold(), noise=0.1, seed=4)
    known = pocket(world)
    rows = [
        {
            "prompt": prompt.text,
            "responses": [{"text": r.text, "model": f"model-{i}"} for i, r in enumerate(answers)],
        }
        for prompt, answers in known.values()
    ]
    source = folder / "answers.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    served = Served(folder / "pocket", None, extra=["--responses", str(source), "--set", "repeat_share=0"])
    served.start()
    try:
        owner = httpx.Client(base_url=served.address, timeout=60)
        me = owner.post("/api/links/enter", json={"token": served.token}).json()
        owner.headers["x-csrf-token"] = me["csrf"]
        slug = me["projects"][0]["slug"]
        made = owner.post(f"/api/projects/{slug}/invitations", json={"max_uses": LABELERS}).json()
        token = made["path"].partition("#")[2]
        shown = {tuple(to_html(m.content) for m in p.messages): (p, a) for p, a in known.values()}
        labelers = [Labeler(served.address, token, raters, shown, seed) for seed in range(LABELERS)]
        with ThreadPoolExecutor(LABELERS) as pool:
            counts = list(pool.map(Labeler.work, labelers))
        exported = owner.get(f"/api/projects/{slug}/export.jsonl")
        quality = owner.get(f"/api/projects/{slug}/quality").json()
    finally:
        served.stop()
    direct = [raters.judge(p, a) for p, a in known.values()]
    return {
        "folder": folder / "pocket",
        "counts": counts,
        "direct": direct,
        "exported": exported.text,
        "quality": quality,
        "items": len(known),
    }


def said(record):
    """What a ranking says, whoever said it and in whatever order its ties are written."""
    return record.prompt.id, [r.text for r in record.responses], [sorted(group) for group in record.groups]


def test_what_labelers_said_over_http_is_what_they_would_have_said_directly(collected):
    assert sum(collected["counts"]) == collected["items"] and min(collected["counts"]) > 0
    rows = collected["folder"].parent / "exported.jsonl"
    rows.write_text(collected["exported"])
    exported = read(rows, kind="preferences").records
    assert len(exported) == collected["items"]
    assert sorted(map(said, exported)) == sorted(map(said, collected["direct"]))
    assert len({r.rater for r in exported}) == LABELERS
    through = read(f"project://{collected['folder']}", kind="preferences").records
    assert through == exported


def test_the_models_strengths_are_found_in_the_order_that_gold_gives_them(collected):
    gold = Gold()
    means = {}
    for ranking in collected["direct"]:
        for i, response in enumerate(ranking.responses):
            means.setdefault(f"model-{i}", []).append(gold.judge(ranking.prompt, response).score)
    models = {row["model"]: row["log_odds"] for row in collected["quality"]["models"]["rows"]}
    assert models.keys() == means.keys()
    best = max(means, key=lambda m: np.mean(means[m]))
    assert max(models, key=models.get) == best
    assert np.corrcoef([models[m] for m in means], [np.mean(v) for v in means.values()])[0, 1] > 0.8


def test_a_reward_model_learns_the_same_from_the_project_as_from_the_rankings(collected, tmp_path, capsys):
    texts = [
        t
        for p, a in ((r.prompt, r.responses) for r in collected["direct"])
        for t in (p.text, *(x.text for x in a))
    ]
    policy = build_policy(
        train_bpe(texts, vocabulary=600), hidden=48, layers=2, heads=2, max_positions=160, seed=0
    )
    save_policy(policy, tmp_path / "model", card="# A small one")
    write_jsonl(join_pairs(collected["direct"]), tmp_path / "direct.jsonl")
    found = {}
    for name, source in (
        ("direct", tmp_path / "direct.jsonl"),
        ("project", f"project://{collected['folder']}"),
    ):
        run = run_method("reward", source, tmp_path / "model", FAST, tmp_path / name)
        record = run.stage("reward").read_json()
        found[name] = record["accuracy"][0], record["pairs"]
    (direct, pairs), (project, same) = found["direct"], found["project"]
    assert pairs == same, "both were trained on the same pairs"
    assert direct > 0.6, "it learnt something"
    # Held out are the same prompts; the order in which people judged is another one, and so is that of training.
    held = 0.3 * pairs / 0.7
    assert abs(direct - project) < 2.58 * np.sqrt(2 * direct * (1 - direct) / held), "99 % interval"
    kept = tmp_path / "project" / "data"
    assert [p.suffix for p in kept.iterdir()] == [".jsonl"], "the run keeps what it was trained on"
    with pytest.raises(SystemExit) as stopped:
        main(["check", f"project://{collected['folder']}"])
    assert not stopped.value.code
    assert "preferences" in capsys.readouterr().out
