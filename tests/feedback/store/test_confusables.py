"""Nobody takes a name that people would take for someone else's, in whatever letters it is written."""

from __future__ import annotations

import pytest

from plaudit.feedback.store.confusables import is_like_pseudonym, marked, mixed_scripts, skeleton
from plaudit.feedback.store.errors import Refused
from plaudit.feedback.store.people import add_user


def taken(database, name):
    try:
        database.write(add_user, name, now=0)
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize(
    "name, like",
    [
        (
            "ownA",
            ["оwnA", "ОWNА", "ᴏwnA", "0wnA", "own\u0410", "ow\u3164nA", "own\ufe0fA", "ο\u200bwnA", "𝐨𝐰𝐧𝐀"],
        ),
        ("Ina", ["lna", "1na", "Ӏna", "Ꭲna", "|na", "Ιnа"]),
        ("pace", ["расе", "РАСЕ", "ｐace"]),  # all in Cyrillic
        ("Anna-Lee", ["Anna‐Lee", "Anna–Lee"]),
        ("O'Hara", ["O’Hara", "Oʼ Hara".replace(" ", "")]),
        ("Marna", ["Mama"]),
        ("Team 10", ["Team 1O", "Team lo", "Team ١٠"]),
    ],
)
def test_a_name_that_looks_like_another_is_refused(database, name, like):
    assert taken(database, name) is None
    for other in like:
        assert taken(database, other) in ("name_taken", "mixed_scripts"), other


def test_names_of_all_the_world_are_free(database):
    names = [
        "Ольга", "Ольга Petrova", "Νίκος", "李雷 Lee", "たなか タナカ", "김철수", "מרים", "عائشة", "Zoë",
        "Zoe", "Łukasz",
        "Nguyễn", "Ann", "Anna", "Ali", "Bill", "Labeler 1", "Labeler", "labeler-x", "Ամ", "अनु", "T1000", "Mia-1", "R2",
    ]  # fmt: skip
    assert {name: taken(database, name) for name in names} == dict.fromkeys(names)


@pytest.mark.parametrize(
    "name",
    ["labeler-001", "Labeler-017", "labeler 001", "labeler_1", "lаbеlеr-001", "labe1er-OO1", "labeler–2", "labeler001",
     "labeler-1234", "labeller-003", "LABELER-００１", "The Server", "the server"],
)  # fmt: skip
def test_names_that_the_site_gives_out_are_nobodys(database, name):
    assert taken(database, name) in ("reserved_name", "mixed_scripts")
    assert is_like_pseudonym(name) or skeleton(name) == skeleton("the server")


def test_words_that_mix_scripts_of_like_letters_are_told():
    assert mixed_scripts("оwnA") == ("Cyrillic", "Latin")
    assert mixed_scripts("Αnna") == ("Greek", "Latin")
    assert mixed_scripts("Olga Ольга") is None and mixed_scripts("李Lee") is None


def test_of_two_who_come_at_once_with_names_that_look_alike_one_is_let_in(database, in_threads):
    codes = in_threads(4, lambda i: taken(database, ["pace", "расе", "PACE", "расе"][i]))
    assert sorted(map(str, codes)) == ["None", "name_taken", "name_taken", "name_taken"]


def test_marks_are_written_out():
    assert marked("a\u202eb\u200f\u2066") == "a⟨RLO⟩b⟨RLM⟩⟨LRI⟩"
    assert marked("שלום äöü") == "שלום äöü"
