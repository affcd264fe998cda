"""What a judgement must say, and how letters become positions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from plaudit.feedback.store.judgement_form import (
    LETTERS,
    JudgementForm,
    problems_of,
    to_letters,
    to_positions,
)
from plaudit.feedback.store.leases import display_order
from plaudit.feedback.store.settings import KNOWN_ATTRIBUTES, RatedAttribute, Settings

PLAIN = Settings(strength=False)


def fields(verdict, count=2, settings=PLAIN):
    return sorted(p.field for p in problems_of(JudgementForm.model_validate(verdict), count, settings))


AB = [["A"], ["B"]]
RATED = Settings(
    strength=False,
    attributes=[
        RatedAttribute(name="clear", low=1, high=5, required=True),
        RatedAttribute(name="long", per="item", low=0, high=2),
    ],
)


@pytest.mark.parametrize(
    "verdict, count, settings, wrong",
    [
        ({"groups": AB}, 2, PLAIN, []),
        ({"groups": [["A", "B"]]}, 2, PLAIN, []),
        ({"groups": [["C"], ["A", "B"]]}, 3, PLAIN, []),
        ({"groups": [["A"]]}, 2, PLAIN, ["groups"]),
        ({"groups": [["A"], ["A"], ["B"]]}, 2, PLAIN, ["groups"]),
        ({"groups": [["A"], ["C"]]}, 2, PLAIN, ["groups"]),
        ({"groups": [["A"], [], ["B"]]}, 2, PLAIN, ["groups"]),
        ({"groups": []}, 2, PLAIN, ["groups"]),
        ({"groups": [["A", "B"]]}, 2, Settings(strength=False, ties=False), ["groups"]),
        ({"not_rankable": True}, 2, PLAIN, []),
        ({"not_rankable": True}, 2, Settings(not_rankable=False), ["not_rankable"]),
        ({"not_rankable": True, "groups": AB}, 2, PLAIN, ["groups"]),
        ({"not_rankable": True, "strength": 2}, 2, Settings(), ["strength"]),
        ({"groups": AB, "all_bad": True}, 2, PLAIN, []),
        ({"groups": AB, "all_bad": True}, 2, Settings(strength=False, all_bad=False), ["all_bad"]),
        ({"groups": AB, "strength": 3}, 2, Settings(), []),
        ({"groups": AB}, 2, Settings(), ["strength"]),
        ({"groups": [["A", "B"]]}, 2, Settings(), []),
        ({"groups": [["A", "B"]], "strength": 1}, 2, Settings(), ["strength"]),
        ({"groups": AB, "strength": 1}, 2, PLAIN, ["strength"]),
        ({"groups": [["A"], ["B"], ["C"]]}, 3, Settings(), []),
        ({"groups": [["A"], ["B"], ["C"]], "strength": 1}, 3, Settings(), ["strength"]),
        ({"groups": AB, "confidence": 5}, 2, PLAIN, ["confidence"]),
        ({"groups": AB, "confidence": 5}, 2, Settings(strength=False, confidence=True), []),
        ({"groups": AB, "rationale": "so"}, 2, Settings(strength=False, rationale="off"), ["rationale"]),
        ({"groups": AB, "rationale": " \n"}, 2, Settings(strength=False, rationale="off"), []),
        ({"groups": AB, "rationale": " \n"}, 2, Settings(strength=False, rationale="required"), ["rationale"]),
        ({"groups": AB, "rationale": "so"}, 2, Settings(strength=False, rationale="required"), []),
        ({"groups": AB, "attributes": {"clear": {"A": 1, "B": 5}}}, 2, RATED, []),
        ({"groups": AB, "attributes": {"clear": {"A": 1, "B": 5}, "long": {"*": 0}}}, 2, RATED, []),
        ({"groups": AB}, 2, RATED, ["attributes.clear.A", "attributes.clear.B"]),
        ({"not_rankable": True}, 2, RATED, []),
        ({"groups": AB, "attributes": {"clear": {"A": 0, "B": 5}}}, 2, RATED, ["attributes.clear.A"]),
        ({"groups": AB, "attributes": {"clear": {"A": 1, "B": 1, "C": 1}}}, 2, RATED, ["attributes.clear"]),
        ({"groups": AB, "attributes": {"clear": {"A": 1, "B": 1}, "long": {"A": 1}}}, 2, RATED, ["attributes.long"]),
        ({"groups": AB, "attributes": {"kind": {"A": 1}}}, 2, PLAIN, ["attributes"]),
    ],
)  # fmt: skip
def test_rules(verdict, count, settings, wrong):
    assert fields(verdict, count, settings) == wrong


def test_all_problems_are_told_at_once():
    everything = {
        "groups": [["A", "B"]],
        "strength": 4,
        "all_bad": True,
        "confidence": 1,
        "rationale": "so",
        "attributes": {"kind": {"A": 1}},
    }
    strict = Settings(ties=False, all_bad=False, rationale="off")
    assert fields(everything, 2, strict) == sorted(
        ["groups", "strength", "all_bad", "confidence", "rationale", "attributes"]
    )


@pytest.mark.parametrize(
    "more",
    [
        {"strength": 0},
        {"strength": 5},
        {"confidence": 6},
        {"active_ms": -1},
        {"rationale": "x" * 5001},
        {"rationale": "half \ud800"},
        {"groups": [["AB"]]},
        {"groups": [["A"]] * 10},
        {"model": "gpt"},
    ],
)
def test_what_no_page_sends(more):
    with pytest.raises(ValidationError):
        JudgementForm.model_validate({"groups": AB, **more})


def test_control_characters_are_dropped():
    made = JudgementForm(groups=AB, rationale="a\x00b\x1b[1m\tc\n\x7f", client={"agent\x00": "x\x01"})
    assert (made.rationale, made.client) == ("ab[1m\tc\n", {"agent": "x"})


@given(st.data())
def test_letters_and_positions_are_each_others_inverse(data):
    count = data.draw(st.integers(2, 9))
    order = data.draw(st.permutations(range(count)))
    cut = data.draw(st.lists(st.booleans(), min_size=count - 1, max_size=count - 1))
    letters, groups = data.draw(st.permutations(LETTERS[:count])), [[]]
    for letter, ends in zip(letters, [*cut, False]):
        groups[-1].append(letter)
        if ends:
            groups.append([])
    verdict = JudgementForm(groups=groups, attributes={"clear": dict.fromkeys(letters, 1), "long": {"*": 2}})
    stored = to_positions(verdict, order)
    assert to_letters(stored["groups"], order) == [sorted(g) for g in groups]
    assert stored["attributes"] == {"clear": {str(i): 1 for i in range(count)}, "long": {"*": 2}}
    # The first letter is what stood first.
    assert [order[LETTERS.index(groups[0][0])]] == stored["groups"][0][:1] or len(groups[0]) > 1


# The order on the page


@pytest.mark.parametrize("count", range(2, 10))
def test_each_block_of_labelers_is_a_latin_square(count):
    for block in range(3):
        orders = [display_order("ab" * 32, "item", count, block * count + turn) for turn in range(count)]
        for column in zip(*orders):
            assert sorted(column) == list(range(count))
        for row in orders:
            assert sorted(row) == list(range(count))


def test_every_second_labeler_of_a_pair_sees_it_reversed():
    for i in range(50):
        first, second = (display_order("ab" * 32, f"item {i}", 2, slot) for slot in (4, 5))
        assert first == second[::-1]


def test_orders_differ_by_item_block_and_project_and_are_all_about_as_frequent():
    found = [tuple(display_order("cd" * 32, f"item {i}", 3, 0)) for i in range(600)]
    counts = [found.count(p) for p in itertools.permutations(range(3))]
    assert sum(counts) == 600 and min(counts) > 60
    assert found == [tuple(display_order("cd" * 32, f"item {i}", 3, 0)) for i in range(600)]
    for other in (("cd" * 32, 3), ("ef" * 32, 0)):
        assert found != [tuple(display_order(other[0], f"item {i}", 3, other[1])) for i in range(600)]


# Settings


def test_settings_survive_their_storage():
    made = Settings(attributes=["helpful", RatedAttribute(name="own", per="item")], overlap=3)
    assert Settings.model_validate(made.model_dump()) == made
    assert Settings.model_validate(made.model_dump(mode="json")) == made
    assert made.attributes[0] == KNOWN_ATTRIBUTES["helpful"]
    assert Settings(attributes=["own_word"]).attributes[0].name == "own_word"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"overlap": 0}, "greater than or equal to 1"),
        ({"overlap": 51}, "less than or equal to 50"),
        ({"gold_share": 1.5}, "less than or equal to 1"),
        ({"gold_share": 0.3, "repeat_share": 0.21}, "more than half"),
        ({"gold_share": float("nan")}, "less than or equal to 1"),
        ({"lease_seconds": 29}, "greater than or equal to 30"),
        ({"repeat_after": 0}, "greater than or equal to 1"),
        ({"attributes": ["helpful", "helpful"]}, "same name"),
        ({"attributes": ["Not A Word"]}, "small letters"),
        ({"attributes": [{"name": "x", "low": 1, "high": 1}]}, "no two values"),
        ({"attributes": [{"name": "x", "high": 10}]}, "less than or equal to 9"),
        ({"attributes": [f"a{i}" for i in range(13)]}, "at most 12"),
        ({"attributes": "helpful"}, "valid tuple"),
        ({"rationale": "maybe"}, "'off', 'optional' or 'required'"),
        ({"tie": True}, "not permitted"),
    ],
)
def test_settings_that_are_none(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(wrong)
