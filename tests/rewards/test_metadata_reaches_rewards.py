"""What the columns of a file say of a prompt reaches the function that scores its answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy import toy_policy

from plaudit.config import Grpo, validate
from plaudit.data.readers.read import read
from plaudit.data.records import Response
from plaudit.data.splits import split
from plaudit.errors import UserError
from plaudit.methods.train_online import grpo
from plaudit.pipeline.datasets import materials_of
from plaudit.rewards import FunctionReward

SUMS = [{"question": f"the cat saw {i} dogs", "answer": f"it saw {i} #### {i}"} for i in range(8)]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ANSWERED = {
    "answer": ({"question": "2 + 2?", "answer": "#### 4"}, "#### 4"),
    "a number": ({"question": "2 + 2?", "answer": 4}, 4),
    "solution": ({"prompt": "2 + 2?", "solution": "4"}, "4"),
    "ground_truth": ({"prompt": "2 + 2?", "ground_truth": ["4", "four"]}, ["4", "four"]),
    "tests": ({"prompt": "Write f.", "tests": [{"in": 1, "out": 2}]}, [{"in": 1, "out": 2}]),
    "reward_model": (
        {"prompt": [{"role": "user", "content": "2 + 2?"}], "reward_model": {"ground_truth": "4"}},
        {"ground_truth": "4"},
    ),
    "Gold Answer": ({"Prompt": "2 + 2?", "Gold Answer": "4"}, "4"),
    "label": ({"prompt": "Is it so?", "label": 1}, 1),
    "chosen": ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, "4"),
    "response": (
        {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]},
        "4",
    ),
}


@pytest.mark.parametrize("column", ANSWERED)
def test_every_column_beside_a_prompt_is_in_its_metadata_by_its_own_name(tmp_path, column):
    row, value = ANSWERED[column]
    named = {"a number": "answer"}.get(column, column)
    (prompt,) = read(written(tmp_path / "rl.jsonl", [row]), kind="prompts").records
    assert prompt.metadata[named] == value
    assert prompt.metadata.get("ground_truth", "4") in ("4", ["4", "four"])


def test_the_metadata_of_a_prompt_changes_neither_its_id_nor_its_side(tmp_path):
    bare = read(written(tmp_path / "bare.jsonl", [{"question": r["question"]} for r in SUMS]), kind="prompts")
    full = read(written(tmp_path / "full.jsonl", SUMS), kind="prompts")
    assert [p.id for p in bare.records] == [p.id for p in full.records]
    sides = [[p.id for p in split(r.records, 0.5, seed=3)[0]] for r in (bare, full)]
    assert sides[0] == sides[1]
    assert full.records[0].metadata == {"answer": "it saw 0 #### 0"}


def test_values_that_no_json_has_become_ones_that_it_has(tmp_path):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"prompt": "2 + 2?", "when": datetime.date(2026, 1, 2), "score": float("nan"), "raw": b"\x00"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "odd.parquet")
    (prompt,) = read(tmp_path / "odd.parquet", kind="prompts").records
    assert prompt.metadata == {"when": "2026-01-02"}
    json.dumps(dict(prompt.metadata), allow_nan=False)


def test_a_reward_function_of_a_run_sees_the_right_answer(tmp_path):
    path = written(tmp_path / "gsm.jsonl", SUMS)
    recipe = {
        "policy": {"path": str(tmp_path)},
        "data": {"prompts": [str(path)], "validation": 0.0},
        "steps": {"grpo": {"reward_function": "mine:score"}},
        "evaluate": None,
    }
    prompts = materials_of(validate(recipe, "recipe")).prompts("train")
    assert {p.metadata["answer"] for p in prompts} == {row["answer"] for row in SUMS}
    seen: list[tuple[str, str]] = []

    def score(sample):
        seen.append((sample.prompt.text, sample.prompt.metadata["answer"]))
        return float(len(sample.response.text))

    settings = Grpo(
        iterations=1, prompts_per_iteration=4, samples_per_prompt=2, minibatch=8, max_new_tokens=4, epochs=1
    )
    grpo(toy_policy(), FunctionReward(score), prompts, settings, out=tmp_path / "out")
    right = {row["question"]: row["answer"] for row in SUMS}
    assert len(seen) >= 8
    assert all(right[question] == answer for question, answer in seen)


def test_the_reward_function_of_the_page_runs(tmp_path):
    page = Path(__file__).resolve().parents[2] / "docs" / "methods" / "grpo.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), names)
    path = written(tmp_path / "gsm.jsonl", [{"question": "2 + 2?", "answer": "Sum. #### 4"}])
    (prompt,) = read(path, kind="prompts").records
    answers = [SimpleNamespace(prompt=prompt, response=Response(text)) for text in ("It is 4", "It is 5")]
    assert [names["score"](sample) for sample in answers] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def score(prompts, completions, **kwargs): return [1.0]", "called with one sample"),
        ("def score(): return 1.0", "called with one sample"),
        ("def score(sample) return 1", "importing .* failed"),
        ("import math\nmath.no_such_name", "importing .* failed"),
    ],
)
def test_a_reward_function_that_cannot_be_called_is_refused_where_it_is_loaded(
    tmp_path, monkeypatch, source, said
):
    name = f"rewards_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=said):
        FunctionReward.by_path(f"{name}:score")
