"""Whether any prompt is left to evaluate on is known before anything is trained."""

from __future__ import annotations

import json

import pytest

from plaudit.config import validate
from plaudit.errors import UserError
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.run import run


def recipe(tmp_path, pairs: int, **changes):
    """Pairs and as many demonstrations on the same prompts, and a recipe of them."""
    rows = [
        {"prompt": f"question {i}", "chosen": f"answer {i}", "rejected": f"nothing {i}"} for i in range(pairs)
    ]
    told = [{"prompt": r["prompt"], "response": r["chosen"]} for r in rows]
    for name, lines in (("pairs", rows), ("told", told)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = {
        "demonstrations": [str(tmp_path / "told.jsonl")],
        "preferences": [str(tmp_path / "pairs.jsonl")],
        "preference_validation": 0.1,
        "validation": 0.1,
    }
    raw = {
        "name": "small",
        "threads": 1,
        "precision": "fp32",
        "data": data,
        "steps": {"sft": {}, "dpo": {}},
    }
    return validate(raw | changes, "recipe")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_without_a_held_out_prompt_is_refused_before_it_trains(tmp_path, dry_run):
    with pytest.raises(UserError, match="no prompt is held out to evaluate on") as caught:
        run(recipe(tmp_path, 3), out=tmp_path / "run", dry_run=dry_run)
    assert "preference_validation (now 0.1)" in str(caught.value) and "evaluate: null" in str(caught.value)
    assert not (tmp_path / "run" / "stages").exists()


def test_fewer_prompts_than_asked_are_said_before_training(tmp_path, capsys):
    run(recipe(tmp_path, 200, evaluate={"prompts": 100}), out=tmp_path / "run", dry_run=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "evaluate: 100 prompts asked, " in said and "held out; raise data.preference_validation" in said


def test_a_step_that_evaluates_is_looked_at_by_its_own_settings(tmp_path, capsys):
    steps = {"sft": {}, "evaluate-1": {"prompts": 100}, "dpo": {}}
    with pytest.raises(
        UserError, match=r"no prompt is held out to evaluate on(.|\n)*or leave evaluate-1 out"
    ):
        run(recipe(tmp_path, 3, evaluate=None, steps=steps), out=tmp_path / "run", dry_run=True)
    run(recipe(tmp_path, 200, evaluate=None, steps=steps), out=tmp_path / "run", dry_run=True)
    assert "evaluate-1: 100 prompts asked, " in " ".join(capsys.readouterr().out.split())


def test_nothing_is_asked_of_a_run_that_does_not_evaluate(tmp_path):
    run(recipe(tmp_path, 3, evaluate=None), out=tmp_path / "run", dry_run=True)


def asked(tmp_path, prompts, **data):
    """The prompts of a run of 40 pairs beside a file of prompts: training and held out."""
    lines = [json.dumps({"prompt": p}) + "\n" for p in prompts]
    (tmp_path / "ask.jsonl").write_text("".join(lines))
    config = recipe(tmp_path, 40)
    changed = {"demonstrations": (), "prompts": ({"path": str(tmp_path / "ask.jsonl")},), **data}
    told = []
    materials = materials_of(
        config.model_copy(update={"data": type(config.data)(**dict(config.data) | changed)}), told.append
    )
    parts = [{p.text for p in materials.prompts(part)} for part in ("train", "validation", "test")]
    return parts[0], parts[1] | parts[2], materials, told


def test_prompts_beside_preferences_are_trained_on_but_for_their_own_share(tmp_path):
    own, shared = [f"ask {i}" for i in range(60)], [f"question {i}" for i in range(40)]
    train, out, materials, told = asked(tmp_path, [*own, *shared])
    train_pairs, held_pairs = materials.records("preferences")
    assert {r.prompt.text for r in held_pairs} <= out and {r.prompt.text for r in train_pairs} <= train
    assert 40 < len(train & set(own)) < 60 and train | out == {*own, *shared}
    (line,) = [line for line in told if line.startswith("data.prompts")]
    assert line == f"data.prompts: {len(train)} of 100 to train on, {len(out)} held out"
    # Another share of the prompts' own holds out more of them.
    assert len(asked(tmp_path, own, validation=0.5)[1]) > 20


def test_a_source_of_preferences_counts_by_its_weight(tmp_path):
    """Copies of judgements would be joined to records that say what they said before."""
    config = recipe(tmp_path, 8)
    rows = (tmp_path / "pairs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "more.jsonl").write_text("".join(rows[:4]).replace("question", "another"))
    sources = ({"path": str(tmp_path / "pairs.jsonl"), "weight": 3}, {"path": str(tmp_path / "more.jsonl")})
    data = type(config.data)(preferences=sources, preference_validation=0)
    records = materials_of(config.model_copy(update={"data": data})).records("preferences")[0]
    weights = {r.prompt.text: [o.weight for o in r.outcomes] for r in records}
    assert weights == {f"question {i}": [3.0] for i in range(8)} | {f"another {i}": [1.0] for i in range(4)}
