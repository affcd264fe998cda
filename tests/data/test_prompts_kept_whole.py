"""No text of a conversation is lost or doubled: parts of a prompt, marked texts, printed lists, tables, trees."""

from __future__ import annotations

import csv
import json

import pytest

from plaudit.data.readers.read import read, scan
from plaudit.data.readers.transcripts import turns_of
from plaudit.data.records import Demonstration, Message, Ranking
from plaudit.errors import UserError

ASK = "What is two plus two?"
USER, SAY = Message("user", ASK), "The sum is four."
BRIEF = Message("system", "Be brief.")
EARLIER = (Message("user", "Hi"), Message("assistant", "Hello"))
MORE = (*EARLIER, Message("user", "More"))

# A row, the turns of its prompt, and its answer.
WHOLE = {
    "a passage after an instruction": (
        {"instruction": "Sum up.", "context": "A passage.", "response": SAY},
        (Message("user", "Sum up.\n\nA passage."),),
    ),
    "a passage before a question": (
        {"question": ASK, "context": "A passage.", "answer": SAY},
        (Message("user", f"A passage.\n\n{ASK}"),),
    ),
    "passages": (
        {"query": ASK, "passages": ["One.", "Two."], "answer": SAY},
        (Message("user", f"One.\n\nTwo.\n\n{ASK}"),),
    ),
    "a passage beside messages": (
        {"prompt": [m.as_dict() for m in (BRIEF, USER)], "document": "A passage.", "completion": SAY},
        (BRIEF, Message("user", f"A passage.\n\n{ASK}")),
    ),
    "a passage beside a message in parts": (
        {
            "prompt": [{"role": "user", "content": [{"type": "text", "text": ASK}]}],
            "context": "A passage.",
            "response": SAY,
        },
        (Message("user", f"A passage.\n\n{ASK}"),),
    ),
    "one message as an object": (
        {"prompt": USER.as_dict(), "response": {"role": "assistant", "content": SAY}},
        (USER,),
    ),
    "a system message in parts": (
        {"system": [{"type": "text", "text": "Be brief."}], "prompt": ASK, "response": SAY},
        (BRIEF, USER),
    ),
    "messages of role and text": (
        {"messages": [{"role": "user", "text": ASK}, {"role": "assistant", "text": SAY}]},
        (USER,),
    ),
    "a blank system, a blank input and no images": (
        {"system": " ", "instruction": ASK, "input": " ", "images": [], "output": SAY},
        (USER,),
    ),
    "an empty list of replies": ({"prompt": ASK, "response": SAY, "replies": []}, (USER,)),
    "a passage that the prompt already holds": (
        {"prompt": f"A passage. {ASK}", "context": "A passage.", "response": SAY},
        (Message("user", f"A passage. {ASK}"),),
    ),
    "no passage": ({"instruction": ASK, "context": "", "response": SAY}, (USER,)),
    "an input below any prompt": (
        {"prompt": "Translate:", "input": "Guten Tag", "output": SAY},
        (Message("user", "Translate:\n\nGuten Tag"),),
    ),
    "an instruction above a question": (
        {"instruction": "Answer in a sentence.", "question": ASK, "answer": SAY},
        (Message("user", f"Answer in a sentence.\n\n{ASK}"),),
    ),
    "earlier turns in pairs": (
        {"instruction": "More", "input": "", "output": SAY, "history": [["Hi", "Hello"]]},
        MORE,
    ),
    "earlier turns as messages": (
        {"prompt": "More", "response": SAY, "history": [m.as_dict() for m in EARLIER]},
        MORE,
    ),
    "a system message under another name": (
        {"system_message": "Be brief.", "prompt": ASK, "response": SAY},
        (BRIEF, USER),
    ),
    "input and target": ({"input": ASK, "target": SAY}, (USER,)),
    "a problem and its reply": ({"problem": ASK, "reply": SAY}, (USER,)),
    "user and assistant": ({"user": ASK, "assistant": SAY}, (USER,)),
    "a dialogue": (
        {"dialogue": [USER.as_dict(), {"role": "assistant", "content": SAY}]},
        (USER,),
    ),
    "texts that take turns": ({"conversations": [ASK, SAY]}, (USER,)),
    "objects of a question and its answer": ({"conversation": [{"input": ASK, "output": SAY}]}, (USER,)),
    "a context that is all there is": ({"context": ASK, "response": SAY}, (USER,)),
    "a transcript": ({"transcript": f"Human: {ASK}\n\nAssistant: {SAY}"}, (USER,)),
    "messages beside their source": (
        {
            "problem": ASK,
            "solution": "2 + 2 = 4",
            "answer": "4",
            "messages": [USER.as_dict(), {"role": "assistant", "content": SAY}],
        },
        (USER,),
    ),
    "messages as JSON text": (
        {"messages": json.dumps([USER.as_dict(), {"role": "assistant", "content": SAY}], indent=1)},
        (USER,),
    ),
    "messages as Python prints them": (
        {"messages": str([USER.as_dict(), {"role": "assistant", "content": SAY}])},
        (USER,),
    ),
    "one message as JSON text": (
        {
            "prompt": json.dumps(USER.as_dict()),
            "completion": json.dumps([{"role": "assistant", "content": SAY}]),
        },
        (USER,),
    ),
    "a prompt repeated before its answer": ({"prompt": ASK, "response": f"{ASK} {SAY}"}, (USER,)),
    "messages repeated before their answer": (
        {"prompt": [USER.as_dict()], "completion": [USER.as_dict(), {"role": "assistant", "content": SAY}]},
        (USER,),
    ),
    "an article and its summary": (
        {"instruction": "Sum up.", "article": "Long.", "summary": SAY},
        (Message("user", "Sum up.\n\nLong."),),
    ),
    "messages that close their turns": (
        {"messages": [USER.as_dict(), {"role": "assistant", "content": f"{SAY}</s>"}]},
        (USER,),
    ),
    "an answer that closes its turn": ({"prompt": ASK, "response": f"{SAY}<|im_end|>\n"}, (USER,)),
    "a prompt in ChatML": (
        {
            "prompt": "<|im_start|>system\nBe brief.<|im_end|>\n"
            f"<|im_start|>user\n{ASK}<|im_end|>\n<|im_start|>assistant\n",
            "response": f"{SAY}<|im_end|>",
        },
        (BRIEF, USER),
    ),
    "a prompt in [INST]": ({"prompt": f"<s>[INST] {ASK} [/INST]", "completion": f" {SAY}</s>"}, (USER,)),
    "a prompt for Human and Assistant": (
        {"prompt": f"Human: Hi\n\nAssistant: Hello\n\nHuman: {ASK}\n\nAssistant:", "response": SAY},
        (*EARLIER, USER),
    ),
    "a prompt of Alpaca's": (
        {"prompt": f"Be brief.\n\n### Instruction:\n{ASK}\n\n### Response:\n", "output": SAY},
        (BRIEF, USER),
    ),
    "a prompt that holds its answer": (
        {"prompt": f"<|user|>\n{ASK}<|end|>\n<|assistant|>\n{SAY}<|end|>"},
        (USER,),
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_every_part_of_a_prompt_is_in_it_once(jsonl, case):
    row, turns = WHOLE[case]
    records = read(jsonl(row, row)).records
    assert [(type(r), r.prompt.messages, r.response.text) for r in records] == [
        (Demonstration, turns, SAY)
    ] * 2
    used = {c for c in row if c in records[0].prompt.metadata}
    # What is no part of the prompt stays known as what it was.
    assert used <= (
        {"context"} if "context" in row else {"problem", "solution", "answer", "images", "replies"}
    )


SPOKEN = {
    "guanaco": f"### Human: {ASK}### Assistant: {SAY}",
    "guanaco on lines": f"### Human: {ASK}\n### Assistant: {SAY}",
    "ChatML": f"<|im_start|>user\n{ASK}<|im_end|>\n<|im_start|>assistant\n{SAY}<|im_end|>\n",
    "Llama 2": f"<s>[INST] {ASK} [/INST] {SAY} </s>",
    "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
    f"{ASK}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{SAY}<|eot_id|>",
    "Gemma": f"<bos><start_of_turn>user\n{ASK}<end_of_turn>\n<start_of_turn>model\n{SAY}<end_of_turn>\n",
    "Phi": f"<|user|>\n{ASK}<|end|>\n<|assistant|>\n{SAY}<|end|>\n<|endoftext|>",
    "Zephyr": f"<|user|>\n{ASK}</s>\n<|assistant|>\n{SAY}</s>",
    "Granite": "<|start_of_role|>user<|end_of_role|>"
    f"{ASK}<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>{SAY}<|end_of_text|>",
    "Cohere": "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>"
    f"{ASK}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{SAY}<|END_OF_TURN_TOKEN|>",
    "DeepSeek": f"<｜begin▁of▁sentence｜><｜User｜>{ASK}<｜Assistant｜>{SAY}<｜end▁of▁sentence｜>",
    "Baize": f"[|Human|] {ASK}\n[|AI|] {SAY}\n[|Human|] ",
    "OIG": f"<human>: {ASK}\n<bot>: {SAY}",
    "HH": f"\n\nHuman: {ASK}\n\nAssistant: {SAY}",
    "Alpaca": f"### Instruction:\n{ASK}\n\n### Response:\n{SAY}",
}


@pytest.mark.parametrize("case", SPOKEN)
def test_a_text_with_the_marks_of_turns_is_a_conversation(jsonl, case):
    path = jsonl({"text": SPOKEN[case]}, {"text": SPOKEN[case]})
    result = read(path)
    assert [(r.prompt.messages, r.response.text) for r in result.records] == [((USER,), SAY)] * 2
    assert "is read as conversations" in result.report.notes[0]
    assert read(path, kind="text").records == [SPOKEN[case].strip()] * 2
    assert [p.messages for p in read(path, kind="prompts").records] == [(USER,)] * 2


def test_turns_of_a_marked_text_alternate_and_keep_their_order():
    text = f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] {ASK} [/INST]"
    assert turns_of(text) == [BRIEF, *EARLIER, USER]
    assert turns_of(f"A chat. USER: Hi ASSISTANT: Hello</s>USER: {ASK} ASSISTANT:") == [
        Message("system", "A chat."),
        *EARLIER,
        USER,
    ]
    for text in ("What does <|im_start|> mean?", "He said: USER: no", "### Plan\n\n1. Go", "[INST] open"):
        assert turns_of(text) is None


def test_marks_in_what_people_ask_stay_text(jsonl):
    asked = "What does <|im_start|>user mean in [INST] templates?"
    (record,) = read(jsonl({"prompt": asked, "response": SAY})).records
    assert record.prompt.text == asked


def test_a_story_that_quotes_a_turn_is_no_conversation(jsonl):
    texts = ["A tale. Human: he said.", "Another one."]
    assert read(jsonl(*({"text": t} for t in texts))).records == texts


SIDES = [("correct_answer", "incorrect_answer"), ("helpful_reply", "unhelpful_reply"),
         ("win", "lose"), ("y_w", "y_l"), ("better", "worse"), ("good_response", "bad_response"),
         ("preferred_response", "dispreferred_response"), ("positive", "negative"), ("winner", "loser")]  # fmt: skip


@pytest.mark.parametrize("better, worse", SIDES)
def test_a_better_and_a_worse_text_are_a_pair(jsonl, better, worse):
    path = jsonl({"prompt": ASK, better: SAY, worse: "No idea."})
    assert [(r.responses[0].text, r.groups) for r in read(path).records] == [(SAY, ((0,), (1,)))]
    turned = jsonl({"prompt": ASK, worse: SAY, better: "No idea."})
    assert read(turned).records[0].responses[0].text == "No idea."


def test_prompts_repeated_in_both_answers_of_a_pair_are_taken_off(jsonl):
    (pair,) = read(jsonl({"prompt": ASK, "chosen": f"{ASK}\n{SAY}", "rejected": f"{ASK}\nNo."})).records
    assert isinstance(pair, Ranking)
    assert [r.text for r in pair.responses] == [SAY, "No."]


def test_an_answer_that_happens_to_begin_with_its_prompt_is_left_alone(jsonl):
    rows = [{"prompt": f"Say word {i}", "response": SAY} for i in range(9)]
    rows.append({"prompt": "Say hello there", "response": "Say hello there, friend."})
    assert read(jsonl(*rows)).records[-1].response.text == "Say hello there, friend."


REFUSED = {
    "choices": ({"question": ASK, "choices": ["3", "4"], "answer": "4"}, "choices", "into the prompt"),
    "a picture": ({"question": ASK, "image": "x.png", "answer": SAY}, "image", "ignore=image"),
    "a passage that is no text": (
        {"question": ASK, "context": {"title": ["x"]}, "answer": SAY},
        "context",
        "ignore=context",
    ),
    "two answers": ({"question": ASK, "answer": "4", "solution": SAY}, "answer", "response=solution"),
    "two prompts": ({"prompt": "Do it.", "question": ASK, "response": SAY}, "prompt", "prompt=question"),
    "a list that numpy printed": (
        {"messages": "[{'role': 'user', 'content': 'a'}\n {'role': 'assistant', 'content': 'b'}]"},
        "messages",
        "JSON lines or Parquet",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_lost_is_refused_with_the_option_that_settles_it(jsonl, case):
    row, column, remedy = REFUSED[case]
    with pytest.raises(UserError) as caught:
        read(jsonl(row, row))
    (problem,) = caught.value.problems
    assert problem.field == column
    assert remedy in (problem.remedy or "")


def test_what_is_refused_can_be_settled(jsonl):
    shown = jsonl({"question": f"{ASK} 3 or 4?", "choices": ["3", "4"], "answer": "4"})
    assert len(read(shown).records) == 1
    path = jsonl({"question": ASK, "choices": ["3", "4"], "answer": "4"})
    assert read(path, fields={"ignore": "choices"}).records[0].prompt.metadata == {"choices": ["3", "4"]}
    two = jsonl({"question": ASK, "answer": "4", "solution": SAY})
    (record,) = read(two, fields={"response": "solution"}).records
    assert (record.response.text, record.prompt.metadata) == (SAY, {"answer": "4"})


def test_a_file_where_some_prompts_are_templated_is_refused(jsonl):
    plain = [{"prompt": ASK, "response": SAY}] * 3
    with pytest.raises(
        UserError, match="1 of the first 4 texts of 'prompt' were rendered with a chat template"
    ):
        read(jsonl(*plain, {"prompt": f"<|im_start|>user\n{ASK}<|im_end|>", "response": SAY}))


TABLES = {
    "columns": {"prompt": [ASK, "And?"], "response": [SAY, "Well."]},
    "pandas": {"prompt": {"0": ASK, "1": "And?"}, "response": {"0": SAY, "1": "Well."}},
    "split": {"columns": ["prompt", "response"], "index": [0, 1], "data": [[ASK, SAY], ["And?", "Well."]]},
}


@pytest.mark.parametrize("form", TABLES)
def test_a_table_saved_by_columns_is_read_by_rows(tmp_path, form):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(TABLES[form]))
    assert [(r.prompt.text, r.response.text) for r in read(path).records] == [(ASK, SAY), ("And?", "Well.")]


def test_a_row_of_lists_is_no_table(jsonl):
    (pair,) = read(
        jsonl(
            {
                "chosen": [USER.as_dict(), {"role": "assistant", "content": SAY}],
                "rejected": [USER.as_dict(), {"role": "assistant", "content": "No."}],
            }
        )
    ).records
    assert isinstance(pair, Ranking)


def test_printed_lists_of_a_csv_file_are_read(tmp_path):
    path = tmp_path / "chat.csv"
    talk = [USER.as_dict(), {"role": "assistant", "content": "It's four."}]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["messages", "thumb"], [str(talk), "👍"], [json.dumps(talk), "👎"]])
    assert [(r.response.text, r.good) for r in read(path).records] == [
        ("It's four.", True),
        ("It's four.", False),
    ]


