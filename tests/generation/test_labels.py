"""Labels read off models: log-probabilities of what a reply begins with, and verdicts in words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.generation.labels import LabelRequest, reading_of
from plaudit.generation.verdict_text import label_in
from plaudit.judges.principles import Principle


def entries(**shares: float):
    return [{"token": t, "bytes": list(t.encode()), "logprob": math.log(p)} for t, p in shares.items()]


def test_variants_of_a_label_add_up_and_strangers_do_not_count():
    tokens = [
        {"token": "A", "bytes": [65], "logprob": math.log(0.3)},
        {
            "token": "?",
            "bytes": [32, 65],
            "logprob": math.log(0.2),
        },  # the name is not the text: the bytes decide
        {"token": "(B", "bytes": None, "logprob": math.log(0.1)},
        {"token": "a", "bytes": [97], "logprob": math.log(0.2)},  # a word
        {"token": "Apple", "bytes": None, "logprob": math.log(0.1)},
        {"token": "B", "bytes": None, "logprob": -9999.0},  # vLLM's "absent"
    ]
    found = reading_of(tokens, ("A", "B"))
    assert found.log_probs == pytest.approx({"A": math.log(0.5), "B": math.log(0.1)})
    assert found.mass == pytest.approx(0.6) and found.label == "A"


@given(st.permutations(range(5)))
def test_the_order_of_the_list_does_not_matter(order):
    tokens = [
        *entries(A=0.4, B=0.2, C=0.1),
        {"token": "▁A", "logprob": -2.0},
        {"token": "ĠB", "logprob": -3.0},
    ]
    assert reading_of([tokens[i] for i in order], ("A", "B")).log_probs == pytest.approx(
        reading_of(tokens, ("A", "B")).log_probs
    )


def test_an_unlisted_label_has_at_most_the_least_listed_probability():
    found = reading_of(entries(A=0.6, x=0.3, y=0.01), ("A", "B"))
    assert found.log_odds("A", "B") == pytest.approx(math.log(0.6 / 0.01)) and found.mass == pytest.approx(
        0.6
    )


def test_an_unlisted_label_has_at_most_what_the_list_leaves_over():
    found = reading_of([{"token": "A", "logprob": -0.01}], ("A", "B"))
    assert found.log_odds("A", "B") == pytest.approx(-0.01 - math.log(1 - math.exp(-0.01)))
    whole = reading_of([{"token": "A", "logprob": 0.0}], ("A", "B"))
    assert whole.log_odds("A", "B") == pytest.approx(12 * math.log(10))


@pytest.mark.parametrize(
    "tokens", [[], entries(x=0.9), [{"token": "A"}], [{"token": "A", "logprob": float("nan")}]]
)
def test_nothing_is_read_where_no_label_is_listed(tokens):
    found = reading_of(tokens, ("A", "B"), "hm")
    assert found.log_probs is None and found.label is None and found.text == "hm"


@pytest.mark.parametrize(
    "text, label",
    [
        ("A", "A"),
        ("The better answer is B.", "B"),
        ("[[A]] is wrong.\nSo: [[B]]", "B"),
        ("My verdict is [[Answer A]]", "A"),
        ("A or B? I take\nB", "B"),
        ("A or B, I cannot say", None),
        ("Both are bad", None),
        ("", None),
        ("Banana", None),
        ("I would say a good answer", None),
        ('Here: {"winner": "B", "why": "A is short"}', "B"),
        ('{"verdict": "A"} and then {"verdict": "B"}', "B"),
        ('{"verdict": "maybe"} A', "A"),
        ("A>>B, so [[A]]", "A"),
        ("A tie.", None),
        ("Answer B is better.\nA final note: check sources.", "B"),
        ("A is better because it says why", "A"),
        ("I prefer answer A mainly for its sources", "A"),
        ("A careful reader would take B", "B"),
    ],
)
def test_a_verdict_in_words(text, label):
    assert label_in(text, ("A", "B")) == label


@pytest.mark.parametrize(
    "text, label",
    [
        ("The answer A is not the answer B.\n\nThe answer A is", None),
        ("Compared with B, answer A", None),
        ("A comparison of both shows", None),
        ("A", "A"),
        ("**B** because it names the", "B"),
        ("B.\nAnswer A is", "B"),
        ("I say [[B]]. That is since A", "B"),
    ],
)
def test_of_a_reply_that_was_cut_no_sentence_about_a_label_is_a_verdict(text, label):
    assert label_in(text, ("A", "B"), cut=True) == label


@pytest.mark.parametrize(
    "text, label",
    [("yes.", "Yes"), ("No, it is not", "No"), ("yes or no", None), ("10", "10"), ("Grade: 1", "1")],
)
def test_words_and_numbers_as_labels(text, label):
    labels = ("Yes", "No") if label in ("Yes", "No", None) else tuple(map(str, range(1, 11)))
    assert label_in(text, labels) == label


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    from plaudit.models.policy import build_policy, save_policy
    from plaudit.models.tokenizers import train_bpe

    texts = ["Which answer is better? Reply A or B. Yes No 1 2 3 4 5 6 7 8 9 10 (A (B"] * 20
    policy = build_policy(
        train_bpe(texts, vocabulary=320), hidden=32, layers=2, heads=2, kv_heads=1, max_positions=512, seed=1
    )
    folder = tmp_path_factory.mktemp("model") / "model"
    save_policy(policy, folder, card="a test")
    return folder


def by_hand(judge, text: str, variants: list[str]) -> float:
    """Σ over variants of Π of next-token probabilities, one forward pass each."""
    prompt = judge.renderer.prompt((message(text),), room=8)
    total = 0.0
    for variant in variants:
        ids = judge.policy.tokenizer(variant, add_special_tokens=False)["input_ids"]
        full = torch.tensor([[*prompt.tolist(), *ids]])
        with torch.no_grad():
            log_probs = judge.policy.model(full).logits[0].float().log_softmax(-1)
        total += math.exp(sum(log_probs[len(prompt) + i - 1, t].item() for i, t in enumerate(ids)))
    return total


def message(text):
    from plaudit.data.records import Message

    return Message("user", text)


def test_a_local_model_gives_exact_probabilities_alone_and_in_company(saved):
    from plaudit.generation.local_labels import VARIANTS, LocalLabels

    judge = LocalLabels("local:m", saved)
    texts = ["Which answer is better?", "Reply A or B. Reply A or B. Reply A or B.", "Yes No"]
    asked = [LabelRequest((message(t),), ("A", "B")) for t in texts]
    together = judge.read(asked)
    for text, question, found in zip(texts, asked, together):
        for label in ("A", "B"):
            expected = by_hand(judge, text, [v.format(label) for v in VARIANTS])
            assert math.exp(found.log_probs[label]) == pytest.approx(expected, rel=1e-4)
        (alone,) = judge.read([question])
        assert alone.log_probs == pytest.approx(found.log_probs, abs=1e-5)


def test_a_grade_of_one_does_not_hold_the_probability_of_ten(saved):
    from plaudit.generation.local_labels import VARIANTS, LocalLabels

    judge = LocalLabels("local:m", saved)
    (found,) = judge.read([LabelRequest((message("Grade it"),), ("1", "10"))])
    ids = {
        v: judge.policy.tokenizer(v, add_special_tokens=False)["input_ids"]
        for g in ("1", "10")
        for v in (s.format(g) for s in VARIANTS)
    }
    ones, tens = ([s.format(g) for s in VARIANTS] for g in ("1", "10"))
    held = [t for t in tens for o in ones if ids[t][: len(ids[o])] == ids[o]]
    assert 0 < len(held) < 3, "the toy tokenizer should split some of them"
    ten, inside = by_hand(judge, "Grade it", tens), by_hand(judge, "Grade it", held)
    assert math.exp(found.log_probs["10"]) == pytest.approx(ten, rel=1e-4)
    assert math.exp(found.log_probs["1"]) == pytest.approx(
        by_hand(judge, "Grade it", ones) - inside, rel=1e-3
    )


def test_a_question_that_is_too_long_is_read_as_nothing(saved):
    from plaudit.generation.local_labels import TOO_LONG, LocalLabels

    long, short = LocalLabels("local:m", saved).read(
        [
            LabelRequest((message("better " * 2000),), ("A", "B")),
            LabelRequest((message("better"),), ("A", "B")),
        ]
    )
    assert long.label is None and long.text == TOO_LONG and short.label is not None


class Scripted:
    """A chat model with one reply, of which ``room`` says how much is asked for."""

    name = "local:scripted"

    def __init__(self, text, finished=True):
        self.text, self.finished, self.room = text, finished, []

    def fits(self, conversation, max_new_tokens):
        return len(conversation[-1].content) < 100

    def draw(self, conversations, *, temperature, max_new_tokens):
        assert temperature == 0
        self.room.append(max_new_tokens)
        return [[(self.text, self.finished)] for _ in conversations]


def test_a_local_model_with_reasons_is_read_by_what_it_wrote():
    from plaudit.generation.labels import TOO_LONG
    from plaudit.generation.verdict_text import WrittenLabels

    asked = [LabelRequest((message(t),), ("A", "B"), 400) for t in ("which?", "which? " * 50)]
    chat = Scripted("A is longer and B is right.\n[[B]]")
    found, long = WrittenLabels(chat).read(asked)
    assert found.label == "B" and found.log_probs is None and chat.room == [400]
    assert long.label is None and long.text == TOO_LONG
    (cut,) = WrittenLabels(Scripted("A is longer and B is right. A", finished=False)).read(asked[:1])
    assert cut.label is None and cut.text.startswith("A is longer")
    assert WrittenLabels(chat).read(asked[1:])[0].text == TOO_LONG and len(chat.room) == 1


def test_reasons_of_a_local_judge_are_written_by_the_model(saved, tmp_path):
    from plaudit.data.records import Prompt, Response
    from plaudit.generation.verdict_text import WrittenLabels
    from plaudit.pipeline.judging import Bench, made, spec_of

    judges = [made(spec_of(f"local:{saved}{rest}"), Bench(tmp_path)) for rest in ("", "?reason=true")]
    assert [isinstance(j.model, WrittenLabels) for j in judges] == [False, True]
    judges[1].manner = replace(judges[1].manner, principles=(Principle("p", "Better?"),))
    (pair,) = judges[1].judge(Prompt.user("A"), [Response("B"), Response("A")]).metadata["judge"]["pairs"]
    assert pair["mass"] == [None, None]
