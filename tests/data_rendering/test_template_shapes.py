"""What is trained under every shape of chat template, compared with texts marked by hand."""

from __future__ import annotations

import re
from datetime import date
from functools import cache

import numpy as np
import pytest
from chat_tokenizers import make
from template_shapes import SHAPES, headers_and_trimmed_contents, thought_that_the_template_cannot_write

from plaudit.data.records import Demonstration, Message, Prompt, Ranking, Response
from plaudit.data.rendering.chat_template import ChatTemplate, choose_template
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.rendering.template_date import pin_day
from plaudit.errors import UserError

DAY = date(2026, 1, 5)
ONE = (("user", "Where does an owl live?"), ("assistant", "In a tree."))
THREE = (
    *ONE,
    ("user", "In a tree."),
    ("assistant", "so no"),
    ("user", "What is 12 plus 30?"),
    ("assistant", "42."),
)
THOUGHTS = (
    ("system", "Be brief."),
    ("user", "Where does an owl live?"),
    ("assistant", "<think>\nIt has wings.\n</think>\n\nIn a tree."),
    ("user", "What is 12 plus 30?"),
    ("assistant", "<think>\nI add: 42.\n</think>\n\n42."),
)
TALKS = {"one turn": ONE, "three turns": THREE, "system and thoughts": THOUGHTS}
# Answers without a thought cannot stand behind a prompt that opens one, and say so.
UNTHOUGHT = {("DeepSeek-R1", "one turn"), ("DeepSeek-R1", "three turns")}
CASES = [(s, t) for s in SHAPES for t in TALKS if (s, t) not in UNTHOUGHT]


@cache
def renderer_of(shape: str) -> Renderer:
    with pin_day(DAY):
        return Renderer(SHAPES[shape].tokenizer())


def record_of(turns) -> Demonstration:
    *before, (_, answer) = turns
    return Demonstration(Prompt(tuple(Message(r, c) for r, c in before)), Response(answer))


def text_of(renderer, ids) -> str:
    return renderer.decode(ids, keep_special=True)


def runs(renderer, item) -> list[str]:
    """The trained stretches of an item's response, as text."""
    segment = item.responses[0]
    cuts = np.flatnonzero(np.diff(segment.trained)) + 1
    parts = zip(np.split(segment.ids, cuts), np.split(segment.trained, cuts))
    return [text_of(renderer, ids).lstrip(" ") for ids, trained in parts if trained[0]]


def marked(text: str) -> list[str]:
    # Tokenizers with a space before the first word lose it when they decode from there on.
    return [found.lstrip(" ") for found in re.findall("▸(.*?)◂", text, re.S)]