TREE = {
    "message_id": "m",
    "text": ASK,
    "role": "prompter",
    "replies": [
        {"text": "Five.", "role": "assistant", "rank": 1, "replies": []},
        {
            "text": SAY,
            "role": "assistant",
            "rank": 0,
            "replies": [
                {
                    "text": "Sure?",
                    "role": "prompter",
                    "replies": [{"text": "Yes.", "role": "assistant", "rank": None, "replies": []}],
                }
            ],
        },
        {"text": "Gone.", "role": "assistant", "rank": 2, "deleted": True, "replies": []},
    ],
}


def flat(node, parent=None, key="0"):
    yield {"message_id": key, "parent_id": parent, **{k: v for k, v in node.items() if k != "replies"}} | {
        "message_id": key
    }
    for i, reply in enumerate(node["replies"]):
        yield from flat(reply, key, f"{key}.{i}")


@pytest.mark.parametrize("form", ["whole trees", "trees under a prompt", "a row a message"])
def test_a_tree_is_read_in_any_form(jsonl, form):
    forms = {
        "whole trees": [TREE],
        "trees under a prompt": [{"message_tree_id": "m", "prompt": TREE}],
        "a row a message": [*flat(TREE)][::-1],
    }
    path = jsonl(*forms[form])
    (ranking,) = read(path, kind="preferences", max_dropped=1).records
    by_text = {ranking.responses[i].text: place for place, group in enumerate(ranking.groups) for i in group}
    assert (ranking.prompt.messages, by_text) == ((USER,), {SAY: 0, "Five.": 1})
    best = read(path, kind="demonstrations", max_dropped=1).records
    assert [(d.prompt.messages, d.response.text) for d in best] == [
        ((USER,), SAY),
        ((USER, Message("assistant", SAY), Message("user", "Sure?")), "Yes."),
    ]


