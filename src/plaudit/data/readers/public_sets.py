"""Converts rows of public data sets of judgements whose schema cannot be detected: one function per set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from plaudit.data.readers.coerce import filled_text, number, prompt_messages, whole_text
from plaudit.data.readers.public_texts import Values, answer_of, instructed, user_prompt
from plaudit.data.readers.read_report import Fault
from plaudit.data.records import (
    Comparisons,
    Labeled,
    Message,
    Outcome,
    Prompt,
    Ranking,
    Rated,
    Response,
    Role,
)


def _judged(value: Any, field: str) -> Response:
    """An answer that people judged; it may be empty, because its judgement is known."""
    return Response(whole_text(value, field).strip())


# -- human preferences ---------------------------------------------------------------------------


def finegrained_rlhf(row: Values, *, passages: bool = False) -> Iterator[Comparisons]:
    """Four answers and a judgement of each of the six pairs (1 the first, 2 the second, 0 a tie)."""
    question = whole_text(row["question"], "question")
    if passages:
        # A passage is its title and then its sentences.
        texts = [" ".join(sentences[1:]) for sentences in row["passages"]]
        question = "\n\n".join([*texts, question])
    responses = tuple(_judged(row[f"prediction {i}"], f"prediction {i}") for i in range(1, 5))
    pairs = list(combinations(range(4), 2))
    if len(row["preference"]) != len(pairs):
        raise Fault("bad ranking", f"not {len(pairs)} judgements", field="preference")
    outcomes = tuple(
        Outcome(i, j, {0: 0.5, 1: 1.0, 2: 0.0}[p]) for (i, j), p in zip(pairs, row["preference"])
    )
    yield Comparisons(user_prompt(question, "finegrained_rlhf"), responses, outcomes)


def finegrained_rlhf_passages(row: Values) -> Iterator[Comparisons]:
    """As ``finegrained_rlhf``, with the passages that the answers are based on before the question."""
    yield from finegrained_rlhf(row, passages=True)


def pandalm(row: Values) -> Iterator[Comparisons]:
    """Two answers, judged by three people (0 a tie, 1 the first, 2 the second)."""
    # The publishers' export turned the answer "True" into a JSON true.
    answers = [str(v) if isinstance(v, bool) else v for v in (row["response1"], row["response2"])]
    responses = tuple(_judged(v, f"response{i}") for i, v in enumerate(answers, 1))
    outcomes = tuple(
        Outcome(0, 1, {0: 0.5, 1: 1.0, 2: 0.0}[row[name]], rater=name)
        for name in ("annotator1", "annotator2", "annotator3")
    )
    prompt = user_prompt(
        instructed(row["instruction"], row["input"]), "pandalm", category=row["motivation_app"]
    )
    yield Comparisons(prompt, responses, outcomes, {"models": row["cmp_key"]})


GRADES = {
    "a-is-better": (1.0, 2.0),
    "a-is-slightly-better": (1.0, 1.0),
    "tie": (0.5, None),
    "b-is-slightly-better": (0.0, 1.0),
    "b-is-better": (0.0, 2.0),
}


def open_instruct_human(row: Values) -> Iterator[Comparisons]:
    """One person's graded judgement of two answers; strength 2 for better, 1 for slightly better."""
    result, strength = GRADES[row["preference"]]
    responses = (
        Response(
            whole_text(row[f"completion_{x}"], f"completion_{x}").strip(),
            metadata={
                "model": row[f"model_{x}"],
                "acceptable": row[f"completion_{x}_is_acceptable"] == "yes",
            },
        )
        for x in "ab"
    )
    yield Comparisons(
        user_prompt(row["prompt"], "open_instruct_human"),
        tuple(responses),
        (Outcome(0, 1, result, strength, rater=row["evaluator"]),),
        {"instance": row["instance_index"]},
    )


def oasst_pairs(row: Values) -> Iterator[Ranking]:
    """One pair; all pairs of a prompt are joined into one record."""
    messages = prompt_messages(row["prompt"], "prompt")
    chosen, rejected = (filled_text(row[k], k, "answer") for k in ("chosen", "rejected"))
    if chosen == rejected:
        raise Fault("identical answers", "the two answers are the same", field="rejected")
    yield Ranking.pair(Prompt(messages, "oasst"), chosen, rejected)


def llmbar(row: Values) -> Iterator[Ranking]:
    """Two outputs, of which one is objectively better (label 1 or 2)."""
    responses = tuple(answer_of(row[k], k) for k in ("output_1", "output_2"))
    best = {1: 0, 2: 1}[row["label"]]
    yield Ranking(user_prompt(row["input"], "llmbar"), responses, ((best,), (1 - best,)))


def alpaca_eval(row: Values) -> Iterator[Comparisons]:
    """A judge's preference among two models' outputs, from 1 (the first) to 2 (the second); 0 and 1.5 are ties."""
    if row["preference"] is None:
        raise Fault("no verdict", "the judge gave no preference", field="preference")
    preference = number(row["preference"], "preference")
    if preference and not 1 <= preference <= 2:
        raise Fault("bad preference", f"{preference} is not between 1 and 2", field="preference")
    responses = tuple(
        Response(
            whole_text(row[f"output_{i}"], f"output_{i}"),
            metadata={"model": filled_text(row[f"generator_{i}"], f"generator_{i}", "model")},
        )
        for i in (1, 2)
    )
    result = 2 - preference if preference else 0.5
    yield Comparisons(
        user_prompt(row["instruction"], "alpaca_eval"),
        responses,
        (Outcome(0, 1, result, rater=str(row.get("annotator") or "") or None),),
    )


