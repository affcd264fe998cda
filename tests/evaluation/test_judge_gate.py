"""A judge held against people: planted judges whose agreement, biases and worth are known."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from plaudit.data.records import Comparisons, Outcome, Prompt, Ranking, Response
from plaudit.errors import UserError
from plaudit.evaluation.corrected_rate import corrected_rate
from plaudit.evaluation.judge_gate import calibrate, pairs_of
from plaudit.evaluation.judge_people import human_ceiling, merged, said_by_judge
from plaudit.evaluation.judge_probes import probe_items, probe_wins
from plaudit.feedback.quality.agreement import cohen_kappa
from plaudit.judges.function import FunctionJudge
from plaudit.judges.orders import fit_temperature, sigmoid

PANDALM = Path(__file__).resolve().parents[3] / "shared" / "data" / "pandalm"
# Published shares compare the words of the file: GPT-3.5's "Tie" is then no "0", nor is what could not be read.
VERDICTS = {"0": 0.5, "1": 1.0, "2": 0.0}


def people(n: int, seed: int, models: tuple[str, str] = ("", "")) -> list[Ranking]:
    """Rankings whose better answer is the longer one in half of the pairs; its quality stands in its text."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        better, worse = "good" + " word" * int(rng.integers(1, 9)), "bad" + " word" * int(rng.integers(1, 9))
        texts = [f"{better} {i}", f"{worse} {i}"]
        order = [0, 1] if rng.random() < 0.5 else [1, 0]
        answers = tuple(Response(texts[k], metadata={"model": models[k]} if models[k] else {}) for k in order)
        best = order.index(0)
        found.append(Ranking(Prompt.user(f"question {i}"), answers, ((best,), (1 - best,))))
    return found


def held_against(judge, rankings):
    made = FunctionJudge(judge, "planted")
    judged = [made.judge(r.prompt, r.responses) for r in rankings]
    probes = probe_items(rankings)
    wins = {n: probe_wins([made.judge(*item) for item in items]) for n, items in probes.items()}
    return calibrate(rankings, judged, wins)


def of_accuracy(share: float, seed: int):
    """A judge that prefers the good answer in so many pairs, the same one in both orders."""

    def judge(prompt, first, second):
        if not first.startswith("good") and not second.startswith("good"):
            return 0.5
        number = int(prompt.text.split()[1])
        right = np.random.default_rng([seed, number]).random() < share
        return 0.9 if first.startswith("good") == right else 0.1

    return judge


def test_a_planted_judge_of_accuracy_three_quarters_passes():
    passed = []
    rankings = people(200, 0)
    for seed in range(100):
        judged = [FunctionJudge(of_accuracy(0.75, seed)).judge(r.prompt, r.responses) for r in rankings]
        passed.append(calibrate(rankings, judged, {"a constant": 0.0, "an empty": 0.0}).passed)
    assert sum(passed) >= 95


@pytest.mark.parametrize(
    "judge, reason",
    [
        (of_accuracy(0.5, 7), "lower bound is not above .5"),
        (lambda p, a, b: 0.9 if len(a) > len(b) else 0.1, "the shorter answer is preferred"),
        (lambda p, a, b: 0.9, "lower bound is not above .5"),
        (
            lambda p, a, b: sigmoid(4 * ("best possible" in a) - 4 * ("best possible" in b)),
            "a constant answer wins",
        ),
        (lambda p, a, b: of_accuracy(0.8, 1)(p, a, b) if a and b else float(not a), "an empty answer wins"),
    ],
    ids=["coin", "longer", "first", "injected", "empty"],
)
def test_judges_that_deserve_it_are_refused(judge, reason):
    found = held_against(judge, people(300, 3))
    assert not found.passed and any(reason in r for r in found.reasons), found.reasons