def test_messages_that_answer_nobody_in_the_file_are_dropped_and_counted(jsonl):
    rows = [*flat(TREE), {"message_id": "x", "parent_id": "lost", "text": "Hm.", "role": "assistant"}]
    report = read(jsonl(*rows), max_dropped=1).report
    assert report.dropped == {"deleted": 1, "no parent": 1}


def test_one_text_among_conversations_is_a_faulty_row(jsonl):
    good = [{"text": SPOKEN["guanaco"]}] * 30
    result = read(jsonl(*good[:3], {"text": "No marks at all."}, *good))
    assert (result.report.kept, result.report.dropped) == (33, {"no conversation": 1})


def test_a_passage_that_is_no_text_in_a_later_row_is_not_lost_in_silence(jsonl):
    good = [{"question": ASK, "context": f"Passage {i}.", "answer": SAY} for i in range(120)]
    result = read(jsonl(*good, {"question": ASK, "context": {"title": "x"}, "answer": SAY}))
    assert result.report.dropped == {"wrong type": 1}


def test_messages_that_end_before_the_answers_column_are_its_prompt(jsonl):
    row = {"messages": [BRIEF.as_dict(), USER.as_dict()], "response": SAY}
    (record,) = read(jsonl(row), kind="demonstrations").records
    assert record.prompt.messages == (BRIEF, USER) and record.response.text == SAY
    (prompt,) = read(jsonl(row), kind="prompts").records
    assert prompt.messages == (BRIEF, USER) and prompt.metadata["response"] == SAY


