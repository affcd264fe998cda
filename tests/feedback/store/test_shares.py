"""Gold, repeats and work come as often as the settings say, with the probabilities that are stored."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from making import NOW, PLAIN, make, verdict_on
from scipy.stats import binom
from sqlalchemy import func, select

from plaudit.feedback.store import submission
from plaudit.feedback.store.claiming import Nothing, choose, claim, eligible, repeatable
from plaudit.feedback.store.schema import Assignment, Member
from plaudit.feedback.store.settings import Settings

# Shares are drawn by the same code on both; queries are compared on both elsewhere.
pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


def within(count, total, share):
    """Whether a count is one of those that come up all but once in a million times."""
    low, high = binom.ppf(5e-7, total, share), binom.ppf(1 - 5e-7, total, share)
    assert low <= count <= high, f"{count} of {total} at {share}: expected {low} to {high}"


def labor(session, member_id, settings, seed, claims, each):
    """Claim and judge, all in one transaction for speed; ``each`` sees how many could be chosen of each kind."""
    rng = random.Random(seed)
    member = session.get_one(Member, member_id)

    def size(query):
        return session.scalar(select(func.count()).select_from(query.subquery()))

    for i in range(claims):
        kinds = {p: size(eligible(member.project_id, member, p)) for p in ("work", "gold")}
        kinds["repeat"] = size(repeatable(member, settings))
        a = claim(session, member_id, now=NOW + i, rng=rng)
        if isinstance(a, Nothing):
            return
        each(a, kinds)
        submission.submit(session, member, a.id, verdict=verdict_on(a), key=f"key-{i:05d}", now=NOW + i)


@pytest.mark.parametrize("gold_share, repeat_share", [(0.2, 0.15), (0.3, 0.0), (0.0, 0.25)])
def test_shares_are_those_of_the_settings(database, gold_share, repeat_share):
    chosen = {"gold_share": gold_share, "repeat_share": repeat_share, "repeat_after": 2}
    settings = Settings.model_validate({**PLAIN, **chosen})
    made = make(database, items=30, gold=10)
    # Twelve judged, all but the last two of which may be repeated; then nothing changes any more.
    database.write(labor, made.members[0], Settings.model_validate(PLAIN), 1, 12, lambda a, kinds: None)
    sizes = {"work": 18, "gold": 10, "repeat": 10}
    shares = {"gold": gold_share, "repeat": repeat_share, "work": 1 - gold_share - repeat_share}
    counts, items = Counter(), Counter()
    draws = 150

    def work(session):
        rng, member = random.Random(7), session.get_one(Member, made.members[0])
        for _ in range(draws):
            purpose, drawn = choose(session, made.project, member, settings, rng)
            assert drawn.probability == pytest.approx(shares[purpose] / sizes[purpose])
            counts[purpose] += 1
            items[purpose, drawn.item_id] += 1

    database.read(work)
    for purpose in sizes:
        within(counts[purpose], draws, shares[purpose])
    for (purpose, _), count in items.items():
        within(count, draws, shares[purpose] / sizes[purpose])


def test_stored_propensities_follow_what_is_left(database):
    chosen = {"gold_share": 0.2, "repeat_share": 0.2, "repeat_after": 3}
    made = make(database, items=40, gold=4, **chosen)
    seen = Counter()

    def each(a, kinds):
        shares = {kind: 0.2 if kinds[kind] else 0.0 for kind in ("gold", "repeat")}
        shares["work"] = 1 - shares["gold"] - shares["repeat"]
        assert a.propensity == pytest.approx(shares[a.purpose] / kinds[a.purpose])
        seen[a.purpose] += 1
        seen["without gold"] += not kinds["gold"]
        seen["without repeats"] += not kinds["repeat"]

    settings = Settings.model_validate({**PLAIN, **chosen})
    database.write(labor, made.members[0], settings, 3, 70, each)
    assert seen["work"] == 40 and seen["gold"] == 4 and seen["repeat"] >= 5
    assert seen["without gold"] and seen["without repeats"]


def test_weighting_by_propensity_undoes_the_choice(database):
    """The mean of 1 / propensity over what was chosen is the number that could have been chosen."""
    made = make(database, items=20)
    member, claims = made.members[0], 100
    first = Counter()

    def many(session):
        rng = random.Random(11)
        total = 0.0
        for i in range(claims):
            a = claim(session, member, now=NOW + i, rng=rng)
            first[a.item_id] += 1
            total += 1 / a.propensity
            submission.release(session, session.get_one(Member, member), a.id, now=NOW + i)
        return total / claims

    assert database.write(many) == pytest.approx(20)
    for count in [*first.values(), *[0] * (20 - len(first))]:
        within(count, claims, 1 / 20)


def test_nothing_but_work_without_shares(database):
    made = make(database, items=25, gold=20)
    purposes = []
    settings = Settings.model_validate(PLAIN)
    database.write(labor, made.members[0], settings, 5, 30, lambda a, kinds: purposes.append(a.purpose))
    assert purposes == ["work"] * 25
    assert database.read(lambda s: s.scalar(select(func.sum(Assignment.propensity)))) == pytest.approx(
        sum(1 / n for n in range(1, 26))
    )
