"""Answers are drawn once: a call that was cut off goes on, and the same seed gives the same answers."""

from __future__ import annotations

import json

import pytest
from toy import toy_policy

from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.feedback.sampling import Drawing, draw_answers, drawn_items, voices_of
from plaudit.models.policy import save_policy
from plaudit.runs import RunFolder

PROMPTS = [
    Prompt.user(text, source="s") for text in ("the cat", "red blue", "dogs run far", "a mat", "home today")
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A run of two stages, and a plain model folder."""
    root = tmp_path_factory.mktemp("models")
    run = RunFolder(root / "a-run")
    run.write_json("run.json", {"name": "a-run", "config": {"seed": 0}})
    for seed, stage in enumerate(("sft", "ppo")):
        save_policy(toy_policy(seed), run.stage(stage).model, card="# A toy")
    save_policy(toy_policy(7), root / "plain", card="# A toy")
    return root


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_source_is_a_run_a_stage_of_it_or_a_folder(models):
    run, plain = str(models / "a-run"), str(models / "plain")
    voices = voices_of([run, f"{run}@sft", plain])
    assert [(v.name, v.stage) for v in voices] == [("a-run", None), ("a-run@sft", "sft"), ("plain", None)]
    assert [v.name for v in voices_of([plain, f"{models}/./plain"])] == [plain, f"{models}/./plain"]
    with pytest.raises(UserError, match="named twice"):
        voices_of([plain, plain])


def test_every_model_answers_every_prompt_and_prompts_become_items(models, tmp_path):
    path = tmp_path / "answers.jsonl"
    voices = voices_of([f"{models / 'a-run'}@sft", str(models / "plain")])
    drawing = Drawing(answers=2, max_new_tokens=5, seed=3)
    seen = []
    draw_answers(voices, PROMPTS, drawing, path, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 10) and seen[-1] == (10, 10)
    made = drawn_items(path, voices, PROMPTS, drawing)
    assert [i.prompt[0]["content"] for i in made.items] == [p.text for p in PROMPTS]
    for item in made.items:
        models_ = [m for a in item.answers for m in (a.model, *a.info.get("also", []))]
        assert sorted(models_) == ["a-run@sft", "a-run@sft", "plain", "plain"]
        assert item.purpose == "work" and item.source == "s"
    assert any(not a.finished for i in made.items for a in i.answers), "five tokens end few answers"


def test_what_was_drawn_is_not_drawn_again_and_goes_on_after_a_cut(models, tmp_path):
    voices = voices_of([str(models / "plain"), f"{models / 'a-run'}@ppo"])
    drawing = Drawing(max_new_tokens=5, seed=1)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    draw_answers(voices, PROMPTS, drawing, whole)
    # Three rows and half of the fourth, as a kill leaves them.
    cut.write_text("".join(line + "\n" for line in whole.read_text().splitlines()[:3]) + '{"prompt": "0')
    seen = []
    draw_answers(voices, PROMPTS, drawing, cut, progress=lambda done, total: seen.append(done))
    assert seen[0] == 3
    assert rows(cut) == rows(whole), "a sample hangs on its prompt and the seed, not on what was drawn before"
    before = cut.read_bytes()
    draw_answers(voices, PROMPTS, drawing, cut)
    assert cut.read_bytes() == before
    other = tmp_path / "other.jsonl"
    draw_answers(voices, PROMPTS, Drawing(max_new_tokens=5, seed=2), other)
    assert [r["answers"] for r in rows(other)] != [r["answers"] for r in rows(whole)]


@pytest.mark.parametrize("change", [{"seed": 9}, {"temperature": 0.5}, {"answers": 3}, {"max_new_tokens": 6}])
def test_answers_drawn_in_another_way_are_not_mixed_in(models, tmp_path, change):
    path = tmp_path / "answers.jsonl"
    voices = voices_of([str(models / "plain")])
    draw_answers(voices, PROMPTS[:1], Drawing(max_new_tokens=5), path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="drawn in another way"):
        draw_answers(voices, PROMPTS, Drawing(**{"max_new_tokens": 5, **change}), path)
    assert path.read_bytes() == before


def test_prompts_whose_answers_are_all_alike_are_left_out_and_counted(models, tmp_path):
    path = tmp_path / "answers.jsonl"
    voices = voices_of([str(models / "plain")])
    drawing = Drawing(answers=3, temperature=0, max_new_tokens=4)
    draw_answers(voices, PROMPTS, drawing, path)
    made = drawn_items(path, voices, PROMPTS, drawing)
    assert made.items == [] and made.report.dropped == {"identical answers": 5}