@pytest.mark.parametrize(
    "asked, answer", [("document", "summary"), ("article", "highlights"), ("text", "target")]
)
def test_a_text_and_what_was_made_of_it_are_no_raw_text(jsonl, asked, answer):
    (record,) = read(jsonl({asked: "A long story.", answer: SAY})).records
    assert (record.prompt.messages[0].content, record.response.text) == ("A long story.", SAY)
    assert read(jsonl({"text": "A long story.", "label": 1})).records == ["A long story."]


def test_choices_in_columns_of_letters_are_asked_about(jsonl):
    row = {"question": "Which?", "A": "one", "B": "two", "C": "three", "answer": "B"}
    with pytest.raises(UserError, match="ignore=a\\+b\\+c"):
        read(jsonl(row))
    shown = {**row, "question": "Which? A one B two C three"}
    assert len(read(jsonl(shown)).records) == 1


def test_a_poorer_shape_names_the_option_that_makes_it_richer(jsonl):
    path = jsonl({"question": "Which?", "gpt4_says": "one", "old_says": "two"})
    with pytest.raises(UserError, match=r"--fields chosen=COLUMN,rejected=COLUMN .of gpt4_says, old_says"):
        read(path, kind="preferences")
    with pytest.raises(UserError, match="--fields response=COLUMN"):
        read(path, kind="demonstrations")


