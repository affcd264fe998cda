"""docs/recipes.md: its five recipes plan as they stand, on tiny models and files; two of them run in other tests."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tiny import example, examples
from toy import demonstrations, rankings, toy_policy

from plaudit.config import apply_override, validate
from plaudit.config.load import leave_out
from plaudit.config.resolve import graph_of
from plaudit.config.steps import PLACES, kind_name
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.models.policy import save_policy
from plaudit.pipeline.run import run
from plaudit.pipeline.single_method import run_method
from plaudit.registry import JUDGES, METHODS, STEPS, WORLDS
from plaudit.runs import RunFolder

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text()
INPUTS = {
    "classic": {"reward": ("sft", ["preferences"]), "ppo": ("sft", ["preferences"])},
    "rounds": {
        "rank-2": ("ppo-1", ["prompts"]),
        "reward-2": ("sft", ["rank-1", "rank-2"]),
        "ppo-2": ("ppo-1", ["prompts"]),
        "dpo": ("ppo-2", ["rank-1", "rank-2"]),
        "reward": ("sft", ["rank-1", "rank-2"]),
        "ppo": ("dpo", ["prompts"]),
    },
    "people": {"rank": ("base", ["prompts"]), "reward": ("base", ["rank"]), "ppo": ("base", ["prompts"])},
    "combined": {
        "dpo": ("base", ["rank-ai"]),
        "rank-people": ("dpo", ["prompts"]),
        "reward": ("dpo", ["rank-people"]),
        "ppo": ("dpo", ["prompts"]),
    },
    "two-models": {
        "reward": ("base-large", ["preferences"]),
        "sft": ("base-small", ["demonstrations"]),
        "grpo": ("sft", ["prompts"]),
    },
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What the recipes of the page name: models, files, a function, and a run with a reward model."""
    root = tmp_path_factory.mktemp("page")
    save_policy(toy_policy(), root / "model", card="toy")
    write_jsonl(demonstrations(30), root / "demonstrations.jsonl")
    write_jsonl(rankings(60), root / "preferences.jsonl")
    write_jsonl([r.prompt for r in rankings(60)], root / "prompts.jsonl")
    (root / "mine.py").write_text("def short(sample):\n    return -len(sample.answer) / 100\n")
    sets = ["threads=1", "data.max_length=120", "reward.batch_size=8", "reward.max_steps=1"]
    run_method("reward", root / "preferences.jsonl", root / "model", sets, root / "runs" / "earlier")
    return root


def local(name, home):
    """A recipe of the page, with the toy model in the place of those of the hub."""
    raw = example(name)
    for section in (raw, *(s for s in raw["steps"].values() if s)):
        if "path" in (section.get("policy") or {}):
            section["policy"]["path"] = str(home / "model")
    return raw


def test_there_are_five_recipes():
    assert list(examples()) == list(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_a_recipe_of_the_page_plans(name, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's own module has this name too
    config = validate(local(name, home), name)
    graph = graph_of(config)
    found = {n: (node.start, [s.name for s in node.on]) for n, node in graph.nodes.items()}
    assert {n: found[n] for n in INPUTS[name]} == INPUTS[name]
    run(config, out=home / "planned", dry_run=True)
    shown = capsys.readouterr().out
    assert all(step in shown for step in graph.nodes) and not (home / "planned").exists()


def test_the_judges_kinds_and_places_are_those_of_the_page():
    for judge in JUDGES.values():
        for form in judge.form.partition(":")[2].split("|") if judge.scheme not in WORLDS else ():
            assert f"`{judge.scheme}:{form}`" in PAGE
    assert "plaudit --help" in PAGE and {"base", "rank", "evaluate"} <= set(STEPS) - set(METHODS)
    for name in PLACES:
        assert f"`{name}`" in PAGE
    for text in re.findall(r"\(`(ppo)`, `(ppo-2)`, `(reward-large)`\)", PAGE):
        assert [kind_name(n) for n in text] == ["ppo", "ppo", "reward"]


def test_options_of_the_page_do_what_it_says(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    raw = local("rounds", home)
    apply_override(raw, "steps.reward.lr=2e-5")
    assert validate(raw, "x").steps["reward"].settings.lr == 2e-5
    apply_override(raw, "steps.rank.prompts=7")
    steps = validate(raw, "x").steps
    assert [steps[f"rank-{i}"].settings.prompts for i in (1, 2)] == [7, 7]
    with pytest.raises(UserError, match="cannot create"):
        apply_override(raw, "steps.kto.lr=1")
    leave_out(raw, "dpo")
    graph = graph_of(validate(raw, "x"))
    assert graph["ppo"].start == "ppo-2" and "dpo" not in graph.nodes
    raw = local("people", home)
    leave_out(raw, "reward")
    with pytest.raises(UserError, match="nothing scores the answers"):
        graph_of(validate(raw, "x"))
    config = validate(local("people", home), "x")
    with pytest.raises(UserError, match="no such step"):
        run(config, out=tmp_path / "run", again=["dpo"])
    assert not RunFolder(tmp_path / "run").path.exists()
