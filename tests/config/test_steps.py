"""Reading a recipe's steps: names, kinds, inputs by name, loops, places, and the older form refused."""

from __future__ import annotations

import json

import pytest

from plaudit.config import apply_override, load_recipe, read_yaml, validate
from plaudit.config.older import converted
from plaudit.config.resolve import graph_of
from plaudit.errors import UserError
from plaudit.registry import STEPS


def recipe(steps, **more):
    return validate({"world": "pocket", "steps": steps, **more}, "r.yaml")


def nodes(steps, **more):
    return graph_of(recipe(steps, **more)).nodes


def test_the_order_of_keys_is_the_order_of_work_and_a_bare_name_takes_the_defaults(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "world: pocket\nsteps:\n  sft:\n  rank: {}\n  reward-a:\n  ppo-last: {from: sft, on: prompts}\n"
    )
    config = load_recipe(path)
    assert {n: s.kind for n, s in config.steps.items()} == {
        "sft": "sft",
        "rank": "rank",
        "reward-a": "reward",
        "ppo-last": "ppo",
    }
    assert list(graph_of(config).nodes) == ["base", "sft", "rank", "reward-a", "ppo-last", "evaluate"]


def test_the_longest_kind_before_a_dash_is_meant_and_either_dash_of_online_dpo():
    config = recipe({"online-dpo": {}, "online_dpo-2": {}, "reward-x": {}, "mine": {"kind": "dpo"}})
    assert [s.kind for s in config.steps.values()] == ["online_dpo", "online_dpo", "reward", "dpo"]


def test_a_recorded_recipe_is_read_again_as_it_was():
    config = recipe(
        {
            "rank": {"by": "pocket:raters?noise=0.1"},
            "reward": {"backbone": {"hidden": 32}},
            "ppo": {"reward": ["reward", {"python:os.path:join": 0.5}], "on": [{"prompts": 2.0}]},
            "base-2": {"policy": {"path": "x/y", "lora": {"rank": 4}}},
        }
    )
    assert validate(json.loads(config.model_dump_json()), "run.json") == config


def test_defaults_of_inputs_are_the_newest_before_the_step():
    found = nodes({"sft": {}, "rank": {}, "reward": {}, "ppo": {}, "rank-2": {}, "reward-2": {}, "ppo-2": {}})
    assert [found[n].start for n in ("sft", "rank", "reward", "ppo")] == ["base", "sft", "sft", "sft"]
    # A later reward model starts where the first one did; its rankings are all that were made before it.
    assert (found["rank-2"].start, found["reward-2"].start, found["ppo-2"].start) == ("ppo", "sft", "ppo")
    assert [s.name for s in found["reward-2"].on] == ["rank", "rank-2"]
    assert [p.path for p in found["ppo"].rewards] == ["reward"]
    assert [p.path for p in found["ppo-2"].rewards] == ["reward-2"]


def test_inputs_by_name_narrow_and_weigh():
    steps = {
        "sft": {},
        "votes": {"kind": "reward", "on": "votes"},
        "rank": {},
        "reward": {"from": "votes", "on": [{"rank": 2.0}]},
        "ppo": {"from": "sft", "reward": {"reward": 0.5}},
        "dpo": {"from": "base"},
    }
    found = nodes(steps)
    assert found["reward"].start == "votes" and found["votes"].start == "sft"
    assert [(s.name, s.weight) for s in found["reward"].on] == [("rank", 2.0)]
    assert [(p.path, p.weight) for p in found["ppo"].rewards] == [("reward", 0.5)]
    assert found["dpo"].start == "base"


def test_places_are_the_first_policy_where_learning_began_and_the_last():
    graph = graph_of(recipe({"pretrain": {}, "sft": {}, "rank": {}, "dpo": {}, "reward": {}, "ppo": {}}))
    assert graph.places == {"base": "pretrain", "start": "sft", "end": "ppo"}
    assert graph.shown == ["pretrain", "sft", "dpo", "ppo"]
    assert graph_of(recipe({"sft": {}})).places == {"base": "base", "start": "base", "end": "sft"}