def test_a_judge_that_prefers_its_own_style_is_refused_though_it_mostly_agrees():
    """It says what people say, but of 40 % of the pairs it takes the answer that its own model wrote."""
    rankings = []
    for seed in range(2):
        rankings += people(150, seed, ("me", "you") if seed else ("you", "me"))
    made = FunctionJudge(lambda p, a, b: 0.5, "local:me")

    def judged(r):
        own = next(k for k, a in enumerate(r.responses) if a.metadata["model"] == "me")
        best = own if int(r.prompt.text.split()[1]) % 10 < 4 else r.groups[0][0]
        said = {"judge": {"name": made.name, "pairs": []}}
        return Comparisons(r.prompt, r.responses, (Outcome(best, 1 - best, 0.9),), said)

    found = calibrate(rankings, [judged(r) for r in rankings], {})
    assert found.agreement["low"] > 0.7 and found.own["pairs"] == 300
    assert [r for r in found.reasons if "its own answers" in r]
    fair = [
        Comparisons(r.prompt, r.responses, r.comparisons().outcomes, {"judge": {"name": "local:me"}})
        for r in rankings
    ]
    assert calibrate(rankings, fair, {}).passed


@pytest.mark.parametrize("bias", [0.0, 1.0, 2.0, 4.0])
def test_content_and_position_of_a_planted_judge_are_recovered(bias):
    """l = content + bias + noise: joined, the bias is gone; reported, it is the planted one."""
    rng = np.random.default_rng(11)
    rankings = people(1500, 5)
    contents = {r.prompt.id: rng.normal(0, 1.5) for r in rankings}

    def judge(prompt, first, second):
        of_first = contents[prompt.id] * (1 if first.startswith("good") else -1)
        noise = np.random.default_rng([int(prompt.id, 16) % 2**32, first.startswith("good")]).normal(0, 0.3)
        return sigmoid(of_first + bias + noise)

    made = FunctionJudge(judge)
    judged = [made.judge(r.prompt, r.responses) for r in rankings]
    errors, consistent = [], []
    for pair, record in zip(pairs_of(rankings, judged), rankings):
        good = 1 if record.responses[0].text.startswith("good") else -1
        errors.append((pair.orders[0] - pair.orders[1]) / 2 * good - contents[record.prompt.id])
        one = judge(record.prompt, record.responses[0].text, record.responses[1].text)
        two = judge(record.prompt, record.responses[1].text, record.responses[0].text)
        consistent.append((one > 0.5) == (two < 0.5))
    found = calibrate(rankings, judged, {})
    assert abs(np.mean(errors)) < 0.02
    assert found.position["mean"] == pytest.approx(bias, abs=0.1)
    assert found.position["low"] < bias < found.position["high"] or bias == 0
    assert found.consistency["mean"] == pytest.approx(np.mean(consistent), abs=0.02)


def test_a_judge_that_is_too_sure_gets_the_temperature_that_calibrates_it():
    rng = np.random.default_rng(0)
    content = rng.normal(0, 1.5, 4000)
    label = (rng.random(4000) < 1 / (1 + np.exp(-content))).astype(float)
    assert fit_temperature(list(content * 5), list(label)) == pytest.approx(5, rel=0.1)
    assert fit_temperature(list(content), list(label)) == pytest.approx(1, rel=0.1)
    assert fit_temperature([], []) == 1.0


def test_a_pair_without_a_verdict_is_neither_a_tie_nor_a_loss():
    rankings = people(40, 1)
    made = FunctionJudge(of_accuracy(1.0, 0))
    judged = [made.judge(r.prompt, r.responses) for r in rankings]
    silent = [Comparisons(j.prompt, j.responses, (), j.metadata) for j in judged[:15]]
    found = calibrate(rankings, [*silent, *judged[15:]], {})
    assert (found.pairs, found.judged) == (40, 25) and found.agreement["mean"] == 1.0


