"""Judgements as records: what was said, of which answers, and how it came about."""

from __future__ import annotations

from collections import Counter

import pytest
from labor import hire, letters, work_through
from sqlalchemy import select

from plaudit.data.readers.read import read
from plaudit.data.records import Comparisons, Ranking
from plaudit.errors import UserError
from plaudit.feedback.exporting import exported, write_export
from plaudit.feedback.judgement_query import collected, state_of
from plaudit.feedback.store.claiming import claim
from plaudit.feedback.store.judgement_form import JudgementForm
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project
from plaudit.feedback.store.schema import Assignment, Judgement, Member, Project
from plaudit.feedback.store.settings import Settings
from plaudit.feedback.store.submission import revise, submit


def ask(text):
    return ({"role": "user", "content": text},)


def made(database, items, **rules):
    settings = Settings(gold_share=0, repeat_share=0, require_reading=False, strength=False, **rules)

    def work(db):
        project = create_project(db, "p", title="P", settings=settings, now=0)
        add_items(db, project, items, now=0)
        return project

    return database.write(work)


def of(database, project, **options):
    left = Counter()
    records = database.read(
        lambda db: list(exported(db, db.get_one(Project, project.id), left_out=left, **options))
    )
    return records, left


def test_a_ranking_speaks_of_the_answers_whatever_the_order_in_which_they_were_shown(database):
    answers = tuple(NewAnswer(t, finished=t != "worst", model=f"m-{t}") for t in ("best", "middle", "worst"))
    items = [NewItem(ask(f"q{i}"), answers, source="s", info={"category": "c"}) for i in range(8)]
    project = made(database, items, overlap=3)
    members = hire(database, project, 3)
    work_through(database, members, lambda item, rng: {"groups": [[0], [1], [2]]})
    records, left = of(database, project)
    assert len(records) == 24 and not left
    orders = set()
    for record in records:
        assert isinstance(record, Ranking)
        assert [r.text for r in record.responses] == ["best", "middle", "worst"]
        assert [r.finished for r in record.responses] == [True, True, False]
        assert [r.metadata["model"] for r in record.responses] == ["m-best", "m-middle", "m-worst"]
        assert record.groups == ((0,), (1,), (2,))
        assert record.prompt.source == "s" and record.prompt.metadata == {"category": "c"}
        orders.add(tuple(record.metadata["order"]))
        assert record.metadata["arm"] == "random" and 0 < record.metadata["propensity"] <= 1
        assert record.metadata["active_seconds"] == 5.0 and record.metadata["guideline"] == 0
    assert len(orders) > 1, "the orders differ, and the ranking does not follow them"
    assert {r.rater for r in records} == {"labeler-001", "labeler-002", "labeler-003"}


def test_all_that_was_said_travels_and_reads_back(database, tmp_path):
    project = made(
        database,
        [NewItem(ask("q"), (NewAnswer("a"), NewAnswer("b"), NewAnswer("c")))],
        attributes=["helpful", {"name": "fun", "per": "item"}],
        confidence=True,
    )
    said = {
        "groups": [[2, 0], [1]],
        "all_bad": True,
        "untouched": True,
        "confidence": 4,
        "rationale": "the third is kind\nand true",
    }
    members = hire(database, project, 1)

    def judge(db):
        assignment = claim(db, members[0], now=5)
        place = {p: "ABC"[i] for i, p in enumerate(assignment.order)}
        verdict = JudgementForm(
            **{**said, "groups": letters(assignment.order, said["groups"])},
            attributes={"helpful": {place[0]: 5, place[2]: 1}, "fun": {"*": 3}},
        )
        submit(db, db.get_one(Member, members[0]), assignment.id, verdict=verdict, key="k" * 8, now=9)

    database.write(judge)
    path = tmp_path / "out.jsonl"
    count, left = database.read(lambda db: write_export(db, db.get_one(Project, project.id), path))
    assert count == 1 and not left
    (record,) = read(path, kind="preferences").records
    (direct,), _ = of(database, project)
    assert record == direct
    assert record.groups == ((0, 2), (1,))
    known = record.metadata
    assert known["all_bad"] and known["untouched"] and known["confidence"] == 4
    assert known["rationale"] == "the third is kind\nand true"
    assert known["attributes"] == {"helpful": {"0": 5, "2": 1}, "fun": {"*": 3}}
    data = database.read(collected, project.id)
    (judged,) = data.judged
    names = {a: i for i, a in enumerate(judged.shown)}
    assert len(judged.groups[0]) == 2 and names.keys() == data.answers.keys()
    assert judged.attributes["fun"] == {"*": 3}


