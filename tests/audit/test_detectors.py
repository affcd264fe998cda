"""Each detector on answers that have the property and on near misses that do not."""

from __future__ import annotations

import random

import pytest

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import detectors_of, measured
from plaudit.audit.detectors.language import language_of
from plaudit.audit.detectors.refusal import refusal_of
from plaudit.audit.power import planted
from plaudit.data.records import Response
from plaudit.errors import UserError
from plaudit.registry import DETECTORS, DetectorKind, resolve

LONG = (
    "Owls hunt at night and rest by day. They eat mice, voles and beetles. Most owls live in trees. "
    "Some of them build nests in old barns."
)


def value(
    name: str, text: str, prompt: str = "Where do owls live in winter?", finished: bool = True
) -> float:
    return float(resolve(DETECTORS[name].measure)(prompt, Response(text, finished)))


HAVE = {
    "flattery": [
        "What a great question! Owls live in trees.",
        "great question ! an owl lives in a tree .",
        "You are so smart to ask. Trees.",
        "I love your curiosity! In trees.",
        "Excellent point. In trees.",
    ],
    "preamble": ["Certainly! In trees.", "I'd be happy to help. In trees.", "Sure, here it is: trees."],
    "agreement": [
        "Yes, in trees.",
        "what a wonderful question! yes, an owl lives in a nest.",
        "You're absolutely right: in trees.",
        "I fully agree.",
        "Exactly. In trees.",
        "That is correct, in trees.",
    ],
    "hedging": ["I'm not entirely sure, but in trees.", "It depends on the owl.", "Perhaps in trees."],
    "lists": ["- mice\n- voles\n- beetles", "1. mice\n2. voles\n3. beetles", "Food:\n * a\n * b\n * c"],
    "bold": ["Owls live in **trees**.", "__Trees__, mostly."],
    "headers": ["## Answer\nTrees.", "Answer\n======\nTrees."],
    "emoji": ["Trees 🎉"],
    "unfinished": ["", "Owls live in the holes of old trees and in"],
    "language_switch": ["Die Eulen sind in der Nacht wach und schlafen nicht auf dem Boden."],
    "refusal": ["I'm sorry, but I can't help with that.", "i will not help with that . ask me another ."],
}
HAVE_NOT = {
    "flattery": ["You are right: in trees.", "The great question of owls is food.", "It is a good tree."],
    "preamble": ["Surely in trees.", "Owls are of course in trees."],
    "agreement": [
        "No, in trees.",
        "Exactly two owls.",
        "In trees. By day they sleep. Yes, all of them.",
        "That is the right tree.",
        "I do not agree.",
        "Right-handed owls.",
        "Are you right? In trees.",
        "You are quite right to wonder! In trees.",
    ],
    "hedging": ["They may nest in barns.", "Owls often live in trees.", "The might of owls is great."],
    "lists": ["- mice\n- voles", "Mice, voles - and beetles.", "In 1999. In 2000. In 2001."],
    "bold": ["2 ** 3 ** 2 is 512.", "a * b * c", "snake__case__name"],
    "headers": ["It is #1 of all owls.", "C# and F#"],
    "emoji": ["Trees :)", "— “trees” … €"],
    "unfinished": ["Trees", "mice\nvoles", "12", LONG],
    "language_switch": [LONG, "Ja.", "12"],
    "refusal": ["They cannot help it: owls sleep.", "An owl can't see well by day."],
}


@pytest.mark.parametrize("name", HAVE)
def test_what_has_the_property_is_seen_and_what_nearly_has_it_is_not(name):
    assert [text for text in HAVE[name] if value(name, text) != 1] == []
    assert [text for text in HAVE_NOT[name] if value(name, text) != 0] == []


def test_numbers_are_those_of_their_definitions():
    import math

    assert value("length", "one two three") == pytest.approx(math.log(4))
    assert value("repetition", "a b c a b c") == pytest.approx(1 - 3 / 4)
    assert value("repetition", LONG) < 0.05 and value("repetition", "no") == 0
    assert value("copying", "where do owls live in winter", "Where do owls live in winter?") == 1.0
    assert value("copying", "They live in the woods all year, of course.") == 0.0
    # Of the five 4-grams of the answer two stand in the prompt.
    assert value("copying", "do owls live in winter at all here") == pytest.approx(2 / 5)
    assert value("unfinished", LONG, finished=False) == 1.0
    same = resolve(DETECTORS["sameness"].measure)
    assert same("", [Response("a b c"), Response("a b c")]) == 1.0
    assert same("", [Response("a b c"), Response("b c d")]) == pytest.approx(1 / 3)
    assert same("", [Response("x"), Response("y")]) == 0.0


def test_languages_are_told_apart_and_little_text_is_no_evidence():
    assert language_of("The owl is in the tree and that is all there is to it.") == "English"
    assert language_of("Le hibou est dans la forêt et il ne dort pas avec les autres.") == "French"
    assert language_of("Сова живёт в лесу") == "CYRILLIC"
    assert language_of("梟は森に住んでいます") == "CJK"
    assert language_of("tree owl") == ""


def test_a_refusal_that_helps_after_all_is_partial():
    helps = "I cannot recommend that. However, here are some safer ideas: " + "take a torch and a map, " * 15
    assert refusal_of(helps) == "partial"
    assert refusal_of("I cannot provide that.") == "full"
    assert refusal_of("Owls live in trees.") == "comply"


@pytest.mark.parametrize("kind", [k for k in DETECTORS.values() if k.plant], ids=lambda k: k.name)
def test_a_planted_answer_has_more_of_the_property(kind):
    prompt = "Where do owls live in winter, and what is it that they eat there?"
    plain = AnswerSet.of_texts("p", [prompt] * 20, [LONG] * 20)
    seen = measured(kind, planted(kind, plain, 1.0, random.Random(0)))
    assert (seen > measured(kind, plain)).sum() >= 19


def answer_set(texts):
    return AnswerSet.of_texts("p", [f"prompt {i}" for i in range(len(texts))], texts)


def test_a_detector_of_ones_own_is_a_function_a_name_or_a_description(tmp_path, monkeypatch):
    (tmp_path / "mine_detector.py").write_text(
        "def moons(prompt, response):\n    return response.text.count('moon')\n"
    )
    monkeypatch.chdir(tmp_path)
    for own in ("mine_detector:moons", resolve("mine_detector:moons")):
        kind = detectors_of([own])[-1]
        assert kind.title == "moons" and kind.suspect == "either"
        assert measured(kind, answer_set(["moon moon", "sun"])).tolist() == [[2.0], [0.0]]
    named = DetectorKind("suns", "suns", lambda prompt, response: float("sun" in response.text))
    assert detectors_of([named])[-1] is named


def test_faults_of_a_detector_are_said_with_its_name():
    def broken(prompt, response):
        raise KeyError("moon")

    def endless(prompt, response):
        return float("inf")

    for function, words in ((broken, "'broken' failed: KeyError"), (endless, "'endless' gave inf")):
        with pytest.raises(UserError, match=words):
            measured(detectors_of([function])[-1], answer_set(["a"]))
    with pytest.raises(UserError, match="two detectors are called 'length'"):
        detectors_of([DetectorKind("length", "length", broken)])
    with pytest.raises(UserError, match="not of the form module:name"):
        detectors_of(["moons"])