def test_an_evaluation_in_the_middle_sees_the_steps_before_it_alone():
    graph = graph_of(recipe({"sft": {}, "rank": {}, "dpo": {}, "evaluate-1": {"prompts": 20}, "dpo-2": {}}))
    assert list(graph.before("evaluate-1").nodes) == ["base", "sft", "rank", "dpo"]
    assert graph.before("evaluate-1").places["end"] == "dpo" and graph.places["end"] == "dpo-2"
    assert graph.steps_of("evaluate-1") == ["base", "sft", "rank", "dpo"]
    with pytest.raises(UserError, match="trained once, at the end"):
        nodes({"sft": {}, "evaluate-1": {"proxy": {}}})


def test_a_loop_unrolls_and_its_names_mean_this_round_or_the_one_before():
    loop = {
        "rounds": 2,
        "steps": {
            "rank": {"from": "ppo"},
            "reward": {"on": ["rank"]},
            "ppo": {"from": "sft", "reward": "reward"},
        },
    }
    found = nodes({"sft": {}, "loop": loop})
    assert list(found) == [
        "base", "sft", "rank-1", "reward-1", "ppo-1", "rank-2", "reward-2", "ppo-2", "evaluate",
    ]  # fmt: skip
    # The policy of the round before: in the first round there is none, and the default is taken.
    assert (found["rank-1"].start, found["rank-2"].start) == ("sft", "ppo-1")
    assert [s.name for s in found["reward-2"].on] == ["rank-2"]
    assert (found["ppo-2"].start, found["ppo-2"].rewards[0].path) == ("sft", "reward-2")


def test_every_form_of_a_name_means_this_round_or_the_one_before():
    def inputs(settings):
        steps = {"rank": {}, "reward": {}, "ppo": {"iterations": 1, **settings}, "late": {"kind": "reward"}}
        raw = {"world": "pocket", "steps": {"sft": {}, "loop": {"rounds": 2, "steps": steps}}}
        found = validate(raw, "r.yaml").steps
        return [found[f"ppo-{n}"].reward for n in (1, 2)]

    own = {"source": "step", "path": "reward", "weight": 0.5}
    forms = [
        "reward",
        {"reward": 1.0},
        ["reward"],
        [{"reward": 0.5}, {"python:a:b": 0.1}],
        own,
        [own, "gold"],
    ]
    for form in forms:
        first, second = inputs({"reward": form})
        assert (first[0].path, second[0].path) == ("reward-1", "reward-2")
        assert first[0].weight == second[0].weight and first[1:] == second[1:]
    # What stands later in the loop is of the round before; a first round has none, and the sum is without it.
    for form in ("late", {"late": 1.0}, ["late"], {**own, "path": "late"}):
        first, second = inputs({"reward": form})
        assert first is None and second[0].path == "late-1"
    assert [len(r) for r in inputs({"reward": ["gold", {"late": 2.0}]})] == [1, 2]
    for by in ("reward:reward?soft=true", {"judge": "reward:reward", "soft": True}):
        loop = {"rounds": 2, "steps": {"reward": {}, "rank": {"by": by}, "evaluate-x": {"also": "reward"}}}
        found = validate({"world": "pocket", "steps": {"loop": loop}}, "r.yaml").steps
        assert [found[f"rank-{n}"].settings.by.judge for n in (1, 2)] == [
            "reward:reward-1",
            "reward:reward-2",
        ]
        assert found["rank-2"].settings.by.options == {"soft": True}
        assert found["evaluate-x-2"].settings.also == ("reward-2",)


def test_keys_of_a_policy_are_those_that_its_kind_has():
    for policy, known in (
        ({"path": "tiny", "lroa": {}}, "did you mean 'lora'"),
        ({"path": "tiny", "qqq": 1}, "known keys: chat_template, lora, path, revision, source"),
        ({"hiden": 8}, "did you mean 'hidden'"),
    ):
        with pytest.raises(UserError, match=known):
            validate({"steps": {"base-x": {"policy": policy}}}, "r.yaml")


