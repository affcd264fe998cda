"""What a language-model judge makes of a model's readings: pairs, grades, rubrics, and samples of RL."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from plaudit.config import validate
from plaudit.config.graph import resolved, teachers
from plaudit.config.resolve import graph_of
from plaudit.data.records import Prompt, Response
from plaudit.errors import UserError
from plaudit.generation.endpoint.transport import EndpointError
from plaudit.generation.labels import LabelReply
from plaudit.judges.judge_reward import JudgeReward
from plaudit.judges.language import LanguageJudge, Manner
from plaudit.judges.options import options_of
from plaudit.judges.orders import sigmoid
from plaudit.judges.rubrics import Criterion, Rubric, criteria_of, read_rubric
from plaudit.pipeline.judging import counts_of, spec_of
from plaudit.pipeline.summary import _ungated_rewards
from plaudit.rewards import SumReward
from plaudit.rewards.protocol import RewardError, Sample, checked
from plaudit.rewards.shaping import LengthNormalizedReward

PROMPT = Prompt.user("how?")


class Planted:
    """Reads the number in a text (`q 0.7`) as its quality; answers that say `silent` cannot be read."""

    name = "local:planted"

    def __init__(self, bias: float = 0.0, mass: float = 0.9) -> None:
        self.bias, self.mass = bias, mass
        self.asked: list[str] = []

    def read(self, questions):
        return [self._one(q) for q in questions]

    def _one(self, question):
        text = question.messages[-1].content
        self.asked.append(text)
        parts = re.findall(r"<\w+ answer(?: [AB])?>\n(.*?)\n</", text, re.DOTALL)
        if "silent" in text:
            return LabelReply(text="hm")
        quality = [float(re.search(r"q (-?[\d.]+)", p)[1]) for p in parts]
        if question.labels == ("A", "B"):
            return self._of([quality[0] + self.bias, quality[1]], question.labels)
        if question.labels == ("Yes", "No"):
            return self._of([quality[0] * (1 if "kind" in text else -1), 0.0], question.labels)
        return self._of(
            [-((i - quality[0]) ** 2) for i in range(1, len(question.labels) + 1)], question.labels
        )

    def _of(self, logits, labels):
        shares = np.exp(logits - np.logaddexp.reduce(logits)) * self.mass
        return LabelReply(dict(zip(labels, np.log(shares))), self.mass, labels[int(np.argmax(shares))])


def answers(*qualities):
    return [Response(f"q {q}" if not isinstance(q, str) else q) for q in qualities]


@pytest.mark.parametrize(
    "join, expected",
    [("log_odds", sigmoid(1.5)), ("mean", (sigmoid(3.5) + sigmoid(-0.5)) / 2), ("hard", 0.5)],
)
def test_a_pair_in_both_orders(join, expected):
    """Content 1.5, bias 2: forward 3.5, backward (b first) −1.5 + 2 = .5, so hard votes disagree."""
    record = LanguageJudge(Planted(bias=2.0), Manner(join=join)).judge(PROMPT, answers(2.0, 0.5))
    assert record.outcomes[0].result == pytest.approx(expected)
    (pair,) = record.metadata["judge"]["pairs"]
    assert pair["log_odds"] == pytest.approx([3.5, 0.5]) and pair["principle"] == "helpful"


def test_every_pair_of_k_answers_is_asked_in_both_orders_and_company_changes_nothing():
    model = Planted(bias=1.0)
    judge = LanguageJudge(model)
    items = [(PROMPT, answers(1, 2, 3)), (Prompt.user("and?"), answers(3, 1))]
    together = judge.judge_many(items)
    assert [len(r.outcomes) for r in together] == [3, 1] and len(model.asked) == 8
    assert together == [LanguageJudge(Planted(bias=1.0)).judge(*item) for item in items]
    assert together[0].outcomes[1].result == pytest.approx(sigmoid(-2))


def test_a_pair_that_cannot_be_read_is_left_out_and_counted():
    judge = LanguageJudge(Planted())
    record = judge.judge(PROMPT, answers(1, "silent", 3))
    assert [(o.left, o.right) for o in record.outcomes] == [(0, 2)]
    told = counts_of([record])
    assert (told["pairs"], told["undecided"], told["unreadable"], told["items left out"]) == (3, 2, 2, 0)


def test_a_judge_with_little_mass_on_the_labels_abstains():
    judge = LanguageJudge(Planted(mass=0.4))
    record = judge.judge(PROMPT, answers(1, 3))
    told = counts_of([record])
    assert record.outcomes == () and told["undecided"] == told["little mass"] == told["items left out"] == 1
    assert told["unreadable"] == 0
    assert counts_of([LanguageJudge(Planted()).judge(PROMPT, answers(1, 3))])["little mass"] == 0


def test_after_reasons_a_probability_is_clamped_and_else_it_is_not():
    class Certain(Planted):
        def _one(self, question):
            assert question.max_new_tokens > 1
            first = "q 3" in question.messages[-1].content.split("answer B>")[0]
            return LabelReply(label="A" if first else "B", text="[[A]]")

    record = LanguageJudge(Certain(), Manner(reason=True, clamp=0.4)).judge(PROMPT, answers(3, 1))
    assert record.outcomes[0].result == pytest.approx(0.6)


@pytest.mark.parametrize("how, temperature", [("log_odds", 0.05), ("mean", 0.05), ("hard", 1.0)])
def test_the_clamp_holds_whatever_temperature_was_fitted(how, temperature):
    manner = Manner(join=how, temperature=temperature, reason=True, clamp=0.4)
    record = LanguageJudge(Planted(), manner).judge(PROMPT, answers(1.2, 1.0))
    assert record.outcomes[0].result == pytest.approx(0.6)


def test_grades_become_the_chance_of_the_higher_grade_and_a_score():
    judge = LanguageJudge(Planted(), Manner(form="pointwise", scale=5))
    record = judge.judge(PROMPT, answers(4, 2))
    p = [np.exp(-((np.arange(1, 6) - q) ** 2)) for q in (4, 2)]
    p = [x / x.sum() for x in p]
    joint = np.outer(*p)
    expected = np.tril(joint, -1).sum() + np.trace(joint) / 2
    assert record.outcomes[0].result == pytest.approx(expected)
    (score,) = judge.scores([(PROMPT, "q 4")])
    assert score == pytest.approx((2 * (p[0] @ np.arange(1, 6)) - 6) / 4)
    assert judge.scores([(PROMPT, "silent")]) == [None]


def test_a_rubric_weighs_its_criteria_and_one_unread_criterion_spoils_it():
    rubric = Rubric((Criterion("it is kind", 3.0), Criterion("it is rude", -1.0)))
    judge = LanguageJudge(Planted(), Manner(form="rubric", rubric=rubric))
    record = judge.judge(PROMPT, answers(1.0, -0.5))
    # Kind: log-odds q; rude: −q. Weighted: (3q + q) / 4 = q.
    assert record.outcomes[0].result == pytest.approx(sigmoid(1.5))
    (score,) = judge.scores([(PROMPT, "q 1.0")])
    share = 2 * sigmoid(1.0) - 1
    assert score == pytest.approx((3 * share + share) / 4)
    assert LanguageJudge(Planted(), Manner(form="rubric", rubric=rubric)).scores([(PROMPT, "silent")]) == [
        None
    ]


def test_rubrics_of_a_file_of_a_prompt_and_what_is_wrong_with_one(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("common: [it is kind]\nprompts: {'how?': [{criterion: it says how, weight: 2}]}")
    assert read_rubric(path).criteria(PROMPT) == (Criterion("it says how", 2.0), Criterion("it is kind"))
    (tmp_path / "r.jsonl").write_text(json.dumps({"prompt": "how?", "rubric": ["it says how"]}))
    assert read_rubric(tmp_path / "r.jsonl").criteria(PROMPT) == (Criterion("it says how"),)
    own = Prompt.user("how?", rubric=[{"description": "it is short", "points": 4}])
    assert Rubric().criteria(own) == (Criterion("it is short", 4.0),)
    with pytest.raises(UserError) as wrong:
        criteria_of(["fine", 3, {"criterion": "x", "weight": 0}, {"weight": 1}], "r.yaml")
    assert all(said in str(wrong.value) for said in ("criterion 2", "weight 0", "criterion 4"))


def sample(text: str, prompt: Prompt = PROMPT) -> Sample:
    ids = np.arange(3)
    return Sample(prompt, ids, ids, text, text, "end")


def test_an_unread_sample_gains_and_loses_nothing_against_those_of_its_prompt():
    reward = JudgeReward(LanguageJudge(Planted(), Manner(form="pointwise", scale=5)))
    easy, hard, none = (Prompt.user(text) for text in ("easy", "hard", "none"))
    texts = [("q 5", easy), ("silent", easy), ("q 1", hard), ("silent", hard), ("silent", none)]
    found = reward.score([sample(t, p) for t, p in texts]).scores
    assert found[1] == found[0] and found[3] == found[2]
    assert found[4] == pytest.approx((found[0] + found[2]) / 2)


class Failing:
    """A judge's reward whose server fails; how often it was asked."""

    asked_once = True

    def __init__(self, error: Exception) -> None:
        self.error, self.asked = error, 0

    def score(self, samples):
        self.asked += 1
        raise self.error


