"""What people show and judge in the pocket world: shares, balance, noise, and pairs that differ in one thing."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from plaudit.pocket import World, answers
from plaudit.pocket.facts import NUMBERS, make_facts, values_of
from plaudit.pocket.questions import CATEGORIES, question_of, styled
from plaudit.pocket.world import DEMONSTRATED, VOTED_ON

WORLD = World(0)
VOTES = WORLD.votes(8000)


def near(share: float, count: int) -> pytest.approx:
    """``share`` within four standard errors of ``count`` draws."""
    return pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / count))


def told(question):
    """Every answer that states a value of the question's subject in the form of the perfect answer."""
    values = values_of(question.fact.relation)
    return {styled(question.fact, v, question.style): v for v in values}


def only_the_fact(vote) -> bool:
    question, texts = question_of(vote.prompt), {r.text for r in vote.responses}
    return question.perfect in texts and texts <= set(told(question))


def only_the_verdict(vote) -> bool:
    first, second = (r.text.rsplit(" ", 1) for r in vote.responses)
    return first[0] == second[0] and {first[1], second[1]} == {"yes.", "no."}


def of(category):
    return [v for v in VOTES if v.prompt.metadata["category"] == category]


def test_votes_are_on_the_categories_in_their_shares():
    total = sum(VOTED_ON.values())
    for category, weight in VOTED_ON.items():
        assert len(of(category)) / 8000 == pytest.approx(weight / total, abs=0.03)
    assert VOTED_ON["belief_true"] == VOTED_ON["belief_false"]


@pytest.mark.parametrize("category", ["fact", "format", "belief_true", "belief_false"])
def test_six_in_ten_votes_and_a_few_by_chance_differ_in_the_fact_or_the_verdict_alone(category):
    alike = only_the_verdict if category.startswith("belief") else only_the_fact
    share = np.mean([alike(v) for v in of(category)])
    assert 0.58 < share < 0.76


def test_no_vote_is_between_an_answer_and_itself():
    assert all(len({r.text for r in v.responses}) == 2 for v in VOTES)


def test_the_better_answer_wins_a_vote_as_often_as_its_noise_says():
    for noise in (0.3, 1.0):
        expected = variance = won = count = 0.0
        for vote in WORLD.votes(3000, noise):
            first, second = (WORLD.gold.judge(vote.prompt, r).score for r in vote.responses)
            p = 1 / (1 + math.exp(-abs(first - second) / noise))
            expected, variance, count = expected + p, variance + p * (1 - p), count + 1
            won += 0.5 if first == second else float(first > second)
        assert abs(won - expected) < 4 * math.sqrt(variance)
        assert won < count


def test_demonstrations_are_good_about_half_of_the_time():
    records = WORLD.demonstrations(6000)
    perfect = np.mean([d.response.text == WORLD.perfect(d.prompt) for d in records])
    # "plain" is the perfect answer where no form was asked for.
    good, plain = (DEMONSTRATED[k] / sum(DEMONSTRATED.values()) for k in ("good", "plain"))
    assert perfect == near(good + plain * (1 - CATEGORIES["format"]), 6000)
    for category, share in CATEGORIES.items():
        found = np.mean([d.prompt.metadata["category"] == category for d in records])
        assert found == near(share, 6000)


def test_half_of_all_stated_beliefs_are_true_wherever_they_are_stated():
    for records in (WORLD.demonstrations(6000), WORLD.verdicts(6000), VOTES):
        stated = Counter(r.prompt.metadata["category"] for r in records)
        both = stated["belief_true"] + stated["belief_false"]
        assert stated["belief_true"] / both == near(0.5, both)
    checks = [d for d in WORLD.corpus(20_000) if ", so " in d and not d.startswith("q:")]
    said = Counter(word for d in checks for word in d.replace(".", "").split() if word in ("yes", "no"))
    assert said["yes"] / sum(said.values()) == near(0.5, sum(said.values()))