# -- labels and ratings --------------------------------------------------------------------------


def _call(turn: Values) -> Message:
    """A turn of a dialogue with a booking service: text, a call of the service, or its answer."""
    role: Role = "assistant" if turn["role"] == "agent" else "user"
    if "text" in turn:
        return Message(role, turn["text"].strip())
    kind = "call" if "api" in turn else "result"
    content = turn.get("api", turn.get("response"))
    return Message(role, f"{kind}: {json.dumps(content, ensure_ascii=False)}")


def taskmaster_reward(row: Values) -> Iterator[Labeled]:
    """An agent's turn, text or a call of the booking service, labeled good (1) or bad (0)."""
    # A few turns of the context are blank.
    turns = tuple(m for m in map(_call, json.loads(row["context"])) if m.content)
    answer = _call(json.loads(row["generation"])).content
    if not turns:
        raise Fault("empty prompt", "nothing precedes the answer", field="context")
    good = {1.0: True, 0.0: False}[row["reward"]]
    yield Labeled(Prompt(turns, "taskmaster"), answer_of(answer, "generation"), good)


def truthfulqa_labels(row: Values) -> Iterator[Labeled]:
    """An answer to a TruthfulQA question, labeled by people as true (or informative) or not."""
    question, found, answer = row["prompt"].removeprefix("Q: ").partition("\nA: ")
    answer = answer.rpartition("\n")[0]
    if not found:
        raise Fault("missing field", "the prompt holds no answer", field="prompt")
    good = {"yes": True, "no": False}[row["completion"].strip()]
    yield Labeled(user_prompt(question, "truthfulqa"), answer_of(answer, "prompt"), good)


def truthfulqa(row: Values) -> Iterator[Ranking]:
    """All correct answers of a question before all incorrect ones."""
    correct, incorrect = (
        list(dict.fromkeys(a.strip() for a in row[k].split(";") if a.strip()))
        for k in ("Correct Answers", "Incorrect Answers")
    )
    incorrect = [a for a in incorrect if a not in correct]
    if not correct or not incorrect:
        raise Fault("empty answer", "no correct or no incorrect answer", field="Correct Answers")
    responses = tuple(map(Response, (*correct, *incorrect)))
    groups = tuple(range(len(correct))), tuple(range(len(correct), len(responses)))
    yield Ranking(user_prompt(row["Question"], "truthfulqa", category=row["Category"]), responses, groups)


def xstest(row: Values) -> Iterator[Labeled]:
    """A model's completion; good is to comply with a safe prompt and to refuse an unsafe one."""
    safe = not row["type"].startswith("contrast_")
    complied = row["final_label"] == "1_full_compliance"
    metadata = {k: row[k] for k in ("final_label", "annotation_1", "annotation_2")}
    response = Response(filled_text(row["completion"], "completion", "answer"), metadata=metadata)
    prompt = user_prompt(row["prompt"], "xstest", category=row["type"], safe=safe)
    yield Labeled(prompt, response, complied == safe)


RATINGS = {"Poor": 1.0, "Not Good": 2.0, "Passable": 3.0, "Good": 4.0, "Excellent": 5.0}


def topical_chat_rated(row: Values) -> Iterator[Rated | Fault]:
    """Every turn that answers another, as its partner rated it, from 1 (poor) to 5 (excellent)."""
    turns = row["turns"]
    for i, turn in enumerate(turns):
        if i == 0:
            yield Fault("opens the dialogue", "the first turn does not answer another", field="turns[0]")
            continue
        if turn["rating"] not in RATINGS:
            yield Fault("no rating", "the turn was not rated", field=f"turns[{i}]")
            continue
        before = tuple(
            Message("assistant" if t["a"] == turn["a"] else "user", t["m"].strip()) for t in turns[:i]
        )
        prompt = Prompt(before, "topical_chat")
        yield Rated(prompt, answer_of(turn["m"], "turns"), RATINGS[turn["rating"]])


def gsm8k_solutions(row: Values) -> Iterator[Labeled]:
    """Four models' solutions of a problem, labeled by whether the result is correct."""
    prompt = user_prompt(row["question"], "gsm8k")
    for value in row.values():
        if isinstance(value, dict):
            yield Labeled(prompt, answer_of(value["solution"], "solution"), value["is_correct"])


# -- AI verdicts ---------------------------------------------------------------------------------


def vicuna80(tables: Mapping[str, Iterable[Values]]) -> Iterator[Comparisons]:
    """GPT-4's scores of two models' answers to the same question; strength is the difference."""
    questions = {q["question_id"]: q for q in tables["question"]}
    answers = {a["answer_id"]: a for a in tables["answer"]}
    for review in tables["review"]:
        question = questions[review["question_id"]]
        pair = [answers[review[f"answer{i}_id"]] for i in (1, 2)]
        first, second = (number(s, "score") for s in review["score"])
        result = 0.5 if first == second else float(first > second)
        yield Comparisons(
            user_prompt(question["text"], "vicuna80", category=question["category"]),
            tuple(Response(a["text"].strip(), metadata={"model": a["model_id"]}) for a in pair),
            (Outcome(0, 1, result, abs(first - second) or None, rater="gpt-4"),),
        )