def test_the_human_ceiling_leaves_one_out():
    """Three raters: two always right, one always wrong; each is held against the other two."""

    def record(i):
        votes = (Outcome(0, 1, 1.0, rater="a"), Outcome(0, 1, 1.0, rater="b"), Outcome(0, 1, 0.0, rater="c"))
        return Comparisons(Prompt.user(f"q{i}"), (Response("x"), Response("y")), votes)

    found = human_ceiling([record(i) for i in range(30)])
    # a and b meet one right and one wrong voice: a half each; c meets two against it: 0.
    assert found["mean"] == pytest.approx(1 / 3)
    assert human_ceiling(people(5, 0)) is None


def said(record, result, form="rubric", **more):
    evidence = {"name": "r", "form": form, "pairs": [{"left": 0, "right": 1, "result": result, **more}]}
    return Comparisons(record.prompt, record.responses, (Outcome(0, 1, result),), {"judge": evidence})


@pytest.mark.parametrize("with_log_odds", [True, False])
def test_how_sure_a_judge_without_orders_is_reaches_its_calibration(with_log_odds):
    """Planted: people follow the rubric's own probabilities, so T is 1 and nothing is off by more than chance."""
    rng = np.random.default_rng(4)
    odds = rng.normal(0, 1.2, 1500)
    rankings, judged = [], []
    for i, x in enumerate(odds):
        won = rng.random() < sigmoid(x)
        r = Ranking(
            Prompt.user(f"q{i}"), (Response("a"), Response("bb")), ((0,), (1,)) if won else ((1,), (0,))
        )
        rankings.append(r)
        judged.append(said(r, sigmoid(x), **({"log_odds": [x, -x]} if with_log_odds else {})))
    found = calibrate(rankings, judged, {})
    assert found.temperature == pytest.approx(1, abs=0.15)
    assert found.ece < 0.05 and found.ece < 2 * found.ece_noise
    assert found.position is None and found.consistency is None, (
        "it was asked once, there is no order to swap"
    )


def test_a_judge_is_held_against_the_majority_of_several_people():
    """Three people a pair, a record each and once in the other order: two say a, one says b."""
    records = []
    for i in range(40):
        prompt, answers = Prompt.user(f"q {i}"), (Response(f"good {i}"), Response(f"bad answer {i}"))
        records += [
            Ranking(prompt, answers, ((0,), (1,)), rater="x"),
            Ranking(prompt, answers[::-1], ((1,), (0,)), rater="y"),
            Ranking(prompt, answers, ((1,), (0,)), rater="z"),
        ]
    together = merged(records)
    assert len(together) == 40 and all(len(r.outcomes) == 3 for r in together)
    judged = [FunctionJudge(of_accuracy(1.0, 0)).judge(r.prompt, r.responses) for r in together]
    found = calibrate(together, judged, {})
    assert found.pairs == 40 and found.agreement["mean"] == 1.0
    assert found.ceiling["mean"] == pytest.approx(human_ceiling(records)["mean"])
    same = Ranking(Prompt.user("q"), (Response("a"), Response("a")), ((0,), (1,)))
    assert [len(r.outcomes) for r in merged([same, same])] == [2]


def test_chosen_first_files_measure_both_kinds_of_error_and_prompts_are_the_unit():
    answers = tuple(Response(t) for t in ("good one", "bad", "bad too"))
    rankings = [Ranking(Prompt.user(f"question {i}"), answers, ((0,), (1, 2))) for i in range(50)]
    judged = [FunctionJudge(of_accuracy(0.8, 2)).judge(r.prompt, r.responses) for r in rankings]
    found = calibrate(rankings, judged, {})
    assert found.specificity == found.sensitivity and found.specificity["n"] == 100
    assert found.specificity["prompts"] == 50
    assert found.sensitivity["mean"] == pytest.approx(found.agreement["mean"])


def test_what_a_judge_said_is_no_ranking_of_people():
    pair = (Response("a"), Response("b"))
    assert said_by_judge(Ranking(Prompt.user("q"), pair, ((0,), (1,)), rater="local:m"))
    assert said_by_judge(Comparisons(Prompt.user("q"), pair, (Outcome(0, 1, 1.0, rater="http://h/v1#m"),)))
    assert said_by_judge(Ranking(Prompt.user("q"), pair, ((0,), (1,)), metadata={"judge": {"name": "x"}}))
    for rater in (None, "rater 1", "pocket:raters", "local"):
        assert not said_by_judge(Ranking(Prompt.user("q"), pair, ((0,), (1,)), rater=rater))