def test_a_failing_judge_is_not_asked_again_and_keeps_its_own_error():
    failing = Failing(EndpointError("the server failed"))
    with pytest.raises(EndpointError, match="the server failed"):
        checked(failing, [sample("q 1")] * 3)
    assert failing.asked == 1
    inside = SumReward({"judge": (Failing(ValueError("odd")), 1.0)})
    with pytest.raises(RewardError, match="odd"):
        checked(LengthNormalizedReward(inside, 1.0), [sample("q 1")] * 3)
    assert inside.parts["judge"][0].asked == 1


def test_a_judge_as_a_reward_grades_each_sample_and_gives_the_unread_ones_the_mean():
    reward = JudgeReward(LanguageJudge(Planted(), Manner(form="pointwise", scale=5)))
    found = reward.score([sample("q 5"), sample("silent"), sample("q 1")])
    assert found.scores[0] > 0.5 > -0.5 > found.scores[2] and found.scores[1] == pytest.approx(
        found.scores[[0, 2]].mean()
    )
    assert found.parts["judge_abstained"].tolist() == [0, 1, 0]
    with pytest.raises(RewardError, match="graded none of 1"):
        reward.score([sample("silent")])
    with pytest.raises(UserError, match="compares pairs"):
        JudgeReward(LanguageJudge(Planted()))