def flat(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(("shape", "talk"), CASES)
def test_what_is_trained_is_what_the_assistant_says_and_its_end(shape, talk):
    renderer, turns = renderer_of(shape), TALKS[talk]
    items = renderer.demonstrations(record_of(turns))
    expected = SHAPES[shape].by_hand(turns)
    assert [runs(renderer, item) for item in items] == [marked(text) for text in expected]
    for item, text in zip(items, expected):
        assert flat(text_of(renderer, item.prompt)) == flat(text.partition("▸")[0])
    last = Renderer(renderer.tokenizer, train_on="last").demonstration(record_of(turns))
    assert runs(renderer, last) == marked(expected[-1])[-1:]
    assert last.trained_tokens == len(last.responses[0].ids)


@pytest.mark.parametrize(("shape", "talk"), CASES)
def test_a_whole_conversation_has_the_tokens_of_the_models_own_template(shape, talk):
    if (shape, talk) == ("DeepSeek-R1", "system and thoughts") or (shape, talk[:6]) == (
        "Mistral v0.3",
        "system",
    ):
        pytest.skip(
            "the model's own template drops the thought, or the system turn, from whole conversations"
        )
    renderer, turns = renderer_of(shape), TALKS[talk]
    item = renderer.demonstration(record_of(turns))
    ids = [*item.prompt, *item.responses[0].ids]
    rows = [{"role": r, "content": c} for r, c in turns]
    if turns[0][0] == "system" and renderer.template.folds_system:
        rows = [{"role": "user", "content": f"{turns[0][1]}\n\n{turns[1][1]}"}, *rows[2:]]
    text = renderer.tokenizer.apply_chat_template(rows, tokenize=False)
    text = text.replace(date.today().isoformat(), DAY.isoformat())
    whole = renderer.tokenizer(text, add_special_tokens=False)["input_ids"]
    apart = any("kept apart" in name for name in renderer.counts)
    if not apart:
        assert whole[: len(ids)] == ids
    assert flat(text).startswith(flat(text_of(renderer, ids)))


@pytest.mark.parametrize("shape", [*SHAPES])
def test_a_prompt_has_the_tokens_of_the_models_own_generation_prompt(shape):
    renderer = renderer_of(shape)
    rows = [{"role": r, "content": c} for r, c in THREE[:-1]]
    text = renderer.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    text = text.replace(date.today().isoformat(), DAY.isoformat()) + renderer.template.opening
    prompt = renderer.prompt([Message(r, c) for r, c in THREE[:-1]])
    assert renderer.tokenizer(text, add_special_tokens=False)["input_ids"] == prompt.tolist()


@pytest.mark.parametrize("shape", [*SHAPES])
def test_control_tokens_that_a_user_types_stay_text(shape):
    renderer = renderer_of(shape)
    control = {*renderer.tokenizer.all_special_ids, *renderer.tokenizer.added_tokens_decoder}
    spelled = " ".join(renderer.tokenizer.added_tokens_decoder[i].content for i in sorted(control))
    for clean, dirty in (("so no", f"so {spelled} no"),):
        counts = []
        for text in (clean, dirty):
            ids = renderer.prompt((Message("user", text), Message("assistant", "42."), Message("user", text)))
            counts.append(sum(int(i) in control for i in ids))
        assert counts[0] == counts[1]


def test_thoughts_are_tokens_of_their_own_in_answers_alone():
    renderer = renderer_of("Qwen3")
    think = renderer.tokenizer.convert_tokens_to_ids("<think>")
    item = renderer.demonstration(record_of(THOUGHTS))
    trained = item.responses[0].ids[item.responses[0].trained]
    assert (trained == think).sum() == 1
    asked = renderer.prompt((Message("user", "what does <think> mean?"),))
    assert (asked == think).sum() == 0


def test_an_answer_without_its_thought_names_the_prompt_that_opens_one():
    renderer = Renderer(thought_that_the_template_cannot_write(), train_on="last")
    assert renderer.demonstration(record_of(ONE)) is None
    with pytest.raises(UserError, match="opens '<think>', which the answer never closes") as error:
        renderer.lint([])
    assert "train_on" not in str(error.value)
    pair = Ranking.pair(
        Prompt.user("Where?"), "<think>\nWings.\n</think>\n\nIn a tree.", "Wings.\n</think>\n\nNo."
    )
    item = renderer.preference(pair)
    assert text_of(renderer, item.prompt).endswith("<think>\n")
    assert text_of(renderer, item.responses[0].ids).startswith("Wings.\n</think>")
    # What a model wrote, finished or not, is scored as it wrote it.
    for text, finished in (("Wings.\n</think>\n\nNo.", True), ("Wings", False), ("No.", True)):
        ids = renderer.response_ids(pair.prompt.messages, Response(text, finished))
        assert text_of(renderer, ids) == text + "<｜end▁of▁sentence｜>" * finished


def test_a_thought_of_its_own_stands_where_the_template_or_the_prompt_has_it():
    answer = Response("In a tree.", metadata={"message": {"reasoning_content": "Wings, in a tree."}})
    record = Demonstration(Prompt.user("Where?"), answer)
    for shape, expected in (
        ("Qwen3", "<think>\nWings, in a tree.\n</think>\n\nIn a tree.<|im_end|>"),
        ("DeepSeek-R1", "Wings, in a tree.\n</think>\n\nIn a tree.<｜end▁of▁sentence｜>"),
        (
            "gpt-oss",
            "<|channel|>analysis<|message|>Wings, in a tree.<|end|>"
            "<|start|>assistant<|channel|>final<|message|>In a tree.<|return|>",
        ),
        ("Llama 3", "In a tree.<|eot_id|>"),
    ):
        renderer = Renderer(renderer_of(shape).tokenizer)
        (item,) = renderer.demonstrations(record)
        assert runs(renderer, item) == [expected]
        thinking = "records with thinking (reasoning_content) of assistant turns"
        unwritten = f"{thinking}, which the chat template does not write"
        assert renderer.counts[unwritten] == (shape == "Llama 3")


@pytest.mark.parametrize(
    "shape", ["SmolLM2", "Qwen3", "gpt-oss", "Llama 3", "Mistral v0.3", "ChatML without generation prompt"]
)
def test_a_conversation_that_the_assistant_begins(shape):
    renderer = renderer_of(shape)
    items = renderer.demonstrations(record_of((("assistant", "An owl."), *ONE)))
    trained = "".join(text for item in items for text in runs(renderer, item))
    assert trained.count("An owl.") == trained.count("In a tree.") == 1
    assert "Where" not in trained and "user" not in trained and "INST" not in trained


def test_a_template_that_refuses_such_a_beginning_drops_and_counts_it():
    renderer = renderer_of("Gemma")
    assert renderer.demonstrations(record_of((("assistant", "An owl."), *ONE))) == []
    assert renderer.counts["dropped: the chat template refuses it (roles must alternate)"] == 1


def test_turns_that_are_marked_as_not_trained_are_context():
    for shape in ("Llama 3", "Qwen3", "gpt-oss"):
        renderer = renderer_of(shape)
        turns = (
            Message("user", "Where?"),
            Message("assistant", "so no", trained=False),
            Message("user", "Where?"),
        )
        (item,) = renderer.demonstrations(Demonstration(Prompt(turns), Response("In a tree.")))
        assert "so no" in text_of(renderer, item.prompt)
        assert item.trained_tokens == len(item.responses[0].ids)


def test_no_answer_is_trained_where_only_the_next_speaker_ends_it():
    tokenizer = make(
        ["<eos>", "<|user|>", "<|assistant|>"],
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        eos_token="<eos>",
    )
    with pytest.raises(UserError, match=r"no control token \(only '<\|user\|>', where the next turn begins"):
        Renderer(tokenizer)


# -- a beginning twice, names, dates ----------------------------------------------------------------


def test_one_beginning_at_the_start_is_legal_and_two_are_not():
    for shape in ("SmolLM2", "Granite", "OLMo"):
        assert renderer_of(shape).demonstration(record_of(THREE)) is not None
    tokenizer = headers_and_trimmed_contents()
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    with pytest.raises(UserError, match=r"begins with '<\|begin_of_text\|>' more than once"):
        Renderer(tokenizer).prompt((Message("user", "hello"),))


def named(**templates: str):
    tokenizer = make(["<eos>"], None, eos_token="<eos>")
    tokenizer.chat_template = templates
    return tokenizer


CHAT = (
    "{% for m in messages %}{{ m.role }}:{{ m.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def test_several_named_templates_are_told_and_chosen_from():
    tokenizer = named(rag="R " + CHAT, tool_use="T " + CHAT)
    with pytest.raises(UserError, match=r"several chat templates \(rag, tool_use\)") as error:
        Renderer(tokenizer)
    assert "policy.chat_template=rag" in str(error.value)
    with pytest.raises(UserError, match="no chat template 'rga'"):
        choose_template(tokenizer, "rga")
    choose_template(tokenizer, "rag")
    renderer = Renderer(tokenizer)
    assert text_of(renderer, renderer.prompt((Message("user", "x"),))).startswith("R user:x")
    with pytest.raises(UserError, match="one chat template"):
        choose_template(tokenizer, "rag")


def test_a_default_among_named_templates_is_used():
    renderer = Renderer(named(default=CHAT, rag="R " + CHAT))
    assert text_of(renderer, renderer.prompt((Message("user", "x"),))).startswith("user:x")


def test_the_date_that_a_template_writes_is_the_one_that_was_pinned():
    source = "{{ strftime_now('%d %b %Y') if strftime_now is defined else 'never' }} " + CHAT
    tokenizer = make(["<eos>"], source, eos_token="<eos>")
    turns = (Message("user", "x"),)
    with pin_day(date(2024, 7, 6)):
        template = ChatTemplate(tokenizer)
        again = ChatTemplate(tokenizer)
    assert template.text(turns) == again.text(turns) == "06 Jul 2024 user:x<eos>"
    assert template.dates == {"%d %b %Y": "06 Jul 2024"}
    assert ChatTemplate(tokenizer).text(turns) == f"{date.today():%d %b %Y} user:x<eos>"
    assert not ChatTemplate(make(["<eos>"], CHAT, eos_token="<eos>")).dates
