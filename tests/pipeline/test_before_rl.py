"""``kl.coefficient: auto``: found where the truth is known, refused with the reason where it is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import PPO, tiny
from toy import toy_policy

import plaudit
from plaudit.config import Grpo, OnlineDpo, Ppo, Reinforce, Rloo, validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Prompt, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import UserError
from plaudit.methods.kl_penalty import kl_controller
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.planning import make_plan
from plaudit.pipeline.steps import before_rl
from plaudit.rewards import RewardOutput
from plaudit.runs import RunFolder, Stage
from plaudit.runtime import Mesh, Runtime

POLICY = SimpleNamespace(model=torch.nn.Linear(500, 900), tokenizer=None)
AUTO = Ppo(kl=plaudit.KL(coefficient="auto"))


@pytest.fixture
def world(monkeypatch):
    """Rewards are N(0, 1) and the truth is r − r²/2, or noise: the best β is 1, or none."""
    rng = np.random.default_rng(0)
    state = SimpleNamespace(drawn=0, truth=lambda r: r - r**2 / 2)

    def answer(context, policy, prompts, settings, *, n, **options):
        state.drawn += 1
        return [
            SimpleNamespace(
                prompt=Prompt.user(p), response=Response(str(rng.normal())), finish="end", ids=[1]
            )
            for p in prompts
            for _ in range(n)
        ]

    monkeypatch.setattr(before_rl, "answer", answer)
    monkeypatch.setattr(before_rl, "bounded", lambda renderer, model: renderer)
    monkeypatch.setattr(before_rl, "fitting_prompts", lambda renderer, prompts, *rest: list(prompts))
    state.context = SimpleNamespace(
        gold=SimpleNamespace(judge=lambda prompt, r: SimpleNamespace(score=state.truth(float(r.text)))),
        materials=SimpleNamespace(
            prompts=lambda part: [f"p {i}" for i in range(80)] if part == "validation" else [],
            files=lambda *roles: [],
            records=lambda role: ([], []),
        ),
        mesh=Mesh(),
        runtime=Runtime(),
        renderer=lambda tokenizer: None,
        device=torch.device("cpu"),
        world="made",
        config=SimpleNamespace(world=None, data=SimpleNamespace(max_length=160, max_prompt_length=None)),
        say=lambda text: state.__dict__.setdefault("said", []).append(text),
    )
    state.reward = SimpleNamespace(
        score=lambda samples: RewardOutput(np.array([float(s.response.text) for s in samples]))
    )
    state.step = SimpleNamespace(name="ppo", settings=AUTO, start="sft", rewards=())
    return state


def found(world, stage):
    return before_rl.before_rl(world.context, world.step, stage, POLICY, world.reward)


def test_the_step_takes_the_beta_of_the_highest_truth_and_finds_it_again_when_it_is_resumed(world, tmp_path):
    stage = Stage(tmp_path / "ppo")
    settings, record = found(world, stage)
    beta = settings.kl.coefficient
    assert record["kl_coefficient"] == beta and 0.5 - (1 / beta - 1 / beta**2 / 2) <= 0.06
    assert settings.kl.model_copy(update={"coefficient": "auto"}) == AUTO.kl
    assert "Suggested: β = " in world.said[0]
    again, _ = found(world, stage)
    assert again.kl.coefficient == pytest.approx(settings.kl.coefficient) and world.drawn == 1
    assert kl_controller(settings).value == settings.kl.coefficient


def test_without_gold_what_keep_best_names_is_the_second_judge(world, tmp_path, monkeypatch):
    second = SimpleNamespace(
        score=lambda s: RewardOutput(np.array([world.truth(float(x.response.text)) for x in s]))
    )
    monkeypatch.setattr(before_rl, "asked_reward", lambda context, step, policy: second)
    world.context.gold = None
    world.step.settings = AUTO.model_copy(update={"keep_best": "reward-judge"})
    settings, _ = found(world, Stage(tmp_path / "ppo"))
    kept = Stage(tmp_path / "ppo").read_json("forecast.json")
    assert settings.kl.coefficient == kept["suggestion"]["beta"] and kept["truth"] == "reward-judge"
    # The largest of 32 normal numbers is far beyond the best one, so about half of the favourites are bad answers.
    assert kept["favourites"]["bad"]["mean"] > 0.25 and kept["favourites"]["rows"]


def test_a_number_stays_and_what_the_reward_allows_is_said_once(world, tmp_path):
    world.step.settings = Ppo(kl=plaudit.KL(coefficient=0.3), iterations=200)
    stage = Stage(tmp_path / "ppo")
    for _ in range(2):
        settings, record = found(world, stage)
        assert settings is world.step.settings and record == {} and world.drawn == 1
    assert len(world.said) == 1 and "Suggested: β = " in world.said[0]
    kept = stage.read_json("forecast.json")
    assert (kept["prompts"], kept["answers"], kept["of"], kept["truth"]) == (50, 32, "ppo", "gold")


@pytest.mark.parametrize(
    ("settings", "rewards", "drawn", "said"),
    [
        ({"iterations": 200}, (), 1, "ppo: answers of sft have a reward of"),
        ({"forecast": False}, (), 0, None),
        ({}, (SimpleNamespace(source="judge"),), 0, "its reward is a judge"),
        ({"iterations": 1, "prompts_per_iteration": 16}, (), 0, "more than a tenth"),
        ({"iterations": 3}, (), 1, "a small forecast, of"),
    ],
)
def test_it_takes_at_most_a_tenth_of_the_step_and_no_money(world, tmp_path, settings, rewards, drawn, said):
    world.step.settings = Ppo(kl=plaudit.KL(coefficient=0.3), **settings)
    world.step.rewards, stage = rewards, Stage(tmp_path / "ppo")
    found(world, stage)
    assert world.drawn == drawn and (said is None or said in world.said[0])
    if drawn:
        # Drawing and scoring an answer costs less than what an episode of RL costs.
        kept, own = stage.read_json("forecast.json"), world.step.settings
        episodes = own.iterations * own.prompts_per_iteration
        assert kept["prompts"] * kept["answers"] <= episodes


def test_a_forecast_is_not_part_of_what_a_step_makes(tmp_path):
    def keys(**settings):
        steps = {"rank": {}, "reward": {}, "ppo": {**PPO, **settings}}
        config = validate(tiny("keys", steps), "here")
        context = Context(config, graph_of(config), RunFolder(tmp_path), materials_of(config), Runtime())
        return make_plan(context, {}).keys(RunFolder(tmp_path))

    assert keys() == keys(forecast=False)
    assert keys()["ppo"] != keys(lr=1e-9)["ppo"]


def test_a_reward_that_tells_nothing_apart_ends_no_step(world, tmp_path):
    world.step.settings = Ppo(kl=plaudit.KL(coefficient=0.3), iterations=200)
    world.reward = SimpleNamespace(score=lambda samples: RewardOutput(np.zeros(len(samples))))
    settings, _ = found(world, Stage(tmp_path / "ppo"))
    assert settings is world.step.settings and "no forecast, because the reward is the same" in world.said[0]


def test_prompts_that_leave_no_room_for_an_answer_are_left_out(world, tmp_path, monkeypatch):
    """One long validation prompt must not end a step whose training leaves such prompts out."""
    monkeypatch.undo()
    policy, asked = toy_policy(), []

    def answer(context, policy, prompts, settings, *, n, **options):
        asked.extend(prompts)
        return [
            SimpleNamespace(prompt=p, response=Response(str(i / n)), finish="end", ids=[1])
            for p in prompts
            for i in range(n)
        ]

    monkeypatch.setattr(before_rl, "answer", answer)
    long = Prompt.user("a " * 200)
    prompts = [long, *(Prompt.user(f"a {i}") for i in range(60))]
    world.context.materials.prompts = lambda part: prompts if part == "validation" else []
    world.context.renderer = lambda tokenizer: Renderer(tokenizer, max_length=80)
    before_rl.before_rl(world.context, world.step, Stage(tmp_path / "ppo"), policy, world.reward)
    assert len(asked) == 50 and long not in asked


def test_it_is_refused_where_beta_has_another_unit():
    """A loss that rescales advantages and then adds the KL weighs it otherwise than r − β·KL."""

    def problem(settings):
        node = SimpleNamespace(name="x", settings=settings, kind=SimpleNamespace(title="X"))
        return before_rl.check_suggested_kl(SimpleNamespace(gold=1), node)

    auto = {"coefficient": "auto"}
    in_loss = plaudit.KL(place="loss", **auto)
    for fine in (
        AUTO,
        Grpo(kl=auto, advantage_scale="none"),
        Grpo(kl={**auto, "place": "reward"}),
        Rloo(kl=in_loss),
    ):
        assert problem(fine) is None
    for wrong, words in (
        (Grpo(kl=auto), "advantage_scale: none"),
        (Ppo(kl=in_loss), "kl.place: reward"),
        (Reinforce(kl=in_loss), "kl.place: reward"),
        (OnlineDpo(kl=auto), "give a number"),
    ):
        assert words in problem(wrong).remedy and "rescales the reward" in problem(wrong).message


def test_it_is_refused_where_no_beta_raises_the_truth(world, tmp_path):
    world.truth = lambda r: -r
    with pytest.raises(UserError, match="no β surely raises the truth"):
        found(world, Stage(tmp_path / "ppo"))


def test_it_is_refused_where_no_truth_is_known_before_anything_is_loaded():
    node = SimpleNamespace(name="ppo", settings=AUTO)
    node.asked = ()
    problem = before_rl.check_suggested_kl(SimpleNamespace(gold=None), node)
    assert (
        problem.field == "steps.ppo.kl.coefficient" and "neither gold nor a second judge" in problem.message
    )
    assert before_rl.check_suggested_kl(SimpleNamespace(gold=1), node) is None
    assert (
        before_rl.check_suggested_kl(
            SimpleNamespace(gold=None), SimpleNamespace(**vars(node) | {"asked": (1,)})
        )
        is None
    )
    node.settings = Ppo()
    assert before_rl.check_suggested_kl(SimpleNamespace(gold=None), node) is None
    with pytest.raises(UserError, match="found by the steps of a recipe"):
        kl_controller(AUTO)


def test_other_words_than_auto_and_numbers_below_zero_are_mistakes():
    for wrong in ("atuo", -0.1):
        with pytest.raises(ValueError, match="coefficient"):
            plaudit.KL(coefficient=wrong)


@pytest.mark.slow
def test_a_recipe_with_auto_runs_or_says_why_not(tmp_path):
    steps = {"rank": {"prompts": 30, "max_new_tokens": 16}, "reward": {}}
    recipe = tiny("auto", {**steps, "ppo": {**PPO, "kl": {"coefficient": "auto"}}}, evaluate=None)
    folder = tmp_path / "run"
    try:
        run = plaudit.run(validate(recipe, "auto"), out=folder)
    except UserError as refused:
        assert "cannot find its own β" in str(refused)
        return
    beta = run.stage("ppo").read_json()["kl_coefficient"]
    assert run.stage("ppo").metrics()[-1]["objective/kl_coef"] == pytest.approx(beta)