def test_a_misspelled_context_beside_a_choice_of_nothing_is_no_crash(jsonl):
    with pytest.raises(UserError):
        read(
            jsonl({"context": "Which?", "helpful_respons": "one", "unhelpful_response": "two"}),
            kind="preferences",
        )


@pytest.mark.parametrize("text", [f"{ASK} {SAY}", f"### Human: {ASK}\n### Assistant: {SAY}"])
def test_a_text_that_holds_the_answer_beside_it_is_not_its_prompt(jsonl, text):
    assert read(jsonl({"text": text, "output": SAY})).records == [text]


LATE = {
    "a passage": ({"context": ""}, {"context": "Tea is hot."}, "belongs to the prompt"),
    "an input below a question": ({}, {"input": "Tea is hot."}, "belongs to the prompt"),
    "earlier turns": ({"history": []}, {"history": [["Hi.", "Hello."]]}, "belongs to the prompt"),
    "a system turn": ({"system_prompt": None}, {"system_message": "Be brief."}, "is the system turn"),
    "pictures": ({}, {"images": ["a.png"]}, "images or sounds"),
    "choices": ({"choices": None}, {"choices": ["hot", "cold"]}, "the choices of a question"),
    "lettered choices": ({}, {"a": "hot", "b": "cold", "c": "mild"}, "the choices of a question"),
    "another case": ({}, {"Prompt": "Other?"}, "equal but for case"),
}