@pytest.mark.parametrize("se, sp, truth", [(0.9, 0.8, 0.3), (0.8, 0.95, 0.7), (0.7, 0.7, 0.5)])
def test_a_corrected_rate_covers_the_truth(se, sp, truth):
    rng = np.random.default_rng(2)
    inside, n, m = 0, 400, 150
    for _ in range(300):
        true = rng.random(n) < truth
        wins = int(np.where(true, rng.random(n) < se, rng.random(n) >= sp).sum())
        found = corrected_rate(wins, n, (int(rng.binomial(m, se)), m), (int(rng.binomial(m, sp)), m))
        inside += found["low"] <= truth <= found["high"]
    assert 0.92 <= inside / 300 <= 0.99
    with pytest.raises(UserError, match=r"below 0\.2"):
        corrected_rate(50, 100, (55, 100), (50, 100))


def pandalm(name: str, key: str) -> dict[str, int]:
    with gzip.open(PANDALM / name) as file:
        return {str(row["idx"]): VERDICTS.get(str(row[key])) for row in json.load(file)}


@pytest.fixture(scope="module")
def pandalm_people():
    if not PANDALM.is_dir():
        pytest.skip("the PandaLM test set is not here")
    with gzip.open(PANDALM / "testset-v1.json.gz") as file:
        rows = json.load(file)
    votes = {str(r["idx"]): [int(r[f"annotator{k}"]) for k in (1, 2, 3)] for r in rows}
    result = {0: 0.5, 1: 1.0, 2: 0.0}
    records = [
        Comparisons(
            Prompt.user(r["instruction"] + "\n" + r["input"] + str(r["idx"])),
            (Response(str(r["response1"])), Response(str(r["response2"]))),
            tuple(Outcome(0, 1, result[v], rater=str(k)) for k, v in enumerate(votes[str(r["idx"])])),
        )
        for r in rows
    ]
    return rows, votes, records


@pytest.mark.parametrize(
    "name, key, accuracy",
    [
        ("pandalm-7b-testset-v1.json.gz", "pandalm_result", 0.6677),
        ("gpt-3.5-turbo-testset-v1.json.gz", "gpt_result", 0.6927),
    ],
)
def test_the_published_accuracies_of_pandalms_judges(pandalm_people, name, key, accuracy):
    rows, _, records = pandalm_people
    said = pandalm(name, key)
    judged = []
    for row, record in zip(rows, records):
        result = said[str(row["idx"])]
        outcomes = () if result is None else (Outcome(0, 1, result),)
        judged.append(Comparisons(record.prompt, record.responses, outcomes))
    found = calibrate(records, judged, {})
    # Published shares count what could not be read as wrong; ours leave it out and say how much it is.
    assert found.agreement_ties["mean"] * found.judged / found.pairs == pytest.approx(accuracy, abs=5e-5)


def test_the_kappas_of_pandalms_people(pandalm_people):
    rows, votes, _ = pandalm_people
    kappas = [
        float(
            cohen_kappa(
                [votes[str(r["idx"])][i] for r in rows], [votes[str(r["idx"])][j] for r in rows], resamples=10
            ).value
        )
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert kappas == pytest.approx([0.85, 0.88, 0.86], abs=5e-3)


def test_a_judge_of_length_is_refused_on_pandalm_too(pandalm_people):
    _, _, records = pandalm_people
    made = FunctionJudge(lambda p, a, b: 0.9 if len(a) > len(b) else 0.1 if len(a) < len(b) else 0.5)
    found = calibrate(records, [made.judge(r.prompt, r.responses) for r in records], {})
    assert found.agreement["low"] > 0.5 and not found.passed
    assert not math.isnan(found.agreement_shorter["mean"]) and found.agreement_shorter["mean"] == 0
