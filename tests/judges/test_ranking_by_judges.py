"""`rank` by a reward model and by a Python function, on data from files: what they say is what is learned from."""

from __future__ import annotations

import itertools
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from toy import TEXT, rankings, sentence, toy_policy

from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.readers.read import read
from plaudit.data.records import Comparisons, Prompt, Ranking, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import UserError
from plaudit.judges.function import FunctionJudge
from plaudit.judges.options import check_reward
from plaudit.judges.reward import RewardJudge
from plaudit.models.policy import build_policy, save_policy
from plaudit.models.tokenizers import train_bpe
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.run import run
from plaudit.protocols import Judge
from plaudit.runs import RunFolder
from plaudit.runtime import Runtime

OWN = '''
"""A judge of one's own."""

def longer(prompt, first, second):
    assert prompt.messages and isinstance(first, str)
    return 0.5 if len(first) == len(second) else float(len(first) > len(second))

def wrong(prompt, first, second):
    raise KeyError("answer")

def coin(prompt, first, second):
    return (hash_of(prompt.id + min(first, second)) % 2) * 0.8 + 0.1 if first < second else 0.5

def hash_of(text):
    import hashlib
    return hashlib.sha256(text.encode()).digest()[0]

def fair(prompt, first, second):
    """What people said where they said it, else the longer one; no probe is better than a real answer."""
    import json, pathlib
    known = {}
    for line in pathlib.Path(__file__).with_name("prefs.jsonl").read_text().splitlines():
        row = json.loads(line)
        texts = [r if isinstance(r, str) else r["text"] for r in row["responses"]]
        place = {texts[i]: k for k, group in enumerate(row["groups"]) for i in group}
        known.update({(row["prompt"], a, b): place[a] < place[b] for a in place for b in place if place[a] != place[b]})
    said = known.get((prompt.text, first, second))
    if said is None and ("best possible" in first or not first):
        return 0.0
    if said is None and ("best possible" in second or not second):
        return 1.0
    return longer(prompt, first, second) if said is None else float(said) * 0.9 + 0.05
'''
DRAWN = {"prompts": 16, "answers": 3, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A toy model, files, and a judge's module on the path."""
    root = tmp_path_factory.mktemp("judges")
    save_policy(toy_policy(), root / "model", card="toy")
    tokenizer = train_bpe([TEXT] * 4, vocabulary=300)
    long = build_policy(tokenizer, hidden=16, layers=1, heads=2, max_positions=8192, seed=1)
    save_policy(long, root / "reviser", card="toy")
    write_jsonl(rankings(60), root / "prefs.jsonl")
    rng = np.random.default_rng(7)
    asked = [r.prompt for r in rankings(60)] + [Prompt.user(sentence(rng, 2, 9)) for _ in range(60)]
    write_jsonl(asked, root / "prompts.jsonl")
    (root / "judge_of_ours.py").write_text(OWN)
    sys.path.insert(0, str(root))
    yield root
    sys.path.remove(str(root))


def recipe(home, steps, **changes):
    raw = {
        "name": "judged",
        "threads": 1,
        "policy": {"path": str(home / "model")},
        "data": {
            "preferences": str(home / "prefs.jsonl"),
            "prompts": str(home / "prompts.jsonl"),
            "preference_validation": 0.3,
            "max_length": 120,
        },
        "steps": steps,
        "evaluate": None,
    }
    return validate({**raw, **changes}, "judged")


STEPS = {
    "reward": {"max_steps": 6, "batch_size": 8, "lr": 0.01},
    "rank": {**DRAWN, "by": "reward:reward"},
    "rank-soft": {**DRAWN, "by": {"judge": "reward:reward", "soft": True}, "prompts": "same"},
    "rank-own": {**DRAWN, "by": "python:judge_of_ours:longer?gate=off"},
    "reward-2": {"max_steps": 2, "batch_size": 8},
    "dpo": {"on": ["rank", "rank-soft", {"rank-own": 0.5}], "max_steps": 2, "batch_size": 8},
}


@pytest.fixture(scope="module")
def judged(home):
    return run(recipe(home, STEPS), out=home / "run")


@pytest.fixture(scope="module")
def revised(home):
    """A run in which a judge is held against people, ranks, and a model revises."""
    steps = {
        "rank": {**DRAWN, "by": "python:judge_of_ours:fair"},
        "revise": {
            "by": f"local:{home}/reviser",
            "prompts": 24,  # so many that the toy model ends some of its texts
            "rounds": 2,
            "max_new_tokens": 24,
            "helpful": 16,
            "helpful_on": "prompts",
            "validation": 0.0,
        },
        "sft": {"on": ["revise"], "max_steps": 2, "batch_size": 4},
        "dpo": {"on": ["rank"], "max_steps": 2, "batch_size": 4, "from": "sft"},
    }
    return run(recipe(home, steps), out=home / "revised")


def records(folder, step):
    stage = folder.stage(step).path
    parts = [stage / "train.jsonl", stage / "held_out.jsonl"]
    return [r for p in parts if p.stat().st_size for r in read(p).records]


@pytest.fixture(scope="module")
def scored(judged):
    """Scores of a prompt's answers by transformers alone: one sequence at a time, without padding."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = judged.stage("reward").model
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    renderer = Renderer(AutoTokenizer.from_pretrained(folder), max_length=120)

    def score(record):
        found = []
        for response in record.responses:
            ids = [
                *renderer.prompt(record.prompt.messages),
                *renderer.response_ids(record.prompt.messages, response),
            ]
            with torch.no_grad():
                found.append(float(model(input_ids=torch.tensor([ids])).logits[0, 0]))
        return found

    return score


def test_a_reward_model_of_the_run_ranks_by_its_score(judged, scored):
    made = records(judged, "rank")
    assert len(made) > 8
    for record in made:
        assert isinstance(record, Ranking) and record.rater == "reward:reward"
        scores = scored(record)
        best = [scores[i] for group in record.groups for i in group]
        assert all(a >= b - 1e-4 for a, b in itertools.pairwise(best)), scores


def test_softly_it_says_how_sure_it_is_of_each_pair(judged, scored):
    hard, soft = records(judged, "rank"), records(judged, "rank-soft")
    assert {r.prompt.id for r in hard} == {r.prompt.id for r in soft}, "prompts: same"
    for record in soft:
        assert isinstance(record, Comparisons)
        scores = scored(record)
        assert len(record.outcomes) == math.comb(len(scores), 2)
        for o in record.outcomes:
            assert o.result == pytest.approx(1 / (1 + math.exp(scores[o.right] - scores[o.left])), abs=2e-4)


def test_a_function_of_ones_own_ranks(judged):
    made = records(judged, "rank-own")
    assert not {r.prompt.id for r in made} & {r.prompt.id for r in records(judged, "rank")}, "fresh prompts"
    for record in made:
        for o in record.outcomes:
            a, b = (len(record.responses[i].text) for i in (o.left, o.right))
            assert o.result == (0.5 if a == b else float(a > b)) and o.rater == "python:judge_of_ours:longer"


def test_a_reward_model_of_another_run_says_the_same(home, judged):
    steps = {"rank": {**DRAWN, "by": f"reward:{judged.path}@reward"}}
    other = run(recipe(home, steps), out=home / "other")
    said = [
        [(r.prompt.id, [x.text for x in r.responses], r.groups) for r in records(f, "rank")]
        for f in (judged, other)
    ]
    assert said[0] == said[1]


def test_what_judges_say_is_learned_from_with_its_weight(home, judged):
    assert judged.stage("dpo").read_json()["status"] == "done"
    context = context_of(home, judged)
    train, held = context.records(context.graph["dpo"])
    own = {r.prompt.id for r in records(judged, "rank-own")}
    for record in [*train, *held]:
        weights = {o.weight for o in record.outcomes} if isinstance(record, Comparisons) else {record.weight}
        assert weights == {0.5 if record.prompt.id in own else 1.0}


def context_of(home, folder: RunFolder) -> Context:
    config = recipe(home, STEPS)
    return Context(config, graph_of(config), folder, materials_of(config), Runtime())


@pytest.mark.parametrize("step", ["reward-2", "dpo"])
def test_no_prompt_is_trained_on_in_one_source_and_held_out_in_another(home, judged, step):
    context = context_of(home, judged)
    sources = [s.name for s in context.graph[step].on]
    assert len(sources) > 2
    train, held = context.records(context.graph[step], judged.stage(step))
    trained, out = ({context.materials.key(r) for r in part} for part in (train, held))
    assert trained and out and not trained & out


def test_that_a_prompt_would_be_on_both_sides_is_found_and_counted(home, judged):
    context = context_of(home, judged)
    node = context.graph["reward-2"]
    parts = [context.records(_alone(node, s)) for s in node.on]
    trained = [context.materials.key(r) for train, _ in parts for r in train]
    out = {context.materials.key(r) for _, held in parts for r in held}
    both = sum(key in out for key in trained)
    events = [
        json.loads(line) for line in (judged.stage("reward-2").path / "events.jsonl").read_text().splitlines()
    ]
    said = [e["records"] for e in events if e["event"] == "held out elsewhere"]
    assert both > 0 and said[:1] == [both]


def _alone(node, source):
    return replace(node, on=(source,))


def test_answers_that_are_empty_are_judged_too(home, judged):
    from plaudit.models.reward_model import load_reward_model

    judge = RewardJudge(load_reward_model(judged.stage("reward").model))
    assert isinstance(judge, Judge)
    record = judge.judge(Prompt.user("the cat"), [Response(""), Response("a mat"), Response("a mat", False)])
    assert sorted(i for group in record.groups for i in group) == [0, 1, 2]


def test_a_function_that_fails_is_named_with_what_it_was_asked(home):
    steps = {"rank": {**DRAWN, "by": "python:judge_of_ours:wrong?gate=off"}}
    with pytest.raises(UserError, match=r"python:judge_of_ours:wrong failed: KeyError(.|\n)*from 0 to 1"):
        run(recipe(home, steps), out=home / "fails")


@pytest.mark.parametrize(
    "by, said",
    [
        ("python:judge_of_ours:absent", "has no 'absent'"),
        ("python:nowhere:f", "nowhere"),
        ("reward:rewrad", "did you mean 'reward'"),
        ("reward:nowhere@reward", "there is no"),
        ({"judge": "reward:reward", "sofd": True}, "soft"),
        ("python:judge_of_ours:OWN", "has no 'OWN'"),
    ],
)
def test_a_judge_that_is_not_there_is_refused_before_anything_is_loaded(home, by, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "plaudit.models.policy", None)
    with pytest.raises(UserError) as refused:
        graph_of(recipe(home, {**STEPS, "rank": {**DRAWN, "by": by}}))
    assert said in str(refused.value) and "steps.rank.by" in str(refused.value)


def test_a_folder_beside_is_a_reward_model_as_a_path_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rm").mkdir()
    (tmp_path / "rm" / "config.json").write_text("{}")
    check_reward("rm", {}, None, ())
    with pytest.raises(UserError, match="no reward model 'mr' before this step"):
        check_reward("mr", {}, None, ())


@given(st.lists(st.text(max_size=4), min_size=2, max_size=5), st.floats(0, 1))
@settings(max_examples=30)
def test_a_liking_for_the_place_cancels_out(texts, liking):
    """A function that prefers whatever comes first finds no answer better than another."""
    judge = FunctionJudge(lambda prompt, first, second: liking)
    record = judge.judge(Prompt.user("q"), [Response(t) for t in texts])
    assert all(o.result == pytest.approx(0.5) for o in record.outcomes)
    assert [(o.left, o.right) for o in record.outcomes] == list(itertools.combinations(range(len(texts)), 2))


@pytest.mark.parametrize("value", [1.2, -0.1, float("nan"), "often", None])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(UserError, match=r"judge(.|\n)*from 0 to 1"):
        FunctionJudge(lambda *asked: value, "odd").judge(Prompt.user("q"), [Response("a"), Response("b")])


def test_a_judge_that_agrees_with_people_ranks_and_says_how_far_it_agrees(revised):
    record = revised.stage("rank").read_json()
    gate = revised.stage("rank").read_json("gate.json")
    assert gate["passed"] and gate["agreement"]["mean"] == 1.0 and gate["rankings"] >= 50
    assert record["gate"]["rankings"] >= 50 and record["counts"]["undecided"] == 0
    for made in records(revised, "rank"):
        assert {o.rater for o in made.outcomes} == {"python:judge_of_ours:fair"}
        assert made.metadata["judge"]["pairs"]


@pytest.mark.parametrize(
    "judge, reason", [("coin", "lower bound is not above .5"), ("longer", "the shorter answer is preferred")]
)
def test_a_judge_that_does_not_agree_with_people_trains_nothing(home, judge, reason):
    steps = {"rank": {**DRAWN, "by": f"python:judge_of_ours:{judge}"}}
    with pytest.raises(UserError) as refused:
        run(recipe(home, steps), out=home / f"refused-{judge}")
    assert "does not pass on" in str(refused.value) and reason in str(refused.value)
    stage = home / f"refused-{judge}" / "stages" / "rank"
    assert not (stage / "train.jsonl").exists() and (stage / "gate.json").exists()


def test_a_reviser_that_is_too_small_for_the_critique_says_so(home):
    steps = {"revise": {"by": f"local:{home}/model", "prompts": 2, "max_new_tokens": 6}}
    with pytest.raises(UserError, match="cannot take a critique") as refused:
        run(recipe(home, steps), out=home / "small")
    assert "more positions" in str(refused.value)
    assert not (home / "small" / "stages" / "revise" / "revisions.jsonl").exists(), "it is asked anew"


def test_an_unchecked_judge_is_a_finding():
    from plaudit.audit.findings import Watched
    from plaudit.audit.health import judge_unchecked

    found = judge_unchecked(Watched.of([], {"unchecked_judges": {"rank": "python:mine:judge"}}, "dpo"))
    assert found.severity == "warning" and "python:mine:judge" in found.evidence
    assert judge_unchecked(Watched.of([], {}, "dpo")) is None


def test_a_calibration_corrects_the_rate_that_its_judge_measured(revised, home, tmp_path):
    """`plaudit judge --calibrate` on a chosen-first file, then `plaudit evaluate --judge`; of another manner, not."""
    from plaudit.evaluation.corrected_rate import corrected_rate
    from plaudit.pipeline.judged_evaluation import judge_run
    from plaudit.pipeline.judging import calibrate_judge

    rows = [{"prompt": f"q {i}", "chosen": "x" * (2 + (i % 4 > 0)), "rejected": "yy"} for i in range(40)]
    rows += [{"prompt": f"p {i}", "chosen": "y", "rejected": "yy"} for i in range(4)]
    (tmp_path / "people.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec, file = "python:judge_of_ours:longer", tmp_path / "calibration.json"
    made = calibrate_judge(tmp_path / "people.jsonl", spec, out=tmp_path)
    # 30 of 44 right, 10 ties, 4 wrong.
    assert made.sensitivity["mean"] == pytest.approx(35 / 44) and made.specificity["prompts"] == 44
    found = judge_run(revised.path, spec, prompts=12, calibration=file)
    p = found["mean"]
    assert found["corrected"] == pytest.approx(corrected_rate(p * 12, 12, (35, 44), (35, 44)))
    with pytest.raises(UserError, match="is of python:judge_of_ours:longer"):
        judge_run(revised.path, "python:judge_of_ours:fair", calibration=file, force=True)
    weak = json.loads(file.read_text())
    for part in ("sensitivity", "specificity"):
        weak[part]["mean"] = 0.55
    file.write_text(json.dumps(weak))
    (revised.path / "judged.json").unlink()
    with pytest.raises(UserError, match="cannot be corrected"):
        judge_run(revised.path, spec, prompts=12, calibration=file)
    assert json.loads((revised.path / "judged.json").read_text())[spec]["mean"] == p, (
        "what was judged is kept"
    )


def test_answers_are_judged_though_nothing_says_which_is_better(home, tmp_path):
    from plaudit.pipeline.judging import judge_file, read_answers

    (home / "longer_judge.py").write_text("def f(prompt, a, b):\n    return float(len(a) > len(b))\n")
    rows = [{"prompt": f"q {i}", "responses": ["a", "abc"], "category": "c"} for i in range(3)]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    found = judge_file(file, "python:longer_judge:f", out=tmp_path / "o")
    assert [r.outcomes[0].result for r in found.records] == [0, 0, 0]
    assert read_answers(file)[0][0].metadata == {"category": "c"}
    file.write_text("\n".join(json.dumps({**row, "answers": row.pop("responses")}) for row in rows))
    assert len(read_answers(file, fields={"responses": "answers"})) == 3
    file.write_text("\n".join(map(json.dumps, [*rows, {"prompt": "q", "responses": ["a"]}])))
    with pytest.raises(UserError, match=r"no two answers|are requested"):
        read_answers(file)
    file.write_text("\n".join(json.dumps({"prompt": "q"}) for _ in range(3)))
    with pytest.raises(UserError, match="are requested"):
        read_answers(file)


def test_a_judge_made_of_other_code_or_weights_does_not_get_the_verdicts_of_the_first(home, tmp_path):
    from plaudit.judges.made_of import of_function, of_model
    from plaudit.pipeline.judging import judge_file

    code = "def f(prompt, a, b):\n    return float(a > b)\n"
    module = home / "judge_that_changes.py"
    module.write_text(code)
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first = judge_file(tmp_path / "a.jsonl", "python:judge_that_changes:f", out=tmp_path / "o")
    assert first.records[0].outcomes[0].result == 0
    module.write_text(code.replace(">", "<"))
    with pytest.raises(UserError, match="holds the judgements of"):
        judge_file(tmp_path / "a.jsonl", "python:judge_that_changes:f", out=tmp_path / "o")
    assert of_function(len) == "" and of_function(test_softly_it_says_how_sure_it_is_of_each_pair)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"abc")
    before = of_model(tmp_path / "model")
    (tmp_path / "model" / "weights").write_bytes(b"abd")
    assert of_model(tmp_path / "model") != before and of_model("owner/name") != of_model("owner/other")


def test_a_prompts_own_rubric_is_part_of_what_was_asked():
    from plaudit.judges.work import item_key

    pair = (Response("a"), Response("b"))
    keys = {item_key((Prompt.user("q", rubric=r), pair)) for r in (["kind"], ["short"])}
    assert len({*keys, item_key((Prompt.user("q"), pair))}) == 3


def test_another_manner_of_the_same_judge_evaluates_a_run_too(revised):
    from plaudit.pipeline.judged_evaluation import judge_run

    for model in ("", "?join=mean"):
        spec = f"local:{revised.path.parent}/reviser{model}"
        with pytest.raises(UserError, match="also gave what"):
            judge_run(revised.path, spec, prompts=2)
        found = judge_run(revised.path, spec, prompts=2, force=True)
        assert found["judge"] == spec and found["too_long"] == 0
    kept = json.loads((revised.path / "judged.json").read_text())
    assert {spec, spec.partition("?")[0]} <= set(kept)


class Fixed:
    """A reward model whose scores are given, of so much spread."""

    tokenizer = None

    def __init__(self, std, *scores):
        self.std, self.scores = std, scores


def test_all_members_of_an_ensemble_judge_and_each_at_unit_spread(monkeypatch):
    judge = RewardJudge.__new__(RewardJudge)
    judge.models, judge.renderers = (Fixed(1.0, 1.0, 0.0), Fixed(10.0, 0.0, 30.0)), [None, None]
    judge.soft, judge.name, judge.made_of = True, "reward:two", ""
    monkeypatch.setattr(judge, "_of_member", lambda model, *rest: list(model.scores))
    record = judge.judge(Prompt.user("q"), [Response("a"), Response("b")])
    assert record.outcomes[0].result == pytest.approx(1 / (1 + math.exp((0 + 3) / 2 - 0.5)))


def test_the_command_counts_what_a_reward_model_judged(judged, tmp_path, capsys):
    from plaudit.cli import main

    rows = [{"prompt": "the cat", "chosen": "a mat", "rejected": "b"} for _ in range(1)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ["judge", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "o")]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--with", f"reward:{judged.path}@reward"])
    printed = capsys.readouterr().out
    assert not ended.value.code and "1 items, 1 pairs, 0 without" in printed


def test_revisions_of_both_rounds_and_helpful_answers_become_demonstrations(revised):
    told = revised.stage("revise").read_json()
    made = records(revised, "revise")
    by_hand = [r for r in made if "revision" in r.response.metadata]
    assert told["revised"] == 24 and told["helpful"] == len(made) - len(by_hand) <= 16
    assert sum(told["principles"].values()) == 48
    rounds = [len(r.response.metadata["revision"]["rounds"]) for r in by_hand]
    assert set(rounds) <= {1, 2} and len(by_hand) + told["cut off"] <= 48
    for r in by_hand:
        said = r.response.metadata["revision"]
        assert said["by"] == f"local:{revised.path.parent}/reviser" and said["prompt"] == r.prompt.id


def test_a_judge_compares_the_end_with_the_start_and_its_own_labels_are_refused(revised, capsys):
    from plaudit.cli import main
    from plaudit.pipeline.judged_evaluation import judge_run

    found = judge_run(revised.path, "python:judge_of_ours:longer", prompts=12)
    assert found["pairs"] == 12 and found["end"] == "dpo" and 0 <= found["mean"] <= 1
    assert found["wins"] + found["ties"] + found["losses"] == pytest.approx(1) and not found["also_taught"]
    with pytest.raises(UserError, match="also gave what"):
        judge_run(revised.path, "python:judge_of_ours:fair", prompts=12)
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "evaluate",
                str(revised.path),
                "--judge",
                "python:judge_of_ours:fair",
                "--prompts",
                "9",
                "--force",
            ]
        )
    printed = capsys.readouterr().out
    assert not ended.value.code and "win rate" in printed and "no independent measure" in printed
    kept = json.loads((revised.path / "judged.json").read_text())
    assert {"python:judge_of_ours:longer", "python:judge_of_ours:fair"} <= set(kept)
