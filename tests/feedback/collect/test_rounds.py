"""One project takes answers of further models: each round apart, and known by every judgement."""

from __future__ import annotations

import json

import pytest
from labor import hire, work_through
from sqlalchemy import select
from toy import toy_policy

from plaudit.cli import main
from plaudit.data.readers.read import read
from plaudit.feedback.project_location import opened
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project
from plaudit.feedback.store.rounds import NewRound, items_by_round, rounds_of
from plaudit.feedback.store.schema import Answer, Item, Project
from plaudit.feedback.store.settings import Settings
from plaudit.models.policy import save_policy


def item(prompt, *texts, model="m"):
    return NewItem(({"role": "user", "content": prompt},), tuple(NewAnswer(t, model=model) for t in texts))


@pytest.fixture
def project(database):
    settings = Settings(require_reading=False)
    return database.write(create_project, "p", title="P", settings=settings, now=0)


def add(database, project, items, round_):
    return database.write(add_items, project, items, now=0, round_=round_)


def test_a_round_begins_with_its_first_new_item_and_keeps_its_number(database, project):
    one, two = (NewRound(k, models=({"name": k},), drawing={"seed": 1}) for k in ("one", "two"))
    assert add(database, project, [item("q", "a", "b")], one) == 1
    assert add(database, project, [item("q", "a", "b")], two) == 0, (
        "what is there is of the round it came with"
    )
    assert add(database, project, [item("q", "c", "d"), item("r", "a", "b")], two) == 2
    assert add(database, project, [item("s", "a", "b")], one) == 1
    assert add(database, project, [item("t", "a", "b")], None) == 1
    rounds = database.read(rounds_of, project.id)
    assert [(r.number, r.key, r.drawing) for r in rounds] == [
        (1, "one", {"seed": 1}),
        (2, "two", {"seed": 1}),
    ]
    counts = database.read(items_by_round, project.id)
    assert counts == {rounds[0].id: 2, rounds[1].id: 2, None: 1}


def test_models_of_one_name_that_learned_different_things_are_told_apart(database, project):
    """Otherwise the strengths of two models would be counted as one's."""

    def rounded(key, weights):
        return NewRound(key, models=({"name": "run@ppo", "weights": weights},))

    for i, weights in enumerate(("w1", "w2", "w1", "w2", "w3")):
        add(database, project, [item(f"q{i}", "a", "b", model="run@ppo")], rounded(f"k{i}", weights))

    def models(db):
        rows = select(Answer.model).join(Item, Item.id == Answer.item_id).where(Answer.position == 0)
        return list(db.scalars(rows.order_by(Item.position)))

    assert database.read(models) == ["run@ppo", "run@ppo#2", "run@ppo", "run@ppo#2", "run@ppo#5"]


def test_one_project_goes_on_with_further_models(tmp_path, capsys):
    """As a team does it: the same prompts and new ones, answered by a model that has learned since."""
    for seed, name in ((1, "one"), (2, "two")):
        save_policy(toy_policy(seed), tmp_path / name, card="# A toy")
    prompts, folder = tmp_path / "prompts.jsonl", tmp_path / "project"

    def collect(name, *texts):
        prompts.write_text("".join(json.dumps({"prompt": t}) + "\n" for t in texts))
        with pytest.raises(SystemExit) as stopped:
            main(
                f"collect --prompts {prompts} --model {tmp_path / name} --answers 3 --max-new-tokens 4 "
                f"--project {folder} --set require_reading=false --no-serve".split()
            )
        assert not stopped.value.code
        return capsys.readouterr().err

    collect("one", "the cat", "red blue")
    said = collect("two", "the cat", "dogs run far")
    assert "round 1: one (answers 3, temperature 1, max new tokens 4, seed 0): 2 items" in said
    assert "round 2: two (answers 3, temperature 1, max new tokens 4, seed 0): 2 items" in said
    with opened(f"sqlite:///{folder / 'collect.db'}") as database:
        made = database.read(lambda db: db.scalars(select(Project)).one())
        work_through(
            database, hire(database, made, 1), lambda item, rng: {"not_rankable": False, **ranked(item)}
        )
    records = read(f"project://{folder}", kind="preferences").records
    assert len(records) == 4
    for record in records:
        models = {m for r in record.responses for m in (r.metadata["model"], *r.metadata.get("also", []))}
        assert [*models] == record.metadata["round"]["models"], "no item holds answers of two rounds"
    rounds = [(r.prompt.text, r.metadata["round"]["number"]) for r in records]
    assert sorted(rounds) == [("dogs run far", 2), ("red blue", 1), ("the cat", 1), ("the cat", 2)]


def ranked(item):
    groups = [[i] for i in range(len(item.answers))]
    return {"groups": groups, "strength": 1 if len(groups) == 2 else None}
