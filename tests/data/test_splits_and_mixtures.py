"""Splits keep a prompt on one side; mixtures give each source its weight; leaks are found."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from plaudit.data.checks.contamination import duplicate_problems, overlaps
from plaudit.data.mixture import mix
from plaudit.data.records import Demonstration, Labeled, Message, Prompt, Ranking, Response
from plaudit.data.splits import prompt_key, split


def pairs(n: int) -> list[Ranking]:
    """Five judgements of each of n prompts, in no order."""
    return [Ranking.pair(Prompt.user(f"Ask {i % n}?"), f"a{i}", f"b{i}") for i in range(5 * n)]


@given(
    st.lists(st.integers(0, 30), max_size=80),
    st.floats(0, 1),
    st.integers(0, 5),
    st.sampled_from(["", "judge"]),
)
def test_a_split_keeps_all_records_and_never_parts_those_of_a_prompt(asks, share, seed, salt):
    records = [Ranking.pair(Prompt.user(f"Ask {i}?"), "a", f"b{n}") for n, i in enumerate(asks)]
    train, held = split(records, share, seed, salt)
    assert not {r.prompt.id for r in train} & {r.prompt.id for r in held}
    assert sorted(map(id, train + held)) == sorted(map(id, records))
    assert [r for r in records if r in train] == train
    assert split(records, share, seed, salt) == (train, held)


@given(st.permutations(range(40)), st.integers(0, 3))
def test_the_side_of_a_prompt_hangs_on_nothing_but_the_prompt(order, seed):
    prompts = [Prompt.user(f"Ask {i}?") for i in order]
    held = {p.id for p in split(prompts, 0.3, seed)[1]}
    alone = {p.id for p in prompts if split([p], 0.3, seed)[1]}
    assert held == alone
    assert held == {p.id for p in split([Prompt.user(f"Ask {i}?") for i in range(40)], 0.3, seed)[1]}


def test_the_same_prompt_is_on_the_same_side_whatever_record_holds_it():
    for i in range(50):
        prompt = Prompt.user(f"Ask {i}?")
        kinds = [
            prompt,
            Demonstration(prompt, Response("a")),
            Ranking.pair(prompt, "a", "b"),
            Labeled(Prompt(prompt.messages, "elsewhere", {"k": 1}), Response("a"), True),
        ]
        train, held = split(kinds, 0.5)
        assert not train or not held


def test_a_split_has_about_its_share_and_a_larger_one_holds_the_smaller():
    records = pairs(2000)
    small, large = (split(records, share)[1] for share in (0.1, 0.3))
    assert 0.08 < len(small) / len(records) < 0.12
    assert 0.27 < len(large) / len(records) < 0.33
    assert {prompt_key(r) for r in small} < {prompt_key(r) for r in large}


def test_splits_with_another_seed_or_salt_are_independent():
    records = [Prompt.user(f"Ask {i}?") for i in range(4000)]
    first = {p.id for p in split(records, 0.5)[1]}
    for other in (split(records, 0.5, seed=1)[1], split(records, 0.5, salt="judge")[1]):
        both = len(first & {p.id for p in other})
        assert 0.22 < both / len(records) < 0.28


def test_the_sides_are_the_same_on_every_machine_and_day():
    held = split([Prompt.user(f"Ask {i}?") for i in range(12)], 0.5)[1]
    assert [p.text for p in held] == [f"Ask {i}?" for i in (1, 3, 5, 6, 7, 9, 10, 11)]


def test_texts_are_split_by_their_content_and_shares_outside_0_to_1_refused():
    texts = [f"text {i}" for i in range(100)]
    train, held = split(texts + texts, 0.3)
    assert held and not set(train) & set(held)
    assert split(texts, 0.0) == (texts, [])
    assert split(texts, 1.0) == ([], texts)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        split(texts, 1.5)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.floats(0.1, 3.5)), min_size=1, max_size=4), st.integers(0, 3)
)
def test_every_source_is_in_a_mixture_as_often_as_its_weight_says(sizes, seed):
    groups = [([(g, i) for i in range(n)], weight) for g, (n, weight) in enumerate(sizes)]
    mixed = mix(groups, seed=seed)
    assert mixed == mix(groups, seed=seed)
    counts = Counter(mixed)
    for g, (n, weight) in enumerate(sizes):
        times = [counts[g, i] for i in range(n)]
        assert sum(times) == int(weight) * n + round((weight - int(weight)) * n)
        assert all(int(weight) <= t <= int(weight) + 1 for t in times)


def test_a_mixture_is_mixed_and_another_seed_mixes_otherwise():
    groups = [(["a"] * 500, 1.0), (["b"] * 500, 1.0)]
    mixed = mix(groups, seed=0)
    assert 180 < mixed[:500].count("a") < 320
    assert mixed != mix(groups, seed=1)


def test_the_part_that_is_drawn_of_one_source_does_not_hang_on_the_others():
    source = list(range(100))
    alone = set(mix([(source, 0.3)], seed=0))
    beside = set(mix([(source, 0.3), (["other"] * 50, 2.0)], seed=0)) - {"other"}
    assert alone == beside


def test_a_weight_must_be_above_zero():
    with pytest.raises(ValueError, match="above 0"):
        mix([([1], 0.0)], seed=0)


LONG = "In which year did the first ship of the northern fleet reach the harbour of the southern island?"


def test_a_prompt_with_the_same_words_is_found_whatever_its_case_and_punctuation():
    training = [Demonstration(Prompt.user("what IS  this — a test"), Response("Yes."))]
    (found,) = overlaps(training, [Prompt.user("What is this? A test!"), Prompt.user("What is that?")])
    assert (found.exact, found.share) == (True, 1.0)
    assert found.prompt.text == "What is this? A test!"


def test_a_prompt_that_was_nearly_seen_is_found_with_its_share():
    changed = LONG.replace("southern island", "eastern coast")
    (found,) = overlaps([Prompt.user(changed)], [Prompt.user(LONG), Prompt.user("Another " + LONG[::-1])])
    assert not found.exact
    # Of 18 words there are 11 runs of 8; the last two words are in two of them.
    assert found.share == pytest.approx(9 / 11)
    assert overlaps([Prompt.user(changed)], [Prompt.user(LONG)], share=0.9) == []


def test_a_prompt_inside_a_training_text_is_found():
    (found,) = overlaps([f"Long before. {LONG} Long after."], [Prompt.user(LONG)])
    assert found.share == 1.0


def test_a_short_prompt_is_only_compared_whole():
    assert overlaps(["Yes or no, said he."], [Prompt.user("Yes or no")]) == []


def test_the_system_prompt_of_all_is_no_leak():
    rules = Message(
        "system", "You are a kind assistant who answers every question at great length and with care."
    )
    training = [Prompt((rules, Message("user", "One?")))]
    assert overlaps(training, [Prompt((rules, Message("user", "Two?")))]) == []


def talk(*turns):
    return Prompt(tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(turns)))


def test_a_short_prompt_inside_a_conversation_is_found():
    training = [
        Demonstration(
            talk("Hi there!", "Hello.", "Who wrote the Iliad?", "Homer.", "When?"), Response("Long ago.")
        )
    ]
    beginning, turn = talk("Hi there!", "Hello.", "Who wrote the Iliad?"), Prompt.user("who wrote the iliad")
    found = overlaps(training, [beginning, turn, Prompt.user("Who wrote the Odyssey?")])
    assert [(o.prompt, o.exact) for o in found] == [(beginning, True), (turn, True)]
    # Turns that many conversations have are no prompts of their own, and answers are none at all.
    assert overlaps(training, [Prompt.user("When?"), Prompt.user("Homer."), Prompt.user("Hello.")]) == []


CHINESE = "请用通俗易懂的语言解释一下光合作用的原理，并举出两个生活中的例子来说明它的重要性。"
JAPANESE = "日本で一番高い山の名前と、その山に初めて登った人について詳しく教えてください。"


@pytest.mark.parametrize("asked", [CHINESE, JAPANESE])
def test_a_text_without_spaces_is_compared_by_its_characters(asked):
    (found,) = overlaps([f"在此之前。{asked}然后。"], [Prompt.user(asked)])
    assert found.share == 1.0
    (near,) = overlaps([Prompt.user(asked[:-5])], [Prompt.user(asked)])
    assert not near.exact and 0.6 <= near.share < 1
    # What many questions begin with is no leak.
    assert overlaps([Prompt.user(asked[:12] + "水为什么会结冰呢？")], [Prompt.user(asked)]) == []
    (turn,) = overlaps([talk("你好", "你好！", asked)], [Prompt.user(asked)])
    assert turn.exact
    assert overlaps([talk("什么是茶", "一种饮料", "然后呢")], [Prompt.user("然后呢")]) == []


def test_many_leaks_are_told_as_twenty_and_a_count():
    prompts = [Prompt.user(f"Ask {i}?") for i in range(30)]
    problems = duplicate_problems(prompts, prompts, training_file="train", evaluation_file="test")
    assert len(problems) == 21
    assert "10 more" in problems[-1].message
    assert duplicate_problems(prompts, [], training_file="train", evaluation_file="test") == []
