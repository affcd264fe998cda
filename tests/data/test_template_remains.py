"""Remains of chat templates and answers cut short are told, with the number of rows; texts about them are not."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read

GOOD = [{"prompt": f"Is tea {i} hot?", "response": f"It is, tea {i}."} for i in range(20)]


def told(path, **options):
    return [note for note in read(path, **options).report.notes if note.startswith("in ")]


def ask(response, prompt="Is ice hot?"):
    return {"prompt": prompt, "response": response}


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ("<|im_start|>assistant\nIt is.", "an answer begins with '<|im_start|>assistant'"),
        (
            "<|start_header_id|>assistant<|end_header_id|>\n\nIt is.",
            "an answer begins with '<|start_header_id|>",
        ),
        ("<start_of_turn>model\nIt is.", "an answer begins with '<start_of_turn>model'"),
        ("<|channel|>final<|message|>It is.", "an answer begins with '<|channel|>'"),
        ("Assistant: It is.", "an answer begins with 'Assistant:'"),
        ("### Response:\nIt is.", "an answer begins with '### Response:'"),
        ("[/INST] It is.", "an answer begins with '[/INST]'"),
        ("It is.</s>", "an answer ends in '</s>'"),
        ("It is.<|im_end|>\n", "an answer ends in '<|im_end|>'"),
        ("It is.<|eot_id|>", "an answer ends in '<|eot_id|>'"),
        ("It is.<end_of_turn>", "an answer ends in '<end_of_turn>'"),
        ("It is.\n\nHuman: And ice?\n\nAssistant: No.", "an answer runs on into the next turn ('Human:')"),
        ("It is.\nUser: And ice?", "an answer runs on into the next turn ('User:')"),
        ("It is.\n### Instruction:\nSay it.", "an answer runs on into the next turn ('### Instruction:')"),
        (
            "It is.<|im_end|>\n<|im_start|>user\nAnd ice?",
            "an answer runs on into the next turn ('<|im_start|>user')",
        ),
        ("Human: Is tea hot?\n\nAssistant: It is.", "an answer is a whole transcript ('Human:')"),
        ("<|user|>\nIs it?<|assistant|>\nIt is.", "an answer is a whole transcript ('<|user|>')"),
    ],
)
def test_a_template_s_remains_in_few_answers_are_told(jsonl, answer, what):
    path = jsonl(*GOOD, ask(answer), *GOOD)
    (note,) = told(path)
    assert note.startswith(f"in 1 row (first line 21) {what}")
    assert read(path).records[20].response.text == answer.strip()


@pytest.mark.parametrize(
    "answer",
    [
        "Login:\nUser: bob\nPassword: x",
        "Name: Al\nUser: bob",
        "Use `<|im_start|>user` in ChatML.",
        "Llama 2 puts a question between [INST] and [/INST], Zephyr behind <|user|> in a line.",
        "Use:\n```\n<|im_start|>user\nhi<|im_end|>\n```",
        "```\nUser: bob\n```",
        "<s>old</s> new <s>x</s>",
        "<div>hi</div>",
        "[1] a note",
        "Dear User:\nhello",
        "The Assistant: a novel",
    ],
)
def test_an_answer_about_markers_is_no_remain(jsonl, answer):
    assert told(jsonl(*GOOD, ask(answer))) == []


def test_a_dialog_that_was_asked_for_is_no_transcript(jsonl):
    answer = "User: Hello!\n\nAssistant: Hello, how are you?"
    assert told(jsonl(*GOOD, ask(answer, "Write a dialog of a user and an assistant."))) == []


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("<|im_start|>user\nIs ice hot?<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>"),
        ("Is ice hot?<|im_end|>", "<|im_end|>"),
        ("Is ice hot? [/INST]", "[/INST]"),
    ],
)
def test_a_template_s_remains_in_few_prompts_are_told(jsonl, prompt, found):
    (note,) = told(jsonl(*GOOD, ask("No.", prompt)))
    assert note.startswith(f"in 1 row (first line 21) a prompt holds {found!r}")
    (note,) = told(jsonl(*GOOD, ask("No.", prompt)), kind="prompts")
    assert note.startswith(f"in 1 row (first line 21) a prompt holds {found!r}")
    assert told(jsonl(*GOOD, ask("No.", "What does <|im_start|> mean?"))) == []


def test_remains_in_an_earlier_turn_of_a_prompt_are_told(jsonl):
    turns = ["Is it?<|im_end|>", "It is.", "And ice?", "No."]
    talk = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    plain = [turn | {"content": turn["content"].removesuffix("<|im_end|>")} for turn in talk]
    (note,) = told(jsonl({"messages": talk}, *[{"messages": plain}] * 3))
    assert note.startswith("in 1 row (first line 1) a prompt holds '<|im_end|>'")


def test_remains_in_messages_and_in_pairs_are_told(jsonl):
    turns = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is.</s>"}]
    plain = [turns[0], {"role": "assistant", "content": "It is."}]
    (note,) = told(jsonl({"messages": turns}, *[{"messages": plain}] * 3))
    assert "(first line 1) an answer ends in '</s>'" in note
    pairs = [{"prompt": row["prompt"], "chosen": "Yes.", "rejected": "No."} for row in GOOD]
    (note,) = told(jsonl(*pairs, {"prompt": "Is ice?", "chosen": "Assistant: Yes.", "rejected": "No."}))
    assert "(first line 21) an answer begins with 'Assistant:'" in note


def test_ends_of_turn_that_most_answers_have_are_still_removed(jsonl):
    result = read(jsonl(*(row | {"response": row["response"] + "</s>"} for row in GOOD), ask("No.")))
    assert [note for note in result.report.notes if note.startswith("in ")] == []
    assert not any(r.response.text.endswith("</s>") for r in result.records)


def test_an_input_that_says_there_is_none_is_left_out_and_told(jsonl):
    given = ["<noinput>", "nan", "None", "No input", "a table"]
    rows = [{"instruction": f"Do {i}.", "input": text, "output": "Done."} for i, text in enumerate(given)]
    prompts = [r.prompt.text for r in read(jsonl(*rows)).records]
    assert prompts == ["Do 0.", "Do 1.", "Do 2.", "Do 3.", "Do 4.\n\na table"]
    (note,) = told(jsonl(*rows))
    assert note.startswith("in 4 rows (first line 1) 'input' says that there is none ('<noinput>')")
    # Where it is the question itself, and where it is empty, there is nothing to tell.
    assert (
        told(jsonl({"input": "none", "output": "Yes."}, {"instruction": "Do.", "input": "", "output": "x"}))
        == []
    )


def test_what_programs_write_into_empty_cells_is_told_as_an_answer(jsonl):
    (note,) = told(jsonl(*GOOD, ask("nan"), ask("NULL", "Ask?")))
    assert note.startswith("in 2 rows (first line 21) an answer is 'nan'")
    assert told(jsonl(*GOOD, ask("None"), ask("Null and void."))) == []


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"finish_reason": "length"}, "'finish_reason' is 'length'"),
        ({"stop_reason": "max_tokens"}, "'stop_reason' is 'max_tokens'"),
        ({"meta": {"finish_reason": "MAX_TOKENS"}}, "'meta.finish_reason' is 'MAX_TOKENS'"),
    ],
)
def test_answers_that_a_limit_cut_are_told(jsonl, more, what):
    rows = [row | more if i % 5 == 1 else row | {"finish_reason": "stop"} for i, row in enumerate(GOOD)]
    (note,) = told(jsonl(*rows))
    assert note.startswith(f"in 4 rows (first line 2) a length limit cut an answer ({what})")
    assert told(jsonl(*(row | {"finish_reason": "stop", "length": "length"} for row in GOOD))) == []
    assert told(jsonl(*rows), kind="prompts") == []


def test_only_the_better_answer_s_limit_is_told(jsonl):
    pairs = [{"prompt": row["prompt"], "chosen": "Yes.", "rejected": "No."} for row in GOOD]
    assert len(told(jsonl(*(p | {"chosen_finish_reason": "length"} for p in pairs)))) == 1
    assert told(jsonl(*(p | {"rejected_finish_reason": "length"} for p in pairs))) == []