def test_only_work_is_exported_unless_more_is_asked_for_and_the_rest_is_counted(database):
    pair = (NewAnswer("a"), NewAnswer("b"))
    right = (((0,), (1,)),)
    items = [
        NewItem(ask("training"), pair, purpose="calibration", accepted=right),
        NewItem(ask("known"), pair, purpose="gold", accepted=right),
        *(NewItem(ask(f"q{i}"), pair) for i in range(3)),
    ]
    project = made(database, items)
    database.write(
        lambda db: setattr(
            db.get_one(Project, project.id),
            "settings",
            {**db.get_one(Project, project.id).settings, "gold_share": 0.5},
        )
    )
    members = hire(database, project, 1)

    def rank(item, rng):
        last = item.prompt[0]["content"] == "q2"
        return {"not_rankable": True} if last else {"groups": [[1], [0]]}

    work_through(database, members, rank, seed=3)
    purposes = database.read(lambda db: Counter(db.scalars(select(Assignment.purpose))))
    assert purposes["work"] == 3 and purposes["calibration"] == 1 and purposes["gold"] == 1
    records, left = of(database, project)
    assert len(records) == 2 and left == {"gold": 1, "calibration": 1, "not rankable": 1}
    records, left = of(database, project, purposes=("work", "gold", "calibration"), not_rankable=True)
    assert len(records) == 5 and not left
    (none,) = (r for r in records if isinstance(r, Comparisons))
    assert none.outcomes == () and none.metadata["not_rankable"] and none.metadata["rater"] == "labeler-001"
    with pytest.raises(UserError, match="'play' is no purpose"):
        of(database, project, purposes=("play",))
    data = database.read(collected, project.id)
    assert {len(g) for g in data.golds.values()} == {1} and len(data.golds) == 2


def test_the_latest_revision_holds_and_surplus_is_marked(database):
    project = made(database, [NewItem(ask("q"), (NewAnswer("a"), NewAnswer("b")))], lease_seconds=30)
    slow, quick = hire(database, project, 2)
    before = database.read(state_of, project.id)

    def say(db, member_id, assignment, groups, key, now, action=submit):
        verdict = JudgementForm(groups=letters(assignment.order, groups))
        action(db, db.get_one(Member, member_id), assignment.id, verdict=verdict, key=key * 8, now=now)

    held = database.write(lambda db: claim(db, slow, now=0))
    late = database.write(lambda db: claim(db, quick, now=100))
    database.write(say, quick, late, [[0], [1]], "q", 110)
    database.write(say, slow, held, [[1], [0]], "s", 120)
    database.write(say, quick, late, [[0, 1]], "r", 130, revise)
    records, _ = of(database, project)
    by_rater = {r.rater: r for r in records}
    assert len(records) == 2
    assert by_rater["labeler-002"].groups == ((0, 1),) and by_rater["labeler-002"].metadata["revision"] == 2
    assert by_rater["labeler-001"].metadata["surplus"] and "surplus" not in by_rater["labeler-002"].metadata
    assert database.read(state_of, project.id) != before
    assert database.read(lambda db: len(list(db.scalars(select(Judgement))))) == 3


def test_projects_of_one_database_keep_apart(database):
    project = made(database, [NewItem(ask("q"), (NewAnswer("a"), NewAnswer("b")))])

    def another(db):
        other = create_project(db, "other", title="O", settings=Settings(), now=0)
        user = add_user(db, "someone", now=0)
        add_member(db, other, user, "labeler", now=0)
        return other

    other = database.write(another)
    work_through(database, hire(database, project, 1), lambda item, rng: {"groups": [[0], [1]]})
    assert len(of(database, project)[0]) == 1 and of(database, other)[0] == []
    data = database.read(collected, other.id)
    assert not data.judged and not data.answers and not data.golds