def recipe(steps):
    return graph_of(validate({"world": "pocket", "steps": steps, "evaluate": None}, "r.yaml"))


def test_a_recipe_names_a_judge_as_reward_and_must_have_people_to_hold_it_against():
    spec = "judge:http://localhost:1/v1#m?form=pointwise"
    with pytest.raises(UserError, match="must be held against people's rankings"):
        recipe({"pretrain": {}, "sft": {}, "ppo": {"reward": spec}})
    graph = recipe({"pretrain": {}, "sft": {}, "ppo": {"reward": spec + "&gate=off"}})
    assert graph["ppo"].rewards[0].source == "judge"
    assert recipe({"pretrain": {}, "sft": {}, "rank": {"prompts": 9}, "ppo": {"reward": spec}})["ppo"].rewards


@pytest.mark.parametrize(
    "spec, said",
    [
        ("http://localhost:1/v1#m?gate=off", "compares pairs"),
        ("http://localhost:1/v1#m?pointwise", "written key=value"),
        ("python:math:sqrt?gate=off", "gives no grades"),
        ("pocket:rule", "gives no grades"),
    ],
)
def test_a_judge_that_cannot_be_a_reward_is_told_before_anything_runs(spec, said):
    with pytest.raises(UserError, match=said) as refused:
        recipe({"pretrain": {}, "sft": {}, "ppo": {"reward": f"judge:{spec}"}})
    assert "steps.ppo" in str(refused.value)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"form": "yes_no", "join": "mean"}, "join is for form pairwise"),
        ({"form": "pointwise", "temperature": 2}, "temperature is for"),
        ({"join": "hard", "temperature": 2}, "temperature is for"),
        ({"form": "rubric", "rubric": "r.yaml", "constitution": "plaudit"}, "constitution is for"),
        ({"clamp": 0.3}, "clamp is for reason"),
        ({"scale": 5}, "scale is for form pointwise"),
    ],
)
def test_an_option_that_would_act_on_nothing_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        options_of("local", options)