@pytest.mark.parametrize("case", LATE)
@pytest.mark.parametrize("kind", [None, "prompts"])
def test_a_part_of_the_prompt_that_begins_far_into_the_file_stops_it(jsonl, case, kind):
    first, late, message = LATE[case]
    row = {"prompt": "Ask?", "response": "Yes."}
    path = jsonl(*[row | first] * 110, *[row | first | late] * 3, row)
    (problem,) = scan(path, kind=kind).report.unreadable
    assert problem.line == 111
    assert message in problem.message
    if first.keys() == late.keys():
        assert f"--fields ignore={'+'.join(late)}" in (problem.remedy or "")
        assert len(read(path, kind=kind, fields={"ignore": "+".join(late)}).records) == 114
    else:
        assert "--fields ignore" not in (problem.remedy or "")


def test_what_begins_late_and_needs_no_preparation_is_read(jsonl):
    row = {"instruction": "Add.", "output": "3"}
    more = [row | {"input": "1 + 2"}, row | {"context": "Add."}, row | {"seen": 4}]
    result = read(jsonl(*[row] * 110, *more))
    assert [r.prompt.text for r in result.records[110:]] == ["Add.\n\n1 + 2", "Add.", "Add."]
    assert result.report.unused == ("context", "seen")


def test_templates_that_begin_far_into_the_file_stop_it_unless_they_are_few(jsonl):
    plain = {"prompt": "Ask?", "response": "Yes."}
    marked = {
        "prompt": "<|im_start|>user\nAsk?<|im_end|>\n<|im_start|>assistant\n",
        "response": "Yes.<|im_end|>",
    }
    problems = scan(jsonl(*[plain] * 110, *[marked] * 30)).report.unreadable
    assert [(p.line, p.field) for p in problems] == [(111, "prompt"), (111, "response")]
    assert len(read(jsonl(*[plain] * 140, marked)).records) == 141
    assert len(read(jsonl(*[marked] * 110, *[plain] * 30)).records) == 140


