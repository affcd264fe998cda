"""Files and models that users brought: what is expected of each, with their own tokenizers."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from plaudit.cli import main
from plaudit.data.checks.check import check
from plaudit.data.readers.read import scan
from plaudit.data.rendering.template_date import day_of_templates
from plaudit.pipeline.run_record import run_day
from plaudit.runs import RunFolder

INPUTS = Path(__file__).parent / "inputs"
LAYOUTS = Path(__file__).parents[1] / "data" / "layouts"


def checked(file, model=None):
    tokenizer = AutoTokenizer.from_pretrained(INPUTS / model) if model else None
    return check(file, tokenizer=tokenizer).files[0]


def trained(file) -> list[str]:
    return [p.text for e in file.examples for a in e.answers for p in a.parts if p.trained]


def untrained(file) -> str:
    return "".join(p.text for e in file.examples for a in e.answers for p in a.parts if not p.trained)


def test_a_greeting_before_the_first_question_is_trained():
    file = checked(INPUTS / "x_greet.jsonl", "chatml")
    assert not file.problems and file.tokens.counts["kept"] == 8
    assert trained(file)[:2] == ["Welcome, ask me.<|im_end|>", "The Ucayali.<|im_end|>"]
    assert "Name a river in Peru." in untrained(file)


def test_an_answer_goes_on_with_the_thought_that_the_prompt_opens():
    file = checked(INPUTS / "x_think.jsonl", "r1_distill")
    assert not file.problems and file.tokens.counts["kept"] == 4
    assert file.examples[0].prompt.endswith("<｜Assistant｜><think>\n")
    assert trained(file)[0] == "I recall it.\n</think>\n\nIn a tree.<｜end▁of▁sentence｜>"


@pytest.mark.parametrize("name", ["d11_reasoning_content", "d11b_thinking_key"])
def test_thinking_that_the_template_does_not_write_is_named(name):
    file = checked(INPUTS / f"{name}.jsonl", "chatml")
    unwritten = (
        "records with thinking (reasoning_content) of assistant turns, which the chat template does not write"
    )
    assert file.tokens.counts[unwritten] == 8
    # Where the prompt opens a thought, it stands there.
    assert trained(checked(INPUTS / f"{name}.jsonl", "r1_distill"))[0].startswith(
        "I recall what I read about this.\n</think>\n\nThe Ucayali."
    )


@pytest.mark.parametrize("name", ["d11c_turn_weight", "d11d_train_flag"])
def test_a_masked_turn_is_context(name):
    file = checked(INPUTS / f"{name}.jsonl", "chatml")
    assert (
        not any("Wrong" in text for text in trained(file)) and "Wrong wrong wrong." in file.examples[0].prompt
    )


def test_tool_calls_that_the_template_does_not_write_are_refused_by_name():
    file = checked(INPUTS / "d09b_tool_calls_text.jsonl", "chatml")
    assert "does not write tool calls" in file.problems[0].message
    file = checked(LAYOUTS / "openai_tools.jsonl", "chatml")
    assert "does not write tool calls" in file.problems[0].message
    report = scan(LAYOUTS / "sharegpt_sys_tool.json").report
    assert report.kept == 0 and "'function_call' names no function" in report.problems[0].message


def test_layouts_of_messages_give_what_is_expected_of_them():
    weighted = checked(LAYOUTS / "openai_weight.jsonl")
    assert trained(weighted)[0] == "The sum is 0.<|end|>" and "maybe" not in "".join(trained(weighted))
    named = checked(LAYOUTS / "openai_names.jsonl")
    assert (
        named.tokens.counts["records with 'name' of user turns, which the chat template does not write"] == 12
    )
    images = scan(LAYOUTS / "openai_multimodal.jsonl").report
    assert images.kept == 0 and "'image_url'" in images.problems[0].message
    for name in ("openai_developer_role.jsonl", "openai_content_list_text_only.jsonl"):
        assert trained(checked(LAYOUTS / name))[0] == "The sum is 0.<|end|>"


def test_one_of_several_templates_is_chosen_on_the_command_line(tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(INPUTS / "chatml", model)
    source = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").unlink()
    (model / "additional_chat_templates").mkdir()
    for name in ("rag", "tool_use"):
        (model / "additional_chat_templates" / f"{name}.jinja").write_text(f"{name}: {source}")
    ask = ["check", str(INPUTS / "x_greet.jsonl"), "--model", str(model)]
    for more, code, said in (
        ([], 2, "several chat templates (rag, tool_use)"),
        (["--chat-template", "rga"], 2, "no chat template 'rga'"),
        (["--chat-template", "rag"], 0, "rag: <|im_start|>"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*ask, *more])
        output = capsys.readouterr()
        assert (ended.value.code or 0) == code and said in output.out + output.err


def test_a_run_keeps_the_day_on_which_it_began(tmp_path):
    folder = RunFolder(tmp_path)
    assert run_day(folder) == date.today() == day_of_templates()
    folder.write_json("run.json", {"date": "2024-07-06", "created": 0.0})
    assert run_day(folder) == date(2024, 7, 6)


def test_a_recipe_is_counted_in_the_tokens_of_its_own_policy(tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"name: mine\npolicy: {{path: {INPUTS / 'chatml'}}}\n"
        f"data: {{demonstrations: [{INPUTS / 'x_greet.jsonl'}]}}\nsteps: {{sft: {{}}}}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["check", str(recipe)])
    output = capsys.readouterr().out
    assert not ended.value.code and "Lengths in tokens of" in output and "<|im_start|>" in output
