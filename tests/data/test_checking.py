"""`plaudit check` and `plaudit data`: what they find, say, and exit with."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from plaudit.cli.check import check as check_command
from plaudit.cli.data import app as data_app
from plaudit.data.checks.check import check
from plaudit.data.checks.method_compatibility import feeds
from plaudit.data.records import (
    Comparisons,
    Demonstration,
    Labeled,
    Outcome,
    Prompt,
    Ranking,
    Rated,
    Response,
)
from plaudit.data.rendering.byte_tokenizer import byte_tokenizer
from plaudit.errors import UserError

ASK = Prompt.user("Ask?")
YES = Response("Yes.")
DEMO = {"prompt": "Ask?", "response": "Yes."}
PAIR = {"prompt": "Ask?", "chosen": "Yes.", "rejected": "Not."}

FEEDS = {
    "demonstrations": ([Demonstration(ASK, YES)], {"pretraining", "SFT", "PPO"}),
    "a ranking": ([Ranking.pair(ASK, "a", "b")], {"RM", "DPO", "KTO", "PPO"}),
    "ties only": ([Comparisons(ASK, (YES, Response("a")), (Outcome(0, 1, 0.5),))], {"PPO"}),
    "labels": ([Labeled(ASK, YES, True), Labeled(ASK, Response("a"), False)], {"KTO", "PPO"}),
    "good labels only": ([Labeled(ASK, YES, True)], {"PPO"}),
    "ratings": ([Rated(ASK, YES, 3.0)], {"PPO"}),
    "prompts": ([ASK], {"PPO"}),
    "text": (["Once."], {"pretraining"}),
    "nothing": ([], set()),
}


@pytest.mark.parametrize("case", FEEDS)
def test_records_feed_the_methods_that_can_learn_from_them(case):
    records, wanted = FEEDS[case]
    found = feeds(records)
    assert {f.method for f in found if f.ok} == wanted
    assert all(f.reason for f in found if not f.ok)


def test_the_byte_tokenizer_gives_every_text_back():
    tokenizer = byte_tokenizer()
    text = "naïve „x“ \t\n 😀"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_lengths_and_trained_tokens_of_demonstrations_are_counted(jsonl):
    (file,) = check(jsonl(DEMO, {"prompt": "Longer ask?", "response": "No."})).files
    # <|user|> Ask? <|assistant|> and Yes. <|end|>
    assert file.tokens.prompts.tolist() == [6, 13]
    assert file.tokens.answers.tolist() == [5, 4]
    assert file.tokens.trained_share == pytest.approx(9 / 28)
    example = file.examples[0]
    assert example.prompt == "<|user|>Ask?<|assistant|>"
    assert [(p.text, p.trained) for p in example.answers[0].parts] == [("Yes.<|end|>", True)]


def test_user_turns_within_an_answer_are_shown_as_not_trained(jsonl):
    turns = [("user", "Ask?"), ("assistant", "Well."), ("user", "And?"), ("assistant", "Yes.")]
    path = jsonl({"messages": [{"role": r, "content": c} for r, c in turns]})
    parts = check(path).files[0].examples[0].answers[0].parts
    assert [(p.text, p.trained) for p in parts] == [
        ("Well.<|end|>", True),
        ("<|user|>And?<|assistant|>", False),
        ("Yes.<|end|>", True),
    ]


def test_preferences_are_described(jsonl):
    (file,) = check(jsonl(PAIR, {**PAIR, "chosen": "Longer."}, {**PAIR, "prompt": "Else?"})).files
    assert (file.prompts, file.facts["judgements"], file.facts["ties"]) == (2, 3, 0)
    assert file.facts["longer_wins"] == 1.0
    assert [a.title for a in file.examples[0].answers] == ["answer 1 of 2, place 1", "answer 2 of 2, place 2"]


def test_prompts_and_text_are_described(jsonl, tmp_path):
    (file,) = check(jsonl({"prompt": "Ask?"})).files
    assert file.tokens.prompts.tolist() == [6]
    assert file.tokens.trained_share is None
    assert file.examples[0].prompt == "<|user|>Ask?<|assistant|>"
    (tmp_path / "a.txt").write_text("Once upon a time.")
    (file,) = check(tmp_path / "a.txt").files
    assert file.tokens.answers.tolist() == [18]


def test_a_large_file_is_sampled_evenly(jsonl):
    rows = [{"prompt": f"Ask {i}?", "response": "Yes."} for i in range(2500)]
    (file,) = check(jsonl(*rows)).files
    assert file.report.kept == 2500
    assert file.tokens.sampled == 834
    assert np.median(file.tokens.prompts) == 6 + len(" 1250")


def recipe(tmp_path, **data):
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"data": data}))
    return path


def test_a_recipe_is_checked_file_by_file_in_its_roles(jsonl, tmp_path):
    demos = jsonl(DEMO, name="demos.jsonl")
    pairs = jsonl(PAIR, name="pairs.jsonl")
    report = check(recipe(tmp_path, demonstrations=str(demos), preferences=[str(pairs)], corpus=str(demos)))
    assert {(f.role, f.path, tuple(f.kinds)) for f in report.files} == {
        ("corpus", str(demos), ("text",)),
        ("demonstrations", str(demos), ("demonstrations",)),
        ("preferences", str(pairs), ("preferences",)),
    }
    assert report.ok


def test_the_problems_of_all_files_of_a_recipe_are_told_at_once(jsonl, tmp_path):
    broken = jsonl("{", name="broken.jsonl")
    pairs = jsonl(PAIR, name="pairs.jsonl")
    coffee = jsonl({"turns": ["Ask?", "Yes."]}, name="sgd_text.jsonl")
    report = check(
        recipe(
            tmp_path,
            demonstrations=[str(broken), str(tmp_path / "absent.jsonl"), str(pairs)],
            preferences={"path": str(coffee), "convert": "sgd_dialogues"},
        )
    )
    with pytest.raises(UserError) as caught:
        report.require()
    text = str(caught.value)
    assert "broken.jsonl:1: not valid JSON" in text
    assert "there is no file" in text and "absent.jsonl" in text
    assert "it holds preferences" in text and "demonstrations are requested" in text
    assert "holds no preferences of the data set sgd_dialogues" in text


def test_a_limit_of_the_recipe_that_nothing_fits_is_a_problem(jsonl, tmp_path):
    path = recipe(tmp_path, demonstrations=str(jsonl(DEMO)), max_length=8)
    assert check(path).ok  # limits are in tokens, and no tokenizer is named
    report = check(path, tokenizer=byte_tokenizer())
    assert report.files[0].tokens.counts["dropped: too long"] == 1
    assert not report.ok


def test_a_recipe_without_files_says_so(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("world: {}")
    with pytest.raises(UserError, match="names no data files"):
        check(path)


app = typer.Typer()
app.command("check")(check_command)
app.add_typer(data_app, name="data")


def run(*arguments, columns=80):
    return CliRunner().invoke(
        app, [str(a) for a in arguments], env={"COLUMNS": str(columns), "NO_COLOR": "1"}
    )


def test_the_command_shows_what_a_file_can_feed(jsonl):
    rows = [{**PAIR, "prompt": f"Ask {i}?"} for i in range(19)]
    result = run("check", jsonl(*rows, {**PAIR, "chosen": ""}))
    assert result.exit_code == 0, result.output
    assert "preferences, read as {prompt, chosen, rejected}" in result.output
    assert re.search(r"rows +20 read, 19 kept, 1 dropped \(5\.0%\)", result.output)
    assert re.search(r"1 +empty answer", result.output)
    for method, mark in (("SFT", "✗"), ("RM", "✓"), ("DPO", "✓"), ("KTO", "✓"), ("PPO", "✓")):
        assert re.search(rf"{method} +{mark}", result.output)
    assert "▸Yes.<|end|>◂" in result.output
    assert "bytes (no --model named)" in result.output
    assert "line 20 [chosen]: the answer is empty → remove the row" in result.output


def test_the_command_names_what_travels_with_the_prompt(jsonl):
    row = {"prompt": "Ask?", "response": "Told.", "topic": "math", "category": "x"}
    shown = run("check", jsonl(row), columns=200).output
    assert "metadata  columns topic, category: kept with the prompt, for reward functions" in shown
    assert "not used" not in shown
    turns = [{"role": "user", "content": "Ask?"}, {"role": "assistant", "content": "Told.", "mood": "glad"}]
    other = run("check", jsonl({"messages": turns})).output
    assert "metadata" not in other and re.search(r"not used +columns .*mood", other)


def test_the_command_reads_well_in_eighty_columns_and_when_piped(jsonl):
    long = {**PAIR, "prompt": "word " * 300, "chosen": "x" * 500}
    result = run("check", jsonl(long, {**PAIR, "rejected": "Yes."}))
    assert "\x1b" not in result.output
    assert all(len(line) <= 80 and line == line.rstrip() for line in result.output.splitlines())


def test_what_data_holds_is_shown_and_never_obeyed(jsonl):
    row = {"prompt": "[bold]Ask[/nothing] :smile: \x1b[31m", "response": "Yes.", "[/x]": 1}
    result = run("check", jsonl(row))
    assert result.exit_code == 0, result.output
    assert "[bold]Ask[/nothing] :smile: ␛[31m" in result.output
    assert "metadata  columns [/x]: kept" in result.output


def test_problems_are_all_shown_and_the_exit_code_is_2(jsonl):
    path = jsonl(PAIR, "{", {**PAIR, "chosen": 3}, "[")
    result = run("check", path)
    assert result.exit_code == 2
    for part in (
        "cannot be read",
        "line 2: not valid JSON",
        "line 4: not valid JSON",
        "line 3 [chosen]: 'chosen' is a",
    ):
        assert part in " ".join(result.output.split())


def test_a_missing_file_is_told_without_a_traceback(tmp_path):
    result = run("check", tmp_path / "absent.jsonl")
    assert result.exit_code == 2
    assert "there is no file" in result.output
    assert "Traceback" not in result.output


def test_more_may_be_dropped_when_told(jsonl):
    path = jsonl(PAIR, {**PAIR, "chosen": ""})
    assert run("check", path).exit_code == 2
    assert run("check", path, "--max-dropped", "0.5").exit_code == 0


def test_prompts_of_the_evaluation_are_looked_for(jsonl):
    train, test = jsonl(DEMO, name="train.jsonl"), jsonl({"prompt": "ASK"}, name="test.jsonl")
    result = run("check", train, "--against", test)
    assert result.exit_code == 2
    assert "the prompt 'ASK' is also in" in " ".join(result.output.split())


def test_evaluation_prompts_that_cannot_be_read_are_a_problem_of_their_own(jsonl, tmp_path):
    result = run("check", jsonl(DEMO), "--against", tmp_path / "absent.jsonl")
    assert result.exit_code == 2
    assert "there is no file" in result.output


def test_data_convert_writes_and_counts(jsonl, tmp_path):
    source = jsonl({"licence": "CC-BY", "text": "One."}, {"licence": "CC-BY-NC", "text": "Two."})
    out = tmp_path / "out.jsonl"
    result = run("data", "convert", "stories", source, out)
    assert result.exit_code == 0, result.output
    assert "1 records from 2 rows" in result.output
    assert "1  license CC-BY-NC" in result.output
    assert json.loads(out.read_text()) == {"record": "text", "text": "One."}


def test_data_list_names_every_converter():
    from plaudit.data.readers.convert import CONVERTERS

    output = run("data", "list").output
    assert all(name in output for name in CONVERTERS)


def test_the_commands_import_neither_torch_nor_transformers():
    code = (
        "import sys; import plaudit.cli.check, plaudit.cli.data; "
        "sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