CHAT = [USER.as_dict(), {"role": "assistant", "content": SAY}]
ENDED = [
    ({"messages": CHAT, "chosen": SAY, "rejected": "No."},
     {"messages": CHAT, "chosen": "Four.", "rejected": "No."}, None),
    ({"messages": CHAT, "response_a": "No.", "response_b": SAY, "winner": "b"},
     {"messages": CHAT, "response_a": "No.", "response_b": "Four.", "winner": "b"}, None),
    ({"prompt": CHAT, "response": SAY}, {"prompt": CHAT, "response": "Four."}, None),
    ({"prompt": f"Human: {ASK}\n\nAssistant: {SAY}", "response": SAY},
     {"prompt": f"Human: {ASK}\n\nAssistant: {SAY}", "response": "Four."}, None),
    ({"prompt": CHAT, "answer": "4"}, None, "prompts"),
]  # fmt: skip


@pytest.mark.parametrize("same, other, kind", ENDED)
def test_an_answer_at_the_end_of_a_prompt_is_cut_off_or_refused(jsonl, same, other, kind):
    (record,) = read(jsonl(same), kind=kind).records
    assert (record if kind else record.prompt).messages == (USER,)
    if other:
        with pytest.raises(UserError, match="ends with an answer of the assistant"):
            read(jsonl(other), kind=kind)


def test_a_conversation_with_its_answer_among_prompts_is_told_or_cut(jsonl):
    path = jsonl(*[{"messages": CHAT[:1]}] * 6, *[{"messages": CHAT}] * 2)
    assert dict(read(path, max_dropped=0.5).report.dropped) == {"answered prompt": 2}
    assert [p.messages for p in read(path, kind="prompts").records] == [(USER,)] * 8


PLAIN = ["System: Ubuntu 22.04\nHow do I update it?", "Assistant: noun or verb?", "User: bob\nUser: ann\nWho is it?",
         "User: bob\nSystem: crashed\nWhat happened?", "System: a\nSystem: b\nWhich?",
         "Assistant: Hi\nUser: Ho"]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_lines_that_begin_like_turns_are_not_torn_apart(jsonl, text):
    assert read(jsonl({"prompt": text, "response": SAY})).records[0].prompt.messages == (
        Message("user", text),
    )


ABOUT = [{"instruction": "Sum up.", c: ASK} for c in ("text", "content", "code", "body", "email", "transcript",
         "dialogue", "source_text", "excerpt", "table", "schema", "data", "premise", "inputs", "sentence")]  # fmt: skip


