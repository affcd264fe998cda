"""Projects, their rules, guidelines and items."""

from __future__ import annotations

import pytest
from making import NOW, all_of, change, claim, count_of, make, new_item, require_sound, stored, submit
from pydantic import ValidationError

from plaudit.feedback.store.errors import Invalid, NotFound, Refused
from plaudit.feedback.store.projects import (
    LONGEST_GUIDELINE,
    NewAnswer,
    NewItem,
    add_items,
    change_settings,
    check_accepted,
    create_project,
    named_project,
    overlap_of,
    publish,
    set_state,
    slug_of,
)
from plaudit.feedback.store.schema import Answer, GoldRanking, Guideline, Item, Project
from plaudit.feedback.store.settings import Settings


def on(database, made, function, *args, **more):
    return database.write(lambda s: function(s, s.get_one(Project, made.project), *args, **more))


def test_a_project_is_found_by_its_name(database):
    with pytest.raises(Refused, match="none"):
        database.read(named_project, None)
    made = make(database, slug="first")
    assert database.read(named_project, None).id == made.project
    make(database, slug="second")
    with pytest.raises(Refused, match="first, second"):
        database.read(named_project, None)
    with pytest.raises(NotFound, match="'second'"):
        database.read(named_project, "secund")
    assert database.read(named_project, "first").id == made.project
    with pytest.raises(Refused, match="already"):
        make(database, slug="first")


def test_two_that_create_a_project_at_once(database, in_threads):
    def create(i):
        try:
            database.write(create_project, "same", title=str(i), settings=Settings(), now=NOW)
        except Refused as refused:
            return refused.code
        return "made"

    assert sorted(in_threads(6, create)) == ["made", *["name_taken"] * 5]


@pytest.mark.parametrize(
    "name, slug", [("My Project!", "my-project"), ("--", "project"), ("ÄÖ", "project"), ("a" * 99, "a" * 60)]
)
def test_slugs(name, slug):
    assert slug_of(name) == slug


def test_items_are_added_once_whatever_the_order_of_answers(database):
    made = make(database)
    a, b = NewAnswer("yes", model="m1"), NewAnswer("no", finished=False, info={"t": 1})
    prompt = ({"role": "user", "content": "Is it?"},)
    one, same = NewItem(prompt, (a, b), source="f.jsonl", info={"k": 1}), NewItem(prompt, (b, a))
    other = NewItem(prompt, (a, NewAnswer("maybe")))
    assert on(database, made, add_items, [one, same, other], now=NOW) == 2
    assert on(database, made, add_items, [other, same], now=NOW) == 0
    first, second = sorted(all_of(database, Item), key=lambda i: i.position)
    assert (first.prompt, first.source, first.info, first.position) == (list(prompt), "f.jsonl", {"k": 1}, 0)
    answers = sorted(all_of(database, Answer, Answer.item_id == first.id), key=lambda x: x.position)
    assert [(x.text, x.model, x.finished) for x in answers] == [("yes", "m1", True), ("no", None, False)]
    assert on(database, made, add_items, [new_item("later")], now=NOW) == 1
    assert max(i.position for i in all_of(database, Item)) == second.position + 1 == 2


def test_imports_at_once_add_each_item_once(database, in_threads):
    made = make(database)
    added = in_threads(
        4, lambda i: on(database, made, add_items, [new_item(n) for n in range(5 * i, 5 * i + 20)], now=NOW)
    )
    assert sum(added) == 35 == count_of(database, Item)
    assert sorted(i.position for i in all_of(database, Item)) == list(range(35))


@pytest.mark.parametrize(
    "item",
    [
        new_item("x", answers=1),
        new_item("x", answers=10),
        new_item("x", purpose="test"),
        NewItem(new_item("x").prompt, new_item("x").answers, purpose="gold"),
        NewItem(new_item("x").prompt, new_item("x").answers, accepted=(((0,), (1,)),)),
        NewItem(new_item("x").prompt, new_item("x").answers, purpose="gold", accepted=(((0,),),)),
    ],
)
def test_a_faulty_item_is_refused_and_the_others_with_it(database, item):
    made = make(database)
    with pytest.raises(Invalid):
        on(database, made, add_items, [new_item("good"), item], now=NOW)
    assert count_of(database, Item) == 0


@pytest.mark.parametrize("ranking", [((0, 1), (2,)), ((2,), (0,), (1,)), ((0, 1, 2),)])
def test_accepted_rankings(ranking):
    check_accepted([ranking], 3)


@pytest.mark.parametrize("ranking", [((0,), (1,)), ((0,), (0,), (1,)), ((0, 1), (), (2,)), ((0, 1), (3,))])
def test_rankings_that_are_none(ranking):
    with pytest.raises(Invalid, match="once"):
        check_accepted([ranking], 3)


