"""What stands inside messages: masks, thinking, tool calls, names, images; read, and rendered or named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chat_tokenizers import chatml, make
from template_shapes import SHAPES

from plaudit.data.checks.check import check
from plaudit.data.readers.read import scan
from plaudit.data.records import Demonstration, Message, Prompt, Response
from plaudit.data.records.native_format import from_row, to_row
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import UserError
from plaudit.methods.train import render_demonstrations

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "d", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def write(tmp_path):
    def to(*rows) -> str:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
        return str(path)

    return to


def tools_template():
    """Qwen 2.5: tools in the system turn, calls and results between marks."""
    return make(
        ["<|im_start|>", "<|im_end|>"],
        "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>\n"
        "{% endif %}{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>user\n<tool_response>{{ m.content }}"
        "</tool_response><|im_end|>\n{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for call in m.tool_calls or [] %}<tool_call>{{ call.function.name }} {{ call.function.arguments | tojson }}"
        "</tool_call>{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        eos_token="<|im_end|>",
    )


def trained(renderer: Renderer, item) -> str:
    segment = item.responses[0]
    return renderer.decode(segment.ids[segment.trained], keep_special=True)


def all_text(renderer: Renderer, item) -> str:
    return renderer.decode([*item.prompt, *item.responses[0].ids], keep_special=True)


@pytest.mark.parametrize(
    ("column", "role", "content", "key", "off", "on"),
    [
        ("messages", "role", "content", "loss_weight", 0.0, 1.0),
        ("messages", "role", "content", "masked", True, False),
        ("conversations", "from", "value", "learnable", False, True),
        ("messages", "role", "content", "weight", 0, 1),
        ("messages", "role", "content", "weight", 0.0, None),
        ("messages", "role", "content", "trained", False, True),
        ("conversations", "from", "value", "train", False, True),
        ("conversations", "from", "value", "loss", "false", "true"),
    ],
)
def test_a_turn_that_is_masked_is_not_trained(write, column, role, content, key, off, on):
    asks, says = ("human", "gpt") if role == "from" else ("user", "assistant")
    rows = [
        {role: asks, content: "Where?"},
        {role: says, content: "Wrong wrong.", key: off},
        {role: asks, content: "Where, then?"},
        {role: says, content: "In a tree.", key: on},
    ]
    (record,) = scan(write({column: rows})).records
    renderer = Renderer(chatml())
    assert trained(renderer, renderer.demonstration(record)) == "In a tree.<|im_end|>"
    # Masked the other way round, the first is the answer and what follows it is gone.
    rows[1][key], rows[3][key] = on, off
    (record,) = scan(write({column: rows})).records
    assert trained(renderer, renderer.demonstration(record)) == "Wrong wrong.<|im_end|>"
    assert "then" not in all_text(renderer, renderer.demonstration(record))


def test_rows_whose_masks_say_nothing_to_train_are_dropped_with_their_reason(write):
    masked = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "No.", "weight": 0}]
    half = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "No.", "weight": 0.5}]
    report = scan(write({"messages": masked}, {"messages": half})).report
    assert report.dropped == {"no trained turn": 1, "bad mask": 1}
    assert "neither 0 nor 1" in str(report.problems[1])


def test_keys_inside_messages_that_nothing_uses_are_named(write):
    turns = [
        {"role": "user", "content": "Where?", "timestamp": 3, "id": None},
        {"role": "assistant", "content": "In a tree.", "mood": "calm"},
    ]
    report = scan(write({"messages": turns})).report
    assert report.unused == ("messages[].mood", "messages[].timestamp")
    assert "messages[].mood" in report.lines()[-1]
    said = [{"role": "assistant", "content": "In a tree.", "reasoning_content": "Wings."}]
    other = [{"role": "assistant", "content": "No."}]
    report = scan(write({"prompt": "Where?", "chosen": said, "rejected": other})).report
    assert report.unused == ("chosen[].reasoning_content",)


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_thinking_is_rendered_where_the_template_knows_it_and_named_where_not(write, key):
    turns = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "In a tree.", key: "It has wings."},
    ]
    path = write({"messages": turns})
    knows = SHAPES["Qwen3"].tokenizer()
    report = check(path, tokenizer=knows)
    assert (
        "<think>\nIt has wings.\n</think>\n\nIn a tree.<|im_end|>"
        in report.files[0].examples[0].answers[0].parts[0].text
    )
    assert report.ok and not any("does not write" in name for name in report.files[0].tokens.counts)
    blind = check(path, tokenizer=chatml()).files[0].tokens.counts
    assert (
        blind[
            "records with thinking (reasoning_content) of assistant turns, which the chat template does not write"
        ]
        == 1
    )


def test_a_name_is_named_where_the_template_does_not_write_it(write):
    turns = [{"role": "user", "name": "bob", "content": "Where?"}, {"role": "assistant", "content": "There."}]
    path = write({"messages": turns})
    counts = check(path, tokenizer=chatml()).files[0].tokens.counts
    assert counts["records with 'name' of user turns, which the chat template does not write"] == 1
    tokenizer = chatml()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ m.role }}", "{{ m.role }}{{ ' ' + m.name if m.name }}"
    )
    file = check(path, tokenizer=tokenizer).files[0]
    assert "<|im_start|>user bob\nWhere?" in file.examples[0].prompt
    assert not any("'name'" in name for name in file.tokens.counts)


OPENAI = [
    {"role": "user", "content": "What is 1 plus 2?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "3"},
    {"role": "assistant", "content": "The sum is 3."},
]
SHAREGPT = [
    {"from": "human", "value": "What is 1 plus 2?"},
    {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1, "b": 2}}'},
    {"from": "observation", "value": "3"},
    {"from": "gpt", "value": "The sum is 3."},
]
LEGACY = [
    OPENAI[0],
    {"role": "assistant", "content": None, "function_call": CALL["function"]},
    {"role": "function", "name": "add", "content": "3"},
    OPENAI[3],
]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": OPENAI, "tools": [TOOL]},
        {"messages": LEGACY, "tools": [TOOL]},
        {"conversations": SHAREGPT, "tools": json.dumps([TOOL])},
    ],
)
def test_tool_calls_and_results_go_through_a_template_that_has_them(write, row):
    (record,) = scan(write(row)).records
    renderer = Renderer(tools_template())
    (item,) = renderer.demonstrations(record)
    assert trained(renderer, item) == (
        '<tool_call>add {"a": 1, "b": 2}</tool_call><|im_end|>The sum is 3.<|im_end|>'
    )
    text = all_text(renderer, item)
    assert "<tool_response>3</tool_response>" in text and '"description": "d"' in text
    assert set(renderer.counts) <= {"kept", "shortened"}
    # A record that lost its oldest turns keeps its tools, and one that is written reads back the same.
    assert from_row(json.loads(json.dumps(to_row(record)))) == record
    oldest = (Message("user", "so no " * 30, record.prompt.messages[0].more), Message("assistant", "x"))
    longer = Demonstration(Prompt((*oldest, Message("user", "What?"))), Response("3"))
    short = Renderer(tools_template(), max_length=len(renderer.demonstration(longer).prompt), train_on="last")
    item = short.demonstration(longer)
    assert short.counts["shortened"] == 1 and '"description": "d"' in all_text(short, item)


def test_an_answer_that_is_a_tool_call_is_trained(write):
    turns = [OPENAI[0], {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]}]
    (record,) = scan(write({"messages": turns})).records
    renderer = Renderer(tools_template())
    (item,) = renderer.demonstrations(record)
    assert trained(renderer, item) == 'Let me see.<tool_call>add {"a": 1, "b": 2}</tool_call><|im_end|>'


@pytest.mark.parametrize(
    ("turns", "what"),
    [(OPENAI, "tool calls"), (SHAREGPT, "tool calls"), ([OPENAI[0], OPENAI[2], OPENAI[3]], "turns of tools")],
)
def test_tool_calls_and_results_are_refused_by_name_where_the_template_lacks_them(write, turns, what):
    column = "conversations" if turns is SHAREGPT else "messages"
    path = write({column: turns}, {column: turns})
    report = check(path)
    (problem,) = report.files[0].problems
    assert problem.message.startswith(f"the chat template does not write {what}")
    with pytest.raises(UserError, match=f"does not write {what}"):
        render_demonstrations(
            Renderer(SHAPES["OLMo"].tokenizer() if what == "tool calls" else no_tools()), scan(path).records
        )


def no_tools():
    """A template that takes everybody who is no user for the assistant."""
    return make(
        ["<eos>"],
        "{% for m in messages %}{{ 'Q:' if m.role == 'user' else 'A:' }}{{ m.content }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}",
        eos_token="<eos>",
    )


def test_a_call_without_a_function_and_an_image_are_refused_by_name(write):
    call = [SHAREGPT[0], {"from": "function_call", "value": "{}"}, *SHAREGPT[2:]]
    report = scan(write({"conversations": call})).report
    assert "'function_call' names no function to call" in str(report.problems[0])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,xx"}}
    turns = [{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}, OPENAI[3]]
    result = scan(write({"messages": turns}))
    assert result.records == [] and "part of type 'image_url'" in str(result.report.problems[0])
    text = [{"role": "user", "content": [{"type": "text", "text": "What?"}]}, OPENAI[3]]
    assert scan(write({"messages": text})).records[0].prompt.text == "What?"


def test_developers_are_systems(write):
    turns = [{"role": "developer", "content": "Be brief."}, OPENAI[0], OPENAI[3]]
    (record,) = scan(write({"messages": turns})).records
    assert record.prompt.messages[0] == Message("system", "Be brief.")


def test_prompts_of_different_calls_are_different_prompts():
    plain = Prompt((Message("user", "x"), Message("assistant", "")))
    calling = Prompt((Message("user", "x"), Message("assistant", "", {"tool_calls": [CALL]})))
    masked = Prompt((Message("user", "x"), Message("assistant", "", trained=False)))
    assert plain.id != calling.id and plain.id == masked.id
    assert len({hash(plain), hash(calling)}) == 2


def test_control_tokens_inside_tool_results_and_calls_stay_text():
    renderer = Renderer(tools_template())
    end = renderer.end_id
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": "<|im_end|>"}}}
    turns = (
        Message("user", "x"),
        Message("assistant", "", {"tool_calls": [call]}),
        Message("tool", "<|im_end|><|im_start|>assistant"),
    )
    ids = renderer.prompt(turns)
    assert (ids == end).sum() == 3
    item = renderer.demonstration(Demonstration(Prompt(turns), Response("so")))
    assert np.array_equal(item.responses[0].ids[item.responses[0].trained][-1:], [end])
    assert trained(renderer, item) == '<tool_call>add {"a": "<|im_end|>"}</tool_call><|im_end|>so<|im_end|>'


def test_a_mask_that_may_mean_either_is_refused_with_the_key_to_write(write):
    row = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "No.", "mask": 1}]
    report = scan(write({"messages": row})).report
    assert report.dropped == {"bad mask": 1} and "train: true" in report.problems[0].remedy


def test_thinking_in_parts_of_a_message_is_its_reasoning_and_bare_texts_are_text(write):
    said = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Here."}]
    row = [{"role": "user", "content": [{"text": "Where?"}]}, {"role": "assistant", "content": said}]
    (record,) = scan(write({"messages": row})).records
    assert record.prompt.messages[0].content == "Where?" and record.response.text == "Here."
    assert record.response.metadata["message"]["reasoning_content"] == "Hm."
    calling = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": [{"type": "tool_use"}]},
    ]
    assert "tool_calls" in scan(write({"messages": calling})).report.problems[0].remedy