def test_a_record_names_the_constitution_and_its_version():
    judge = LanguageJudge(Planted(), options_of("local", {"constitution": "plaudit"}).manner())
    said = judge.judge(PROMPT, answers(1, 2)).metadata["judge"]
    assert said["constitution"] == "plaudit 1" and said["pairs"][0]["principle"] != "helpful"
    assert "constitution" not in LanguageJudge(Planted()).judge(PROMPT, answers(1, 2)).metadata["judge"]


@pytest.mark.parametrize("options", [{"form": "pointwise", "scale": 5}, {"reason": True, "clamp": 0.3}])
def test_an_option_that_acts_is_taken(options):
    assert options_of("local", options)


@pytest.mark.parametrize(
    "text, said",
    [("prompts: [a]", "behind its text"), (b"[caf\xe9]", "no UTF-8"), ("*.yaml", "cannot be read")],
)
def test_a_rubric_that_is_none_is_a_message(tmp_path, text, said):
    path = tmp_path / "r.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=said):
        read_rubric(path)


@pytest.mark.parametrize("option", ["constitution=@x.yaml", "form=rubric&rubric=*.yaml"])
def test_a_files_name_with_a_sign_of_yaml_is_a_name(option):
    with pytest.raises(UserError, match="cannot be read"):
        spec_of(f"http://localhost:1/v1#m?{option}")


def test_all_spellings_of_a_judge_are_one_teacher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    same = ["local:m", "local:./m", f"local:{tmp_path}/m"]
    assert len(set(map(resolved, same))) == 1 != len(set(map(resolved, [*same, "local:n"])))
    same = ["http://h/v1#m", "http://H:80/v1/#m"]
    assert len(set(map(resolved, same))) == 1
    assert resolved("http://h:8000/v1#m") != resolved("http://h/v1#m") != resolved("http://h/v1#n")
    steps = {"pretrain": {}, "sft": {}, "rank": {"by": "http://h/v1#m?gate=off"}}
    assert resolved("http://h/v1/#m") in teachers(recipe(steps).nodes.values())


def test_a_reward_judge_that_nobody_checked_stands_in_the_summary():
    steps = {"ppo": {"rewards": ["judge:http://h/v1#m?form=pointwise&gate=off"]}, "sft": {"rewards": []}}
    assert _ungated_rewards(steps) == {"ppo": "http://h/v1#m"}
    assert _ungated_rewards({"ppo": {"rewards": ["judge:http://h/v1#m?form=pointwise"]}}) == {}


@pytest.mark.parametrize("how", ["https://host/v1#m", {"judge": "https://host/v1#m", "gate": True}])
def test_a_judge_that_ranks_must_be_held_against_people_too(how):
    with pytest.raises(UserError, match="gate: off"):
        recipe({"pretrain": {}, "sft": {}, "rank": {"by": how}})
    off = {"judge": "https://host/v1#m", "gate": False}
    assert recipe({"pretrain": {}, "sft": {}, "rank": {"by": off}})["rank"].settings.by.scheme == "https"
    before = {"pretrain": {}, "sft": {}, "rank": {"prompts": 9}, "rank-2": {"by": how}}
    assert math.isfinite(len(recipe(before)["rank-2"].on))
