"""Parses conversations in one text with a template's markers around the turns.

``<|im_start|>user …``, ``[INST] … [/INST]``, ``### Human: …``, ``USER: … ASSISTANT: …`` and similar. The text must
begin with a marker (or an introduction before the first one), and user and assistant must alternate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from plaudit.data.readers.coerce import ROLE_NAMES
from plaudit.data.records import Message

MORE_ROLES = {
    "instruction": "user",
    "question": "user",
    "response": "assistant",
    "answer": "assistant",
    "chatgpt": "assistant",
    "start": "system",
}
# Tokens that templates write at the beginning and end of a text.
EDGES = re.compile(
    r"^(?:\s|<s>|<bos>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>|\[gMASK\]|<sop>)+"
    r"|(?:\s|</s>|<eos>|<\|endoftext\|>|<\|end_of_text\|>|<｜end▁of▁sentence｜>)+$"
)
# Tokens that templates write at the end of an answer.
ENDS = re.compile(
    r"(?:\s*(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>|</s>|<eos>|<\|endoftext\|>|<\|end_of_text\|>"
    r"|<｜end▁of▁sentence｜>|<\|eom_id\|>|<\|return\|>|<\|END_OF_TURN_TOKEN\|>|<\|eos\|>))+\s*$"
)
# The beginning of a text that a template with control tokens wrote.
CONTROL = re.compile(r"\s*(?:<s>)?\s*(?:<\|[A-Za-z_]+\|>|<start_of_turn>|\[INST\]|<｜[^｜]+｜>)")


@dataclass(frozen=True)
class Family:
    """A format of turn markers: ``turn`` matches a marker and its role, ``end`` what closes a turn.

    ``introduced``: text before the first marker is a system turn.
    """

    turn: re.Pattern[str]
    end: re.Pattern[str]
    introduced: bool = False


def _family(turn: str, end: str = r"$^", introduced: bool = False) -> Family:
    return Family(re.compile(turn), re.compile(end), introduced)


FAMILIES: tuple[Family, ...] = (
    _family(
        r"<\|start\|>(?P<role>system|developer|user|assistant)(?:<\|channel\|>\w+)?<\|message\|>",
        r"(?:<\|end\|>|<\|return\|>)\s*$",
    ),
    _family(r"<\|im_start\|>[ ]*(?P<role>\w+)(?:\s*\n|\s|$)", r"<\|im_end\|>\s*$"),
    _family(
        r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\s*",
        r"(?:<\|eot_id\|>|<\|eom_id\|>)\s*$",
    ),
    _family(r"<start_of_turn>(?P<role>\w+)(?:\s*\n|\s|$)", r"<end_of_turn>\s*$"),
    _family(
        r"<\|start_of_role\|>(?P<role>\w+)<\|end_of_role\|>",
        r"<\|end_of_text\|>\s*$",
    ),
    _family(
        r"<\|START_OF_TURN_TOKEN\|><\|(?P<role>USER|CHATBOT|SYSTEM)_TOKEN\|>",
        r"<\|END_OF_TURN_TOKEN\|>\s*$",
    ),
    _family(r"<｜(?P<role>User|Assistant)｜>", r"<｜end▁of▁sentence｜>\s*$", introduced=True),
    _family(
        r"<\|(?P<role>system|user|assistant|prompter|model|bot|human)\|>\s*",
        r"(?:<\|end\|>|</s>|<\|endoftext\|>)\s*$",
    ),
    _family(r"\[\|(?P<role>Human|AI)\|\]\s*", introduced=True),
    _family(r"(?:^|\n)\s*<(?P<role>human|user|bot|assistant|system)>:\s*"),
    _family(
        r"(?:^|\n|(?<=[^\n#\s]))[ \t]*#{2,3}\s*(?P<role>Human|User|Assistant|System|Instruction|Response|Input"
        r"|Question|Answer|ChatGPT|Prompter)\s*:\s*",
        r"</s>\s*$",
        introduced=True,
    ),
    _family(r"(?:^|\s|</s>)(?P<role>USER|ASSISTANT|SYSTEM):\s*", r"</s>\s*$", introduced=True),
)
LLAMA = re.compile(r"\[INST\](?P<user>.*?)\[/INST\](?P<assistant>.*?)(?=(?:<s>\s*)?\[INST\]|$)", re.DOTALL)
LLAMA_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>(.*)", re.DOTALL)
PLAIN = re.compile(r"\s*(?:Human|User|System|Assistant):")


def family_of(text: str) -> str | None:
    """The first marker of a text that is a conversation, or None."""
    found = _parsed(text)
    return found[0] if found else None


def turns_of(text: str) -> list[Message] | None:
    """The turns of a text with markers, without an empty last turn; None if it is not a conversation."""
    found = _parsed(text)
    return found[1] if found else None


def without_end(text: str) -> str:
    """An answer without the tokens with which a template closes it."""
    return ENDS.sub("", text)


def _parsed(text: str) -> tuple[str, list[Message]] | None:
    bare = EDGES.sub("", EDGES.sub("", text))
    if bare.startswith("[INST]"):
        turns = _llama(bare)
        return ("[INST]", turns) if turns else None
    for family in FAMILIES:
        turns = _turns(bare, family)
        mark = family.turn.search(bare)
        if turns and mark:
            return mark[0].strip(), turns
    return None


def _turns(text: str, family: Family) -> list[Message] | None:
    marks = list(family.turn.finditer(text))
    if not marks:
        return None
    before = text[: marks[0].start()].strip()
    if before and not (family.introduced and len(before) < 2000):
        return None
    # Text before the first marker is an introduction only if there is also an assistant turn.
    if before and not any(_role(m["role"]) == "assistant" for m in marks):
        return None
    turns = [Message("system", before)] if before else []
    for mark, end in zip(marks, [*(m.start() for m in marks[1:]), len(text)]):
        name = mark["role"].lower()
        content = family.end.sub("", text[mark.end() : end]).strip()
        if name == "input" and turns and turns[-1].role == "user":
            turns[-1] = Message("user", f"{turns[-1].content}\n\n{content}".strip())
            continue
        role = _role(name)
        if role is None:
            return None
        turns.append(Message(role, content))  # type: ignore[arg-type]
    return _alternating(turns)


def _role(name: str) -> str | None:
    return ROLE_NAMES.get(name.lower()) or MORE_ROLES.get(name.lower())


def _llama(text: str) -> list[Message] | None:
    turns: list[Message] = []
    for found in LLAMA.finditer(text):
        asked = found["user"]
        if system := LLAMA_SYSTEM.match(asked):
            turns.append(Message("system", system[1].strip()))
            asked = system[2]
        answer = re.sub(r"\s*</s>\s*(?:<s>)?\s*$", "", found["assistant"])
        turns += [Message("user", asked.strip()), Message("assistant", answer.strip())]
    return _alternating(turns)


def _alternating(turns: list[Message]) -> list[Message] | None:
    """The turns without an empty last one, if user and assistant alternate and the user begins; else None."""
    turns = [t for t in turns if t.role != "system" or t.content]
    if turns and not turns[-1].content:
        turns = turns[:-1]
    said = [t for t in turns if t.role != "system"]
    right = all(t.role == ("user", "assistant")[i % 2] and t.content for i, t in enumerate(said))
    return turns if said and right and all(t.role != "system" for t in turns[1:]) else None