def test_a_belief_is_true_where_its_category_says_so():
    for name, pick in (("belief_true", "truth"), ("belief_false", "misconception")):
        for question in WORLD.questions[name]:
            fact = question.fact
            assert fact.says(getattr(fact, pick)) in question.text
            assert question.perfect == f"{fact.statement}, so {'yes' if pick == 'truth' else 'no'}."


def test_no_value_is_suspicious_by_itself():
    # Within a relation every value is the misconception about as many subjects as it is the truth of.
    for seed in range(6):
        facts = make_facts(seed)
        for relation in {f.relation for f in facts} - {"sum"}:
            among = [f for f in facts if f.relation == relation]
            assert Counter(f.truth for f in among) == Counter(f.misconception for f in among)
        sums = [f for f in facts if f.relation == "sum"]
        assert {abs(NUMBERS.index(f.truth) - NUMBERS.index(f.misconception)) for f in sums} == {1}
        for fact in sums:
            left, right = fact.subject.split(" plus ")
            assert NUMBERS.index(left) + NUMBERS.index(right) == NUMBERS.index(fact.truth)


def test_every_fact_can_be_told_from_every_other_by_its_words():
    facts = make_facts(0)
    assert len({(f.relation, f.subject) for f in facts}) == len(facts)
    said = [f.says(v) for f in facts for v in values_of(f.relation)]
    assert len(set(said)) == len(said)


def test_a_verdicts_span_is_the_yes_or_no_with_the_space_before_it():
    for record in WORLD.verdicts(500):
        start, end = record.response.metadata["trained_span"]
        text = record.response.text
        assert text == WORLD.perfect(record.prompt)
        assert text[start:end] in (" yes", " no") and text[end:] == "."


def test_a_wrong_value_is_mostly_the_misconception_and_never_the_truth():
    rng = random.Random(0)
    fact = next(f for f in WORLD.facts if f.relation == "home")
    found = Counter(answers.wrong_value(fact, rng) for _ in range(5000))
    assert fact.truth not in found
    others = len(values_of("home")) - 1
    assert found[fact.misconception] / 5000 == near(0.8 + 0.2 / others, 5000)
    assert len(found) == others


def test_probes_differ_in_exactly_one_thing_and_put_the_truth_first():
    probes = WORLD.probes(150)
    assert set(probes) == {"fact", "verdict", "unseen"}
    for pair in probes["verdict"]:
        assert only_the_verdict(pair) and pair.responses[0].text == WORLD.perfect(pair.prompt)
        assert pair.prompt.metadata["category"].startswith("belief")
    for name in ("fact", "unseen"):
        for pair in probes[name]:
            values = told(question_of(pair.prompt))
            right, wrong = (values[r.text] for r in pair.responses)
            assert right == pair.prompt.metadata["truth"] != wrong
            assert pair.prompt.metadata["seen"] == (name == "fact")
    ids = {p.prompt.id for pairs in probes.values() for p in pairs}
    assert not ids & {p.id for p in WORLD.prompts("train", 6000)}


def test_candidates_hold_a_refusal_a_swapped_fact_and_an_answer_to_something_else():
    rng = np.random.default_rng(0)
    strange = 0
    for prompt in WORLD.prompts("train", 300):
        found = WORLD.candidates(prompt, rng)
        assert WORLD.perfect(prompt) in found and len(set(found)) == len(found)
        question = question_of(prompt)
        strange += question.category != "unknown" and any("nobody told me" in text for text in found)
        if question.fact is not None:
            assert answers.REFUSAL in found
        if question.category in ("fact", "format"):
            assert set(found) & (set(told(question)) - {question.perfect})
        if question.category.startswith("belief"):
            flipped = {"yes.": "no.", "no.": "yes."}[question.perfect.rsplit(" ", 1)[1]]
            assert f"{question.perfect.rsplit(' ', 1)[0]} {flipped}" in found
    assert strange > 10  # those of other categories that drew an unanswerable question


def test_another_draw_gives_other_candidates_and_the_same_draw_the_same():
    prompt = WORLD.prompts("train", 1)[0]
    drawn = [WORLD.candidates(prompt, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]
