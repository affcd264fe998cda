"""Sample answers of models before people judge them; every answer is appended to a file as it is drawn.

One file holds the answers of all rounds of a project. Each line bears the mark of its round (the models, what they had
learned, and how answers were drawn), and only lines of one mark become items together.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.feedback.importing import Imported, items_of_drawn
from plaudit.feedback.sanitize import mended, problem_of
from plaudit.feedback.store.projects import NewAnswer
from plaudit.feedback.store.rounds import NewRound
from plaudit.runs.files import disk_error
from plaudit.runs.locate import Located, locate

PROMPTS_AT_ONCE = 32
WEIGHTS = {".safetensors", ".bin", ".pt", ".npz"}
SAMPLES, SAMPLE = (
    64,
    65_536,
)  # of a file of weights: how many places are looked at, and how many bytes at each
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Voice:
    """A model to be asked: the full name that the owner will see, its run (or folder) and step, and what loads it.

    ``described`` is the name with what the owner must know of it, such as a run's end that is not trained yet.
    """

    name: str
    source: str
    step: str | None
    model: str
    described: str


@dataclass(frozen=True)
class Drawing:
    """The number of answers per model and prompt, and the sampling settings."""

    answers: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0


def voices_of(sources: Sequence[str]) -> list[Voice]:
    """``RUN`` (its end), ``RUN@step`` or a model folder, each under an unambiguous name."""
    located = [locate(source) for source in sources]
    found = [_voice(one, one.name) for one in located]
    if len({v.name for v in found}) < len(found):
        found = [_voice(one, f"{one.run}@{one.step}" if one.run else s) for s, one in zip(sources, located)]
    if len({v.name for v in found}) < len(found):
        raise UserError(
            f"a model is named twice: {', '.join(v.name for v in found)}",
            remedy="name it once; --answers draws several of each",
        )
    return found


def _voice(found: Located, name: str) -> Voice:
    source = str(found.run or found.source)
    return Voice(name, source, found.step, found.source, found.described.replace(found.name, name, 1))


def draw_answers(
    voices: Sequence[Voice],
    prompts: Sequence[Prompt],
    drawing: Drawing,
    path: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> NewRound:
    """Write a row to ``path`` for the answers of each model to each prompt, as they are drawn: their round.

    Rows of the same round that are there are not drawn again, so that a call that was cut off goes on; a sample
    depends on the seed, its prompt and its number alone. Rows of other rounds stay as they are.
    """
    from plaudit.generation.chat import LocalChatModel

    rows = _rows(path)
    made = _round(voices, drawing, rows)
    done = {(row["model"], row["prompt"]) for row in rows if row["drawn"] == made.key}
    count = sum((v.name, p.id) in done for v in voices for p in prompts)
    progress(count, len(voices) * len(prompts))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for voice in voices:
            left = [p for p in prompts if (voice.name, p.id) not in done]
            if not left:
                continue
            model = LocalChatModel(voice.name, voice.model)
            for at in range(0, len(left), PROMPTS_AT_ONCE):
                some = left[at : at + PROMPTS_AT_ONCE]
                drawn = model.draw(
                    [p.messages for p in some],
                    temperature=drawing.temperature,
                    max_new_tokens=drawing.max_new_tokens,
                    n=drawing.answers,
                    seed=drawing.seed,
                    # Of its own for each model: drawn alike, two like models would say the same.
                    step=_stream(voice),
                )
                rows = [
                    {"prompt": prompt.id, "model": voice.name, "answers": answers, "drawn": made.key}
                    for prompt, answers in zip(some, drawn)
                ]
                try:
                    file.write("".join(json.dumps(row) + "\n" for row in rows))
                    file.flush()
                    os.fsync(file.fileno())
                except OSError as error:
                    raise disk_error(path, error, "the answers before are kept") from error
                count += len(some)
                progress(count, len(voices) * len(prompts))
    return made


def drawn_items(path: Path, prompts: Sequence[Prompt], made: NewRound) -> Imported:
    """The items of one round: of each prompt the answers of all its models, as they were sampled.

    Prompts whose answers are all alike are left out, which the report counts. What no database holds is mended (NUL
    characters go, half characters become ?); the answer's info says so, and the notes count it.
    """
    answers: dict[str, list[NewAnswer]] = {}
    for row in _rows(path):
        if row["drawn"] == made.key:
            answers.setdefault(row["prompt"], []).extend(
                _whole(text, finished, row["model"]) for text, finished in row["answers"]
            )
    given = [(p, tuple(answers[p.id])) for p in prompts if p.id in answers]
    found = items_of_drawn(given, source=str(path))
    found.round = made
    why = Counter(a.info["mended"] for i in found.items for a in i.answers if "mended" in a.info)
    found.notes += [f"{n} mended before it was stored: an answer {reason}" for reason, n in why.most_common()]
    return found


def _whole(text: str, finished: bool, model: str) -> NewAnswer:
    problem = problem_of(text)
    return NewAnswer(mended(text), finished, model, {} if problem is None else {"mended": problem})


def _stream(voice: Voice) -> int:
    return int.from_bytes(hashlib.blake2b(voice.name.encode(), digest_size=4).digest(), "big") >> 1


def _round(voices: Sequence[Voice], drawing: Drawing, rows: Sequence[Mapping[str, Any]]) -> NewRound:
    """The round that these models are, drawn in this way. A model that has learned since is another model."""
    models = [
        {"name": v.name, "source": v.source, "stage": v.step, "weights": weights_of(Path(v.model))}
        for v in voices
    ]
    # Files from before weights were looked at go on under the mark that they have.
    known = _mark(voices, drawing)
    key = known if any(r["drawn"] == known for r in rows) else _mark(voices, drawing, models)
    return NewRound(key, models=tuple(models), drawing=asdict(drawing))


def _mark(voices: Sequence[Voice], drawing: Drawing, models: Sequence[Mapping[str, Any]] = ()) -> str:
    """A hash of how answers are drawn: the models' places and, of ``models``, what they had learned."""
    content = [[v.name, str(Path(v.source).resolve()), v.step] for v in voices]
    how = [drawing.answers, drawing.temperature, drawing.max_new_tokens, drawing.seed]
    text = json.dumps([content, *how, *([[m["weights"] for m in models]] if models else [])])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def weights_of(folder: Path) -> str | None:
    """A hash of a model's weights, from samples of its files: training changes them everywhere. None on the hub."""
    if not folder.is_dir():
        return None
    found = hashlib.blake2b(digest_size=8)
    for file in sorted(p for p in folder.iterdir() if p.suffix in WEIGHTS):
        size = file.stat().st_size
        found.update(f"{file.name} {size} ".encode())
        with file.open("rb") as opened:
            for i in range(SAMPLES):
                opened.seek(size * i // SAMPLES)
                found.update(opened.read(SAMPLE))
    return found.hexdigest()


def _rows(path: Path) -> list[dict[str, Any]]:
    """What was drawn in any round; a last line that was cut off is removed."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = [_row(line, path, number) for number, line in enumerate(whole.split(b"\n")[:-1], 1)]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return rows


def _row(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if {"prompt", "model", "answers", "drawn"} <= row.keys():
            return dict(row)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise UserError(
        f"{path}:{number} is no line that sampling wrote",
        remedy="remove the line: what is missing is drawn again",
    )
