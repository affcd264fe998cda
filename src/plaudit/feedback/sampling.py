"""Answers of models to prompts, sampled before people judge them; what was drawn is kept, line by line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.feedback.importing import Imported, items_of_rows

EMPTY = "*(no answer)*"
PROMPTS_AT_ONCE = 32
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Voice:
    """A model to be asked: the name that the owner will see, and its source and stage."""

    name: str
    source: str
    stage: str | None = None


@dataclass(frozen=True)
class Drawing:
    """How many answers each model gives to each prompt, and how they are drawn."""

    answers: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0


def voices_of(sources: Sequence[str]) -> list[Voice]:
    """``RUN``, ``RUN@STAGE`` or a model folder, each under a name that tells it from the others."""
    found = []
    for source in sources:
        where, _, stage = source.partition("@") if not Path(source).exists() else (source, "", "")
        name = Path(where).name or where
        found.append(Voice(f"{name}@{stage}" if stage else name, where, stage or None))
    names = [v.name for v in found]
    if len(set(names)) < len(names):
        found = [Voice(source, v.source, v.stage) for source, v in zip(sources, found)]
    if len({v.name for v in found}) < len(found):
        raise UserError("a model is named twice", remedy="name it once; --answers draws several of each")
    return found


def draw_answers(
    voices: Sequence[Voice],
    prompts: Sequence[Prompt],
    drawing: Drawing,
    path: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write a row to ``path`` for the answers of each model to each prompt, as they are drawn.

    Rows that are there are not drawn again, so that a call that was cut off goes on; a sample depends on the seed,
    its prompt and its number alone. Raises ``UserError`` where the rows there were drawn in another way.
    """
    from plaudit.rollout.talking import speakers

    mark = _mark(voices, drawing)
    done = {(row["model"], row["prompt"]) for row in _rows(path, mark)}
    count = sum((v.name, p.id) in done for v in voices for p in prompts)
    progress(count, len(voices) * len(prompts))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for voice in voices:
            left = [p for p in prompts if (voice.name, p.id) not in done]
            if not left:
                continue
            (speaker,) = speakers(voice.source, [voice.stage] if voice.stage else ())
            for at in range(0, len(left), PROMPTS_AT_ONCE):
                some = left[at : at + PROMPTS_AT_ONCE]
                drawn = speaker.draw(
                    [p.messages for p in some],
                    temperature=drawing.temperature,
                    max_new_tokens=drawing.max_new_tokens,
                    n=drawing.answers,
                    seed=drawing.seed,
                    # Of its own for each model: drawn alike, two like models would say the same.
                    step=_stream(voice),
                )
                for prompt, answers in zip(some, drawn):
                    row = {"prompt": prompt.id, "model": voice.name, "answers": answers, "drawn": mark}
                    file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
                count += len(some)
                progress(count, len(voices) * len(prompts))


def drawn_items(path: Path, voices: Sequence[Voice], prompts: Sequence[Prompt], drawing: Drawing) -> Imported:
    """The items of what ``draw_answers`` wrote: of each prompt the answers of all models.

    Prompts whose answers are all alike are left out, which the report counts.
    """
    answers: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(path, _mark(voices, drawing)):
        answers.setdefault(row["prompt"], []).extend(
            {"text": text, "finished": finished, "model": row["model"]} for text, finished in row["answers"]
        )
    # An answer may be empty, where a model ends at once: it is shown as that.
    rows = [
        {
            "prompt": [m.as_dict() for m in p.messages],
            "responses": [{**a, "text": a["text"].strip() or EMPTY} for a in answers[p.id]],
            "source": p.source,
            "metadata": dict(p.metadata),
        }
        for p in prompts
        if p.id in answers
    ]
    return items_of_rows(rows, purpose="work", source=str(path), max_dropped=1.0)


def _stream(voice: Voice) -> int:
    return int.from_bytes(hashlib.blake2b(voice.name.encode(), digest_size=4).digest(), "big") >> 1


def _mark(voices: Sequence[Voice], drawing: Drawing) -> str:
    """A hash of how answers are drawn, the models' places included."""
    content = [[v.name, str(Path(v.source).resolve()), v.stage] for v in voices]
    text = json.dumps([content, drawing.answers, drawing.temperature, drawing.max_new_tokens, drawing.seed])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _rows(path: Path, mark: str) -> list[dict[str, Any]]:
    """What was drawn; a last line that was cut off is removed."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = [json.loads(line) for line in whole.splitlines()]
    if any(row["drawn"] != mark for row in rows):
        raise UserError(
            f"{path} holds answers of other models, or drawn in another way",
            remedy="take the same --model, --answers, --temperature, --max-new-tokens and --seed, "
            "or start another project with --project DIR",
        )
    if len(whole) < len(content):
        path.write_bytes(whole)
    return rows