def test_gold_is_kept_with_its_reason(database):
    made = make(database)
    gold = NewItem(
        new_item("x").prompt,
        new_item("x").answers,
        purpose="gold",
        accepted=(((1,), (0,)), ((0, 1),)),
        rationale="see page 2",
    )
    on(database, made, add_items, [gold], now=NOW)
    [kept] = all_of_gold(database)
    assert (kept.accepted, kept.rationale) == ([[[1], [0]], [[0, 1]]], "see page 2")
    assert all_of(database, Item)[0].overlap == 0


def all_of_gold(database):
    return database.read(lambda s: list(s.query(GoldRanking)))


def test_a_share_of_the_items_gets_the_overlap(database):
    made = make(database, items=300, overlap=3, shared=0.2)
    shared = [i for i in all_of(database, Item) if i.overlap == 3]
    assert 35 <= len(shared) <= 90
    assert {i.overlap for i in all_of(database, Item)} == {1, 3}
    # A larger share holds the smaller, and what was chosen does not depend on what else there is.
    on(database, made, change_settings, {"shared": 0.5})
    more = {i.id for i in all_of(database, Item) if i.overlap == 3}
    assert {i.id for i in shared} < more and len(more) < 200
    on(database, made, change_settings, {"shared": 1.0, "overlap": 2})
    assert {i.overlap for i in all_of(database, Item)} == {2}
    assert overlap_of("anything", Settings(overlap=4)) == 4


def test_the_overlap_never_falls_below_what_is_taken(database):
    made = make(database, items=2, members=4, overlap=3)
    for m in made.members:
        submit(database, claim(database, m))
    taken = {i.id: i.taken for i in all_of(database, Item)}
    assert sum(taken.values()) == 4 and max(taken.values()) >= 2
    changed = on(database, made, change_settings, {"overlap": 1, "ties": False})
    assert (changed.overlap, changed.ties) == (1, False)
    assert {i.id: i.overlap for i in all_of(database, Item)} == {k: max(1, t) for k, t in taken.items()}
    on(database, made, change_settings, {"overlap": 5})
    assert {i.overlap for i in all_of(database, Item)} == {5}
    require_sound(database)


def test_changes_at_once_are_all_kept(database, in_threads):
    made = make(database)
    changes = [{"ties": False}, {"confidence": True}, {"all_bad": False}, {"edit_minutes": 5}]
    in_threads(4, lambda i: on(database, made, change_settings, changes[i]))
    found = Settings.model_validate(stored(database, Project, made.project).settings)
    assert (found.ties, found.confidence, found.all_bad, found.edit_minutes) == (False, True, False, 5)


def test_a_change_that_does_not_fit_changes_nothing(database):
    made = make(database)
    before = stored(database, Project, made.project).settings
    for changes in ({"overlap": 0}, {"gold_share": 0.4, "repeat_share": 0.2}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            on(database, made, change_settings, changes)
    assert stored(database, Project, made.project).settings == before


def test_guidelines_have_versions(database):
    made = make(database)
    on(database, made, publish, "Be kind.", by=None, now=NOW)
    on(database, made, publish, "Be kind and true.", change=" truth added ", by=None, now=NOW + 1)
    assert stored(database, Project, made.project).guideline_version == 2
    found = database.read(lambda s: s.get_one(Guideline, (made.project, 2)))
    assert (found.markdown, found.note, found.published) == ("Be kind and true.", "truth added", NOW + 1)
    assert database.read(lambda s: s.get_one(Guideline, (made.project, 1))).markdown == "Be kind."
    for text in ("", " \n", "x" * (LONGEST_GUIDELINE + 1)):
        with pytest.raises(Invalid):
            on(database, made, publish, text, by=None, now=NOW)


def test_guidelines_published_at_once_get_a_version_each(database, in_threads):
    made = make(database)
    got = in_threads(6, lambda i: on(database, made, publish, f"Text {i}", by=None, now=NOW).version)
    assert sorted(got) == [1, 2, 3, 4, 5, 6]
    assert stored(database, Project, made.project).guideline_version == 6


def test_a_project_that_was_read_elsewhere_is_changed_on_disk(database):
    """The caller's object may come from another transaction: what is in the database counts."""
    made = make(database)
    stale = stored(database, Project, made.project)
    change(database, Project, made.project, guideline_version=4)
    assert database.write(publish, stale, "Text", by=None, now=NOW).version == 5
    database.write(change_settings, stale, {"ties": False})
    assert stored(database, Project, made.project).settings["ties"] is False


def test_states(database):
    made = make(database)
    database.write(lambda s: set_state(s.get_one(Project, made.project), "paused"))
    assert stored(database, Project, made.project).state == "paused"
    with pytest.raises(Invalid, match="states are"):
        set_state(stored(database, Project, made.project), "asleep")