def test_equal_keys_are_refused_where_yaml_would_silently_keep_the_last(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("world: pocket\nsteps:\n  ppo: {}\n  dpo: {}\n  ppo: {lr: 1.0e-4}\n")
    with pytest.raises(UserError, match=r"r\.yaml:5: two equal keys 'ppo': give one a suffix, such as ppo-2"):
        read_yaml(path)


def test_a_key_of_a_step_at_top_level_is_answered_with_the_key_that_is_meant():
    raw = {"steps": {"sft": {"lr": 0.1}, "ppo-2": {"kind": "ppo"}}}
    for wrong in ("sft.lr=0.2", "ppo-2.kl.coefficient=0.2"):
        with pytest.raises(UserError, match=f"→ --set steps.{wrong}"):
            apply_override(raw, wrong)
    with pytest.raises(
        UserError, match=r"no step 'dpo', and --set cannot create one\n.*its steps: sft, ppo-2"
    ):
        apply_override(raw, "dpo.beta=0.2")
    apply_override(raw, "evaluate.prompts=3")  # a section as well as a kind of step
    assert raw == {"steps": {"sft": {"lr": 0.1}, "ppo-2": {"kind": "ppo"}}, "evaluate": {"prompts": 3}}


def test_a_step_is_left_out_by_name_also_from_a_loop(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "world: pocket\nsteps:\n  sft: {}\n  loop: {rounds: 1, steps: {rank: {}, dpo: {}, kto: {}}}\n"
    )
    assert list(load_recipe(path, without=["kto"]).steps) == ["sft", "rank-1", "dpo-1"]
    with pytest.raises(UserError, match="did you mean 'kto'"):
        load_recipe(path, without=["ktp"])


def test_the_older_form_is_refused_with_the_text_to_paste_which_then_reads(tmp_path):
    older = {
        "name": "old",
        "policy": {"source": "pretrained", "path": "a/b"},
        "data": {"preferences": "p.jsonl", "demonstrations": "d.jsonl", "votes": "v.jsonl"},
        "reward": {"votes": {"steps": 3}, "backbone": "policy", "members": 2},
        "sft": {"steps": 5},
        "ppo": {"kl": {"coefficient": 0.2}},
        "dpo": None,
        "evaluate": {"judge": {"lr": 0.001}},
    }
    with pytest.raises(UserError, match="older form") as caught:
        validate(older, "old.yaml")
    text = "\n".join(line[4:] for line in str(caught.value).splitlines() if line.startswith("    "))
    (tmp_path / "new.yaml").write_text(text)
    pasted = read_yaml(tmp_path / "new.yaml")
    assert "on: votes" in text and pasted == converted(older)
    graph = graph_of(validate(pasted, "new.yaml"))
    assert list(graph.nodes) == ["base", "sft", "votes", "reward", "ppo", "proxy", "evaluate"]
    assert graph["sft"].settings.max_steps == 5 and graph["votes"].settings.max_steps == 3
    assert graph["votes"].settings.members == 2 and graph["reward"].start == "votes"
    assert graph["ppo"].settings.kl.coefficient == 0.2


@pytest.mark.parametrize("name", list(STEPS))
def test_every_kind_that_a_recipe_may_name_at_top_level_is_known_as_the_older_form(name):
    if name == "evaluate":
        return
    with pytest.raises(UserError, match="older form"):
        validate({"world": "pocket", name: {}}, "r.yaml")


SFT, RANK, REWARD = {"sft": {}}, {"rank": {}}, {"reward": {}}
FILES = {"preferences": "p.jsonl"}
# What is wrong, the recipe, and what the error must say: the place, and the choices or the remedy.
IMPOSSIBLE = {
    "no such kind": ({"world": "pocket", "steps": {"ppoo": {}}}, ["steps.ppoo", "did you mean 'ppo'"]),
    "no such kind by key": ({"world": "pocket", "steps": {"x": {"kind": "dpoo"}}}, ["steps.x", "'dpo'"]),
    "a name that means nothing": ({"world": "pocket", "steps": {"zzz": {}}}, ["add `kind:`, one of", "dpo"]),
    "a reserved name": ({"world": "pocket", "steps": {"start": {}}}, ["reserved", "start-2"]),
    "the implicit step": ({"world": "pocket", "steps": {"evaluate": {}}}, ["evaluate:", "evaluate-2"]),
    "a name with a space": (
        {"world": "pocket", "steps": {"sft x": {"kind": "sft"}}},
        ["is not a name for a step"],
    ),
    "a list": ({"world": "pocket", "steps": ["sft"]}, ["steps is a mapping"]),
    "a number for a section": ({"world": "pocket", "steps": {"sft": 3}}, ["steps.sft", "write `sft: {}`"]),
    "an unknown key": ({"world": "pocket", "steps": {"sft": {"epoch": 1}}}, ["steps.sft.epoch", "'epochs'"]),
    "from nowhere": (
        {"world": "pocket", "steps": {**SFT, "dpo": {"from": "sf"}, **RANK}},
        ["steps.dpo.from", "'sft'"],
    ),
    "from itself": ({"world": "pocket", "steps": {"sft": {"from": "sft"}}}, ["its own policy"]),
    "from a later step": (
        {"world": "pocket", "steps": {"sft": {"from": "sft-2"}, "sft-2": {}}},
        ["comes after", "choices: base"],
    ),
    "a cycle": (
        {"world": "pocket", "steps": {**RANK, "ppo": {"reward": "reward"}, "reward": {"from": "ppo"}}},
        ["steps.ppo.reward", "comes after"],
    ),
    "from rankings": ({"world": "pocket", "steps": {**RANK, "dpo": {"from": "rank"}}}, ["gives no policy"]),
    "a policy from a reward model": (
        {"world": "pocket", "steps": {**RANK, **REWARD, "dpo": {"from": "reward"}}},
        ["steps.dpo.from", "gives no policy", "choices: base"],
    ),
    "a base from something": (
        {"world": "pocket", "steps": {"pretrain": {"from": "x"}}},
        ["starts from nothing"],
    ),
    "a policy where none belongs": (
        {"world": "pocket", "steps": {"sft": {"policy": {"hidden": 8}}}},
        ["policy of its own"],
    ),
    "nothing scores": (
        {"world": "pocket", "steps": {"ppo": {}}},
        ["steps.ppo.reward", "python:module:function"],
    ),
    "a reward of no step": (
        {"world": "pocket", "steps": {**RANK, **REWARD, "ppo": {"reward": "rewardd"}}},
        ["steps.ppo.reward", "'reward'"],
    ),
    "a reward that is none": (
        {"world": "pocket", "steps": {**SFT, "ppo": {"reward": "sft"}}},
        ["gives no reward model"],
    ),
    "a reward spec of no scheme": (
        {"world": "pocket", "steps": {"ppo": {"reward": "foo:bar"}}},
        ["is not a reward"],
    ),
    "a reward for SFT": ({"world": "pocket", "steps": {"sft": {"reward": "gold"}}}, ["asks for no reward"]),
    "two rewards": (
        {"world": "pocket", "steps": {"ppo": {"reward": "gold", "reward_function": "a:b"}}},
        ["exclude each other"],
    ),
    "gold outside a world": ({"data": FILES, "steps": {"ppo": {"reward": "gold"}}}, ["gold is known"]),
    "no rankings": ({"world": "pocket", "steps": {"dpo": {}}}, ["no preferences", "rank"]),
    "no demonstrations": (
        {"data": FILES, "steps": {"sft": {}}},
        ["no demonstrations", "data.demonstrations"],
    ),
    "on no such source": (
        {"world": "pocket", "steps": {**RANK, "dpo": {"on": "rnk"}}},
        ["steps.dpo.on", "'rank'"],
    ),
    "on a role without files": (
        {"data": FILES, "steps": {"dpo": {"on": ["labels"]}}},
        ["data.labels names no file"],
    ),
    "on records of another kind": (
        {"world": "pocket", "steps": {"dpo": {"on": "demonstrations"}}},
        ["holds no preferences"],
    ),
    "on a policy": (
        {"world": "pocket", "steps": {**SFT, **RANK, "dpo": {"on": "sft"}}},
        ["gives no preferences"],
    ),
    "a weight of nothing": (
        {"world": "pocket", "steps": {**RANK, "dpo": {"on": [{"rank": 0}]}}},
        ["above 0"],
    ),
    "nobody ranks": ({"data": FILES, "steps": {"rank": {}}}, ["nobody ranks", "people"]),
    "no such judge": (
        {"world": "pocket", "steps": {"rank": {"by": "pokket:raters"}}},
        ["no judge", "'pocket'"],
    ),
    "raters outside their world": (
        {"data": FILES, "steps": {"rank": {"by": "pocket:raters"}}},
        ["needs the pocket world"],
    ),
    "a rater's option misspelled": (
        {"world": "pocket", "steps": {"rank": {"by": "pocket:raters?nois=1"}}},
        ["'noise'"],
    ),
    "a judge that is not there yet": (
        {"world": "pocket", "steps": {"rank": {"by": "reward:reward"}, "reward": {}}},
        ["no reward model 'reward' before this step"],
    ),
    "a judge that cannot be imported": (
        {"world": "pocket", "steps": {"rank": {"by": "python:no_such_module:f"}}},
        ["no_such_module"],
    ),
    "enough without people": (
        {"world": "pocket", "steps": {"rank": {"by": "pocket:raters", "enough": {"items": 3}}}},
        ["by: people"],
    ),
    "the same prompts as nothing": (
        {"world": "pocket", "steps": {"rank": {"prompts": "same"}}},
        ["rank step before"],
    ),
    "scripted answers of no world": (
        {"data": FILES, "steps": {"rank": {"by": "python:os.path:join", "scripted_share": 0.2}}},
        ["made world"],
    ),
    "a loop of no rounds": ({"world": "pocket", "steps": {"loop": {"rounds": 0, "steps": SFT}}}, ["rounds"]),
    "a loop of nothing": ({"world": "pocket", "steps": {"loop": {"rounds": 2}}}, ["needs steps"]),
    "a loop in a loop": (
        {
            "world": "pocket",
            "steps": {"loop": {"rounds": 2, "steps": {"loop-2": {"rounds": 1, "steps": SFT}}}},
        },
        ["inside a loop"],
    ),
    "a loop's name taken": (
        {"world": "pocket", "steps": {"sft-1": {}, "loop": {"rounds": 1, "steps": SFT}}},
        ["two steps are called 'sft-1'", "sft-1-2"],
    ),
    "a proxy of nothing": ({"world": "pocket", "steps": SFT, "evaluate": {"proxy": {}}}, ["evaluate.proxy"]),
    "no such world": ({"world": "poket", "steps": SFT}, ["'pocket'"]),
    "a PTX term of nothing": (
        {"data": FILES, "steps": {"ppo": {"ptx_coefficient": 0.1, "reward_function": "a:b"}}},
        ["ptx_coefficient", "demonstrations"],
    ),
    "a weight of prompts": (
        {"data": {"prompts": {"path": "p", "weight": 2}}, "steps": SFT},
        ["data.prompts", "each prompt is asked once"],
    ),
    "a weight of prompts of RL": (
        {"data": FILES, "steps": {"ppo": {"reward_function": "a:b", "on": {"preferences": 3.0}}}},
        ["steps.ppo.on", "without a weight"],
    ),
    "weights of a reward that are no numbers": (
        {
            "world": "pocket",
            "steps": {
                "ppo": {"reward": {"gold": None}},
                "ppo-2": {"reward": [{"gold": [1]}]},
                "ppo-3": {"reward": {"gold": float("nan")}},
            },
        },
        ["steps.ppo.reward.weight", "steps.ppo-2.reward.weight", "steps.ppo-3.reward.weight", "finite"],
    ),
    "decays that AdamW does not take, and a penalty that pays": (
        {
            "world": "pocket",
            "steps": {
                "sft": {"betas": [1.5, 2]},
                "ppo": {"reward": "gold", "betas": [-1, 0.9], "unfinished_penalty": -5},
            },
        },
        ["steps.sft.betas.0", "steps.sft.betas.1", "steps.ppo.betas.0", "steps.ppo.unfinished_penalty"],
    ),
    "models from scratch that no layer can compute": (
        {"policy": {"hidden": 12, "heads": 4, "kv_heads": 3, "vocabulary": 100}, "steps": SFT},
        ["hidden 12 / heads 4 is odd", "heads 4 is not a multiple of kv_heads 3", "set it to 262 or more"],
    ),
    "settings of RL without effect": (
        {
            "world": "pocket",
            "steps": {
                "ppo": {"reward": "gold", "kl": {"target": 3}},
                "ppo-2": {"reward": "gold", "kl": {"horizon": 9000}},
                "grpo": {"reward": "gold", "ratio": "sequence", "surrogate": "cispo"},
                "grpo-2": {
                    "reward": "gold",
                    "ratio": "sequence",
                    "aggregation": "fixed",
                    "kl": {"place": "reward"},
                },
                "online-dpo": {"reward": "gold", "kl": {"epoch_target": 0.1}},
            },
        },
        [
            "controller: adaptive",
            "[steps.grpo]",
            "cispo",
            "[steps.grpo-2]",
            "leave it out",
            "steps.online-dpo.kl",
        ],
    ),
    "a critic of no reward model": (
        {"world": "pocket", "steps": {"ppo": {"reward": "gold", "critic": "reward"}}},
        ["steps.ppo.critic", "use critic: policy"],
    ),
    "settings of training without effect": (
        {
            "world": "pocket",
            "save": "adapter",
            "save_dtype": "float16",
            "steps": {
                "sft": {"keep_best": True, "schedule": "constant", "final_lr": 0.5},
                "rank": {},
                "rank-2": {"recheck": "rank", "prompts": 5, "answers": 6},
                "revise": {"by": "local:x", "helpful_samples": 2},
                "reward": {"aggregate": "min"},
                "reward-2": {"members": 2, "std_penalty": 2},
                "rejection": {"eval_every": 5},
            },
        },
        [
            "set eval_every, or leave it out; schedule: constant keeps the rate",
            "leave out answers and temperature",
            "need helpful",
            "members of 2 or more",
            "std_penalty needs aggregate",
            "holds nothing out",
            "save: adapter writes none",
        ],
    ),
    "a pooling that the reward model does not have": (
        {
            "data": FILES,
            "steps": {
                "reward": {},
                "reward-2": {"from": "reward"},
                "reward-3": {"from": "reward-2", "pooling": "mean"},
            },
        },
        ["steps.reward-3.pooling", "reward-3 goes on from reward,"],
    ),
    "a step called like a role": (
        {"world": "pocket", "steps": {"votes": {"kind": "rank"}}},
        ["data role too"],
    ),
}


@pytest.mark.parametrize("raw, said", IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_an_impossible_graph_is_an_error_that_names_the_choices(raw, said):
    with pytest.raises(UserError) as caught:
        graph_of(validate(raw, "r.yaml"))
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_an_impossible_graph_is_found_before_torch_is_loaded():
    import subprocess
    import sys

    code = (
        "import sys\nfrom plaudit.pipeline.run import run\nfrom plaudit.config import validate\n"
        "from plaudit.errors import UserError\n"
        "try:\n    run(validate({'world': 'pocket', 'steps': {'ppo': {}}}, 'r'))\n"
        "except UserError:\n    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_all_problems_of_a_graph_are_reported_at_once():
    raw = {"world": "pocket", "steps": {"dpo": {"from": "x"}, "ppo": {}, "sft": {"on": "y"}}}
    with pytest.raises(UserError) as caught:
        graph_of(validate(raw, "r.yaml"))
    assert len(caught.value.problems) == 4  # dpo's start and rankings, ppo's reward, sft's source