@pytest.mark.parametrize(
    "row", [*ABOUT, {"instruction": "Sum up.", "prompt": ASK}, {"question": "Sum up.", "question_body": ASK}]
)
def test_what_an_instruction_is_about_is_in_the_prompt(jsonl, row):
    rows = [{k: f"{v}{i}" if v == ASK else v for k, v in row.items()} | {"output": SAY} for i in range(3)]
    result = read(jsonl(*rows))
    assert [r.prompt.text for r in result.records] == [f"Sum up.\n\n{ASK}{i}" for i in range(3)]
    assert "is put into the prompt" in result.report.notes[0]
    assert [p.text for p in read(jsonl(*rows), kind="prompts").records] == [
        f"Sum up.\n\n{ASK}{i}" for i in range(3)
    ]


def test_a_text_that_instructions_that_repeat_may_be_about_is_asked_about(jsonl):
    path = jsonl(
        *(
            {"instruction": "Sum up.", "case_story": f"A long piece number {i}.", "output": SAY}
            for i in range(4)
        )
    )
    with pytest.raises(UserError, match="--fields input=case_story puts it into the prompt"):
        read(path)
    assert (
        read(path, fields={"input": "case_story"}).records[0].prompt.text
        == "Sum up.\n\nA long piece number 0."
    )
    assert read(path, fields={"ignore": "case_story"}).records[0].prompt.text == "Sum up."


def test_what_is_no_input_of_an_instruction_is_left_alone(jsonl):
    rows = [
        {"instruction": f"Do {i}.", "output": SAY, "text": f"Below: Do {i}. {SAY}", "code": "The sum"}
        for i in range(3)
    ]
    assert [r.prompt.text for r in read(jsonl(*rows)).records] == ["Do 0.", "Do 1.", "Do 2."]
    asked = [{"instruction": f"Do {i}.", "code": f"x = {i}"} for i in range(3)]
    assert [p.text for p in read(jsonl(*asked)).records] == ["Do 0.", "Do 1.", "Do 2."]


@pytest.mark.parametrize("asked, part, texts", [
    ("Write the plural of the word below.", "input", ["word", "apple", "pen"]),
    ("Add 10 to the number given.", "context", ["55", "1", "10"]),
])  # fmt: skip
def test_a_short_input_whose_letters_are_in_the_prompt_by_chance_is_not_lost(jsonl, asked, part, texts):
    records = read(jsonl(*({"prompt": asked, part: t, "response": SAY} for t in texts))).records
    assert [set(r.prompt.text.split("\n\n")) for r in records] == [{asked, t} for t in texts]


TOOL = {"type": "function", "function": {"name": "w"}}
TOOLS = {
    "an object": {"tools": TOOL},
    "text with a space": {"tools": f" {json.dumps([TOOL])}"},
    "texts in a list": {"tools": [json.dumps(TOOL)]},
    "functions": {"functions": [TOOL]},
}


@pytest.mark.parametrize("form", TOOLS)
def test_tools_in_any_form_are_seen_by_the_model(jsonl, form):
    result = read(jsonl({"messages": CHAT, **TOOLS[form]}))
    assert result.records[0].prompt.messages[0].more == {"tools": [TOOL]} and result.report.unused == ()


@pytest.mark.parametrize("key", ["arguments", "parameters", "input"])
@pytest.mark.parametrize("form", ["tool_calls", "function_call"])
def test_the_arguments_of_a_call_are_kept_under_any_name(jsonl, key, form):
    call = {"name": "w", key: {"city": "Rome"}}
    turn = (
        {"role": "assistant", "tool_calls": [call]}
        if form == "tool_calls"
        else {"from": "function_call", "value": json.dumps(call)}
    )
    talk = [USER.as_dict(), turn, {"role": "tool", "content": "sun"}, {"role": "assistant", "content": SAY}]
    (record,) = read(jsonl({"messages": talk})).records
    (kept,) = record.prompt.messages[1].more["tool_calls"]
    assert kept["function"] == {"name": "w", "arguments": {"city": "Rome"}}
