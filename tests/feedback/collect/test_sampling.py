"""Answers are drawn once: a call that was cut off goes on, and the same seed gives the same answers."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from toy import toy_policy

from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.feedback.sampling import Drawing, draw_answers, drawn_items, voices_of
from plaudit.feedback.store.rounds import NewRound
from plaudit.models.policy import save_policy
from plaudit.runs import RunFolder

PROMPTS = [
    Prompt.user(text, source="s") for text in ("the cat", "red blue", "dogs run far", "a mat", "home today")
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A run of two steps, and a plain model folder."""
    root = tmp_path_factory.mktemp("models")
    run = RunFolder(root / "a-run")
    run.write_json("run.json", {"name": "a-run", "config": {"seed": 0}})
    for seed, stage in enumerate(("sft", "ppo")):
        save_policy(toy_policy(seed), run.stage(stage).model, card="# A toy")
    save_policy(toy_policy(7), root / "plain", card="# A toy")
    return root


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_source_is_a_run_a_step_of_it_or_a_folder(models):
    run, plain = str(models / "a-run"), str(models / "plain")
    voices = voices_of([run, f"{run}@sft", plain])
    assert [(v.name, v.step) for v in voices] == [("a-run@ppo", "ppo"), ("a-run@sft", "sft"), ("plain", None)]
    assert [v.name for v in voices_of([f"{run}@end", f"{run}@base"])] == ["a-run@ppo", "a-run@sft"]
    with pytest.raises(UserError, match=r"named twice: .*a-run@ppo"):
        voices_of([run, f"{run}@ppo"])
    with pytest.raises(UserError, match="no policy of a step 'pppo'"):
        voices_of([f"{run}@pppo"])


def test_runs_of_one_name_are_told_apart_by_their_folders(models, tmp_path):
    shutil.copytree(models / "a-run", tmp_path / "a-run")
    first, second = str(models / "a-run"), str(tmp_path / "a-run")
    assert [v.name for v in voices_of([first, second])] == [f"{first}@ppo", f"{second}@ppo"]


def test_folders_of_one_name_are_told_apart_and_one_is_not_named_twice(models):
    plain = str(models / "plain")
    assert [v.name for v in voices_of([plain, f"{models}/./plain"])] == [plain, f"{models}/./plain"]
    with pytest.raises(UserError, match="named twice"):
        voices_of([plain, plain])


def test_every_model_answers_every_prompt_and_prompts_become_items(models, tmp_path):
    path = tmp_path / "answers.jsonl"
    voices = voices_of([f"{models / 'a-run'}@sft", str(models / "plain")])
    drawing = Drawing(answers=2, max_new_tokens=5, seed=3)
    seen = []
    round_ = draw_answers(
        voices, PROMPTS, drawing, path, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[0] == (0, 10) and seen[-1] == (10, 10)
    made = drawn_items(path, PROMPTS, round_)
    assert made.round is round_ and [m["name"] for m in round_.models] == ["a-run@sft", "plain"]
    assert round_.drawing == {"answers": 2, "temperature": 1.0, "max_new_tokens": 5, "seed": 3}
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
def test_answers_drawn_in_another_way_are_a_round_of_their_own(models, tmp_path, change):
    path = tmp_path / "answers.jsonl"
    voices = voices_of([str(models / "plain")])
    one = draw_answers(voices, PROMPTS, Drawing(answers=2, max_new_tokens=5), path)
    before = path.read_bytes()
    items = drawn_items(path, PROMPTS, one).items
    two = draw_answers(voices, PROMPTS, Drawing(**{"answers": 2, "max_new_tokens": 5, **change}), path)
    assert one.key != two.key and path.read_bytes().startswith(before)
    assert drawn_items(path, PROMPTS, one).items == items, "the first round is as it was"
    for item in drawn_items(path, PROMPTS, two).items:
        drawn = sum(1 + len(a.info.get("also", [])) for a in item.answers)
        assert drawn == change.get("answers", 2), "no item holds answers of two rounds"


def test_a_model_that_has_learned_since_is_a_further_round(models, tmp_path):
    run, path = tmp_path / "run", tmp_path / "answers.jsonl"
    keys = []
    for seed in (1, 1, 2):
        save_policy(toy_policy(seed), run, card="# A toy")
        keys.append(draw_answers(voices_of([str(run)]), PROMPTS, Drawing(max_new_tokens=3), path).key)
        shutil.rmtree(run)
    assert keys[0] == keys[1] != keys[2]
    assert [r["drawn"] for r in rows(path)] == [keys[0]] * 5 + [keys[2]] * 5


def test_answers_drawn_before_weights_were_looked_at_go_on_under_their_mark(models, tmp_path):
    path, voices, drawing = (
        tmp_path / "answers.jsonl",
        voices_of([str(models / "plain")]),
        Drawing(max_new_tokens=3),
    )
    content = [[v.name, str(Path(v.source).resolve()), v.step] for v in voices]
    mark = hashlib.blake2b(json.dumps([content, 1, 1.0, 3, 0]).encode(), digest_size=8).hexdigest()
    row = {"prompt": PROMPTS[0].id, "model": "plain", "answers": [["kept", True]], "drawn": mark}
    path.write_text(json.dumps(row) + "\n")
    assert draw_answers(voices, PROMPTS, drawing, path).key == mark
    assert [r["prompt"] for r in rows(path)] == [p.id for p in PROMPTS] and rows(path)[0] == row


@pytest.mark.parametrize("line", ["[1]", "{}", '{"prompt": 1', "null", "\x00", "[" * 100_000])
def test_a_damaged_line_is_named(models, tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=r"answers.jsonl:1 is no line"):
        draw_answers(voices_of([str(models / "plain")]), PROMPTS, Drawing(), path)


def test_an_answer_is_kept_as_it_was_sampled(tmp_path):
    """Whatever a model says: nothing, white space, marks. What no database holds goes, and that is said."""
    path, key = tmp_path / "answers.jsonl", "k"
    said = ["", " ", "\n\nlate", "end  ", "a\r\nb\ttab\t", "\u2028", "nul\x00l", "half\ud800"]
    row = {"prompt": PROMPTS[0].id, "model": "m", "answers": [[t, True] for t in said], "drawn": key}
    path.write_text(json.dumps(row) + "\n")
    made = drawn_items(path, PROMPTS, NewRound(key))
    assert [a.text for a in made.items[0].answers] == [*said[:6], "null", "half?"]
    assert [a.info for a in made.items[0].answers[5:]] == [
        {},
        {"mended": "holds a NUL character"},
        {"mended": "holds half of a character pair (a lone surrogate)"},
    ]
    assert "1 mended before it was stored: an answer holds a NUL character" in made.notes
    assert "3 answers are empty or white space: kept, and marked on the page" in made.notes


def test_prompts_whose_answers_are_all_alike_are_left_out_and_counted(models, tmp_path):
    path = tmp_path / "answers.jsonl"
    voices = voices_of([str(models / "plain")])
    drawing = Drawing(answers=3, temperature=0, max_new_tokens=4)
    made = drawn_items(path, PROMPTS, draw_answers(voices, PROMPTS, drawing, path))
    assert made.items == [] and made.report.dropped == {"identical answers": 5}
