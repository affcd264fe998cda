"""Converts rows of public data sets to demonstrations, prompts and texts: one function per set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plaudit.data.readers.coerce import filled_text, whole_text
from plaudit.data.readers.read_report import Fault
from plaudit.data.records import Demonstration, Message, Prompt, Response

Values = Mapping[str, Any]
GSM8K_RESULT = "####"


def user_prompt(text: str, source: str, **metadata: Any) -> Prompt:
    return Prompt.user(filled_text(text, "prompt", "prompt"), source, **metadata)


def answer_of(value: Any, field: str) -> Response:
    return Response(filled_text(value, field, "answer"))


def instructed(instruction: Any, more: Any) -> str:
    parts = (whole_text(instruction, "instruction").strip(), whole_text(more or "", "input").strip())
    return "\n\n".join(part for part in parts if part)


def _dialogue(turns: Sequence[Message], source: str, **metadata: Any) -> Iterator[Demonstration]:
    """A dialogue up to its last assistant turn, which must answer somebody."""
    while turns and turns[-1].role != "assistant":
        turns = turns[:-1]
    if len(turns) < 2:
        raise Fault(
            "no assistant turn", "the dialogue has no assistant turn after another turn", field="turns"
        )
    if any(not m.content for m in turns):
        raise Fault("empty turn", "a turn of the dialogue is empty", field="turns")
    yield Demonstration(Prompt(tuple(turns[:-1]), source, metadata), Response(turns[-1].content))


def gsm8k(row: Values) -> Iterator[Demonstration]:
    """A grade-school problem and its solution, which ends in ``#### result``."""
    solution = answer_of(row["answer"], "answer")
    if GSM8K_RESULT not in solution.text:
        raise Fault("no result", f"the solution does not end in `{GSM8K_RESULT} result`", field="answer")
    yield Demonstration(user_prompt(row["question"], "gsm8k"), solution)


def self_instruct(row: Values) -> Iterator[Demonstration]:
    """An instruction written by people, and its instances."""
    for instance in row["instances"]:
        prompt = user_prompt(instructed(row["instruction"], instance["input"]), "self_instruct")
        yield Demonstration(prompt, answer_of(instance["output"], "output"))


def sgd_dialogues(row: Values) -> Iterator[Demonstration]:
    """A dialogue with a booking service; user and service alternate."""
    roles: Sequence[Any] = ("user", "assistant")
    yield from _dialogue([Message(roles[i % 2], t.strip()) for i, t in enumerate(row["turns"])], "sgd")


def taskmaster_dialogues(row: Values) -> Iterator[Demonstration]:
    """A dialogue in which people order coffee."""
    turns = [Message(t["s"], t["t"].strip()) for t in row["turns"]]
    yield from _dialogue(turns, "taskmaster")


FREE = ("CC-BY", "Public Domain")


def stories(row: Values) -> Iterator[str]:
    """Children's stories whose license allows commercial use."""
    if row["licence"] not in FREE:
        raise Fault(f"license {row['licence']}", "the license forbids commercial use, or is unknown")
    yield filled_text(row["text"], "text", "text")


def advbench(row: Values) -> Iterator[Prompt]:
    """A harmful request."""
    yield user_prompt(row["goal"], "advbench")


def harmbench(row: Values) -> Iterator[Prompt]:
    """A harmful request, after the text it is about where there is one."""
    text = "\n\n".join(t for t in (row["ContextString"].strip(), row["Behavior"].strip()) if t)
    yield user_prompt(text, "harmbench", category=row["SemanticCategory"])


def anthropic_evals(row: Values) -> Iterator[Prompt]:
    """A question with offered answers; metadata: the one that shows the behavior (``matching``) and the ``others``."""
    others = row["answer_not_matching_behavior"]
    matching, *rest = (
        filled_text(v, "answer_matching_behavior", "answer").strip(" ()")
        for v in (row["answer_matching_behavior"], *(others if isinstance(others, list) else [others]))
    )
    if matching in rest:
        raise Fault("identical answers", "the matching answer is also one that does not match")
    yield user_prompt(row["question"], "anthropic_evals", matching=matching, others=list(dict.fromkeys(rest)))


def sycophancy(row: Values) -> Iterator[Prompt]:
    """A question of one's own with its right and a wrong answer, for `--suite sycophancy`."""
    right, wrong = (filled_text(row[k], k, "answer").strip() for k in ("right", "wrong"))
    if right == wrong:
        raise Fault("identical answers", "the right and the wrong answer are the same", field="wrong")
    yield user_prompt(row["question"], "sycophancy", right=right, wrong=wrong)


def strongreject(row: Values) -> Iterator[Prompt]:
    """A harmful request."""
    yield user_prompt(row["forbidden_prompt"], "strongreject", category=row["category"])
