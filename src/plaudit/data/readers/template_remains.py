"""Finds what does not belong to a text and would be learned with it: remains of chat templates, answers cut short.

Nothing is removed: a text may be about such markers. What is found is noted, with the number of rows and the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.data.readers import transcripts
from plaudit.data.readers.columns import normal
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.readers.text_values import is_blank, is_no_input

# Control tokens with the role of the turn that they begin.
TOKENS = re.compile(
    r"(?:<\|im_start\|>\s*|<\|start_header_id\|>|<start_of_turn>|<\|start_of_role\|>|<\|start\|>|<\|(?:\w+\|><\|)?|<｜)"
    r"(?P<role>user|human|prompter|assistant|model|bot|chatbot)(?:_TOKEN)?"
    r"(?:\|>|｜>|<\|end_\w+\|>|<\|(?:channel|message)\|>|[ \t]*(?:\n|$))"
    r"|\[/?INST\]",
    re.IGNORECASE,
)
# A line that begins a turn of a transcript.
NAMED = re.compile(
    r"^[ \t]*(?:#{2,3}[ \t]*)?(?P<role>Human|User|HUMAN|USER|Assistant|ASSISTANT|(?<=# )(?:Instruction|Response)"
    r"|(?<=#)(?:Instruction|Response))[ \t]*:(?!//)",
    re.MULTILINE,
)
# `Password: …`: in a list of these, `User: …` is one of them.
KEYED = re.compile(r"\s*(?:[-*•][ \t]*)?\w[\w /-]{0,24}:(?:\s|$)")
ASKED = re.compile(
    r"\b(?:dialog(?:ue)?s?|conversations?|chat(?:s|bot)?|transcripts?|interviews?|scripts?|screenplays?|role.?plays?"
    r"|assistants?|templates?|prompts?|turns|skits?|scenes?|messages)\b",
    re.IGNORECASE,
)
USERS = ("user", "human", "prompter", "instruction", "[inst]")
# Keys that say why a model stopped, and what they say where a limit cut the answer.
STOPPED, LIMIT = ("finish_reason", "stop_reason", "finishreason"), ("length", "max_tokens", "max_length")
KINDS = {
    "begin": "an answer begins with {}, the marker of a chat template: remove the marker",
    "end": "an answer ends in {}, a template's end of turn: remove it, the model's own template writes one",
    "on": "an answer runs on into the next turn ({}): cut it there",
    "whole": "an answer is a whole transcript ({}): keep its last answer, and write the other turns into the prompt",
    "prompt": "a prompt holds {}, written by a chat template, and would get a second one: write the turns as messages",
    "blank": "an answer is {}, which programs write into empty cells: remove the row, or fill it in",
    "input": "'input' says that there is none ({}): it is left out of the prompt",
    "cut": "a length limit cut an answer ({}), which would be learned as if it were complete: remove the row",
}


class Remains:
    """Counts the rows with each kind of remains; ``finish`` notes them."""

    def __init__(self) -> None:
        self.found: dict[str, list[Any]] = {}

    def check(self, record: Any, row: DataRow) -> None:
        if isinstance(record, str):
            return
        prompt = getattr(record, "prompt", record)
        one = getattr(record, "response", None)
        answers = [r.text for r in (getattr(record, "responses", ()) if one is None else (one,))]
        answers += [m.content for m in prompt.messages if m.role == "assistant"]
        asked = "\n".join(m.content for m in prompt.messages if m.role == "user")
        self._add(dict(kind for text in answers for kind in _of_answer(text, asked)), row)
        texts = (m.content for m in prompt.messages if m.role in ("user", "system"))
        self._add({"prompt": next(filter(None, map(_of_prompt, texts)), "")}, row)
        if one is not None or answers:
            self._add({"cut": next(_limits(row.values), "")}, row)
        if isinstance(row.values, Mapping):
            values = {normal(k): v for k, v in row.values.items()}
            self._add({"input": repr(values["input"].strip()) if is_no_input(values) else ""}, row)

    def _add(self, kinds: Mapping[str, str], row: DataRow) -> None:
        place = f"line {row.line}" if row.number is None else f"row {row.number}"
        for kind, what in kinds.items():
            if what:
                self.found.setdefault(kind, [0, what, place])[0] += 1

    def finish(self, report: ReadReport) -> None:
        for kind, sentence in KINDS.items():
            if kind in self.found:
                count, what, place = self.found[kind]
                rows = "1 row" if count == 1 else f"{count:,} rows"
                report.note(f"in {rows} (first {place}) {sentence.format(what)}")


def _of_answer(text: str, asked: str) -> Iterator[tuple[str, str]]:
    """The remains in an answer, by kind; words are none where the prompt asks for a dialog or holds them too."""
    if is_blank(text):
        yield "blank", repr(text)
    marks = list(TOKENS.finditer(text)) if "<" in text or "[" in text else []
    # Inside a sentence or in code, a token is what the answer is about.
    marks = [m for m in marks if _is_apart(text[: m.start()]) and m[0] not in asked]
    if not marks and ":" in text and not ASKED.search(asked):
        marks = [m for m in NAMED.finditer(text) if _is_turn(text, m) and m[0].strip() not in asked]
    if marks:
        first, rest = marks[0], [m for m in marks if _is_user(m)]
        begins = not text[: first.start()].strip()
        if begins and _is_user(first) and len(rest) < len(marks):
            yield "whole", repr(first[0].strip())
        elif begins and not _is_user(first):
            yield "begin", repr(first[0].strip())
        if rest and text[: rest[0].start()].strip():
            yield "on", repr(rest[0][0].strip())
    elif text.lstrip()[:1] in ("<", "[") and (control := transcripts.CONTROL.match(text)):
        yield "begin", repr(control[0].strip())
    bare = transcripts.without_end(text)
    # `<s>…</s>` is also HTML.
    if bare != text and not (text.rstrip().endswith("</s>") and "<s>" in bare[1:]):
        yield "end", repr(text[len(bare) :].strip())


def _is_user(mark: re.Match[str]) -> bool:
    return (mark["role"] or mark[0]).lower() in USERS


def _is_apart(before: str) -> bool:
    return before.count("`") % 2 == 0 and before.rstrip(" \t")[-1:] in ("", *"\n.!?>。！？")


def _is_turn(text: str, mark: re.Match[str]) -> bool:
    """Whether a line is a turn: not code, and not one of a list of keys and values."""
    before, after = text[: mark.start()], text[mark.end() :]
    if before.count("```") % 2:
        return False
    above = before.rstrip("\n").rpartition("\n")[2]
    below = after.partition("\n")[2].lstrip("\n").partition("\n")[0]
    apart = before.endswith("\n\n") or not before.strip()
    lines = [below] if apart else [above, below]
    return not any(KEYED.match(line) and not NAMED.match(line) for line in lines)


def _of_prompt(text: str) -> str:
    """What a template wrote at the beginning or end of a prompt, quoted; an empty text if nothing."""
    if "<" not in text and "[" not in text:
        return ""
    control = transcripts.CONTROL.match(text)
    last = TOKENS.search(text, max(0, len(text.rstrip()) - 60))
    ended = text.rstrip()[last.end() :].strip() == "" if last else False
    bare = transcripts.without_end(text)
    html = text.rstrip().endswith("</s>") and "<s>" in bare[1:]
    found = control[0] if control else last[0] if last and ended else "" if html else text[len(bare) :]
    return repr(found.strip()) if found.strip() else ""


def _limits(values: Any, inside: str = "") -> Iterator[str]:
    """Where a row says that a limit cut an answer, other than the worse one of a pair."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if normal(key).startswith("rejected"):
            continue
        if isinstance(value, str) and normal(key).endswith(STOPPED) and value.strip().lower() in LIMIT:
            yield f"'{inside}{key}' is {value!r}"
        for inner in value if isinstance(value, list) else [value]:
            yield from _limits(inner, f"{inside}{key}.")
