"""`plaudit advise`: the rules, the recipe it writes, and what it says of data it can read."""

from __future__ import annotations

import itertools
import json

import pytest
import yaml
from command_line import run

from plaudit.advice import HAVE, Situation, advise, describe_situation
from plaudit.config import load_recipe, text_of, validate
from plaudit.config.resolve import graph_of
from plaudit.config.text import Loader
from plaudit.data.records import Prompt, Ranking, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.registry import METHODS


def first(*have, **options):
    return advise(Situation(set(have), **options)).advice[0].method


@pytest.mark.parametrize(
    ("have", "quality", "expected"),
    [
        (("demonstrations",), "good", "sft"),
        (("thumbs",), "good", "kto"),
        (("demonstrations", "pairs"), "good", "dpo"),
        (("pairs",), "draft", "dpo"),
        (("demonstrations", "rankings"), "best", "ppo"),
        (("prompts", "function"), "good", "grpo"),
        (("prompts", "reward_model"), "draft", "rejection"),
        (("prompts", "reward_model"), "best", "ppo"),
    ],
    ids=str,
)
def test_the_method_follows_from_what_there_is(have, quality, expected):
    assert first(*have, quality=quality) == expected


def test_few_rankings_speak_for_dpo_even_where_the_best_is_wanted():
    found = Situation({"demonstrations", "pairs"}, "best", counts={"pairs": 500})
    way = advise(found)
    assert way.advice[0].method == "dpo"
    assert any("500 rankings are few" in w for w in way.warnings)


def test_memory_turns_to_adapters_and_then_to_nothing():
    roomy = advise(Situation({"pairs"}, memory=80, parameters=1e9))
    tight = advise(Situation({"pairs"}, memory=8, parameters=1e9))
    assert not roomy.advice[0].adapters and tight.advice[0].adapters
    assert tight.advice[0].gib < roomy.advice[0].gib
    assert tight.advice[0].recipe["policy"]["lora"] == {"rank": 16}
    tighter = advise(Situation({"pairs"}, memory=3, parameters=1e9))
    assert tighter.advice[0].gib < 3 < tight.advice[0].gib and tighter.advice[0].halved
    assert tighter.advice[0].recipe["policy"]["lora"] == {"rank": 16, "base_dtype": "bfloat16"}
    none = advise(Situation({"pairs", "people"}, memory=1, parameters=1e9))
    assert not none.advice and "even with adapters" in none.left_out["dpo"]


def test_every_method_is_either_advised_or_left_out_with_a_reason():
    for size in (1, 2):
        for have in itertools.combinations(set(HAVE) - {"people"}, size):
            try:
                way = advise(Situation(set(have)))
            except UserError:
                # A scoring function or prompts alone: nothing to apply the one to the other.
                assert set(have) <= {"prompts", "function", "reward_model"}
                continue
            named = {a.method for a in way.advice} | set(way.left_out)
            assert named >= set(METHODS) - {"pretrain", "reward"}
            assert all(way.left_out.values()) and all(a.reason for a in way.advice)


def test_people_and_the_best_quality_get_the_combined_path():
    steps = " ".join(advise(Situation({"people", "pairs"}, "best")).steps)
    assert steps.index("AI feedback") < steps.index("DPO") < steps.index("human rankings")
    assert advise(Situation({"people"})).steps[0].startswith("collect")
    with pytest.raises(UserError, match="no method can train"):
        advise(Situation(set()))


def situations():
    """All that one to three kinds of things make possible, with and without the files, roomy and tight."""
    for size in (1, 2, 3):
        for have in itertools.combinations([h for h in HAVE if h != "people"], size):
            named = {h: [f"{h}.jsonl"] for h in have if h not in ("function", "reward_model")}
            for files, memory in ((named, None), ({}, 16.0)):
                yield Situation(set(have), parameters=1e9, memory=memory, files=files)


def test_every_recipe_of_every_situation_is_a_graph_that_ends_with_its_method():
    methods = set()
    for found in situations():
        try:
            way = advise(found)
        except UserError:
            continue
        for advice in way.advice:
            config = read_back(advice.recipe)
            graph = graph_of(config)
            assert graph.places["end"] == advice.method, (found.have, advice.recipe)
            assert config.steps[advice.method].settings, "of the method's own section"
            assert ("reward" in config.steps) <= bool(found.have & {"pairs", "rankings"})
            given = {p for paths in found.files.values() for p in paths}
            assert not given & set(advice.to_fill_in) and "MODEL" in advice.to_fill_in
            methods.add(advice.method)
    assert methods == {m.name for m in METHODS.values() if m.fit is not None or m.trains_policy}


def read_back(recipe):
    """The recipe as its text reads: what `--write` writes."""
    raw = yaml.load(text_of(recipe), Loader)
    assert raw == recipe
    return validate(raw, recipe["name"])


def test_what_is_misspelled_gets_a_suggestion():
    with pytest.raises(UserError, match="rankings"):
        Situation({"ranking"})


@pytest.fixture
def pairs(tmp_path):
    records = [
        Ranking(Prompt.user(f"q {i}"), (Response("yes it is"), Response("no")), ((0,), (1,)), rater="a")
        for i in range(20)
    ]
    path = tmp_path / "pairs.jsonl"
    write_jsonl(records, path)
    return path


def test_data_files_say_what_they_feed(pairs):
    found = describe_situation([str(pairs)], ["people"], parameters=1e8)
    assert found.have == {"pairs", "people"} and found.counts == {"pairs": 20}
    assert found.tokens > 0 and found.preferences == 20


def test_the_command_prints_a_method_and_writes_a_recipe_that_loads(pairs, tmp_path, capsys):
    target = tmp_path / "r.yaml"
    assert run("advise", str(pairs), "--parameters", "124M", "--write", str(target)) == 0
    out = capsys.readouterr().out
    assert "→ dpo" in out and "grpo" in out
    assert f"recipe: {target}; put your own names for MODEL, then try `plaudit run" in out
    raw = yaml.safe_load(target.read_text())
    assert raw["data"]["preferences"] == [str(pairs)]
    assert list(load_recipe(target).steps) == ["dpo"]
    assert run("run", str(target), "--dry-run") == 2
    assert "MODEL" in capsys.readouterr().err, "the model is the user's to name"
    assert run("check", str(target)) == 0
    # However the terminal wraps a long path.
    assert f"{pairs}aspreferences" in "".join(capsys.readouterr().out.split())
    assert json.dumps(raw)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no data is named"),
        (["--have", "pears"], "pairs"),
        (["--have", "pairs", "--quality", "great"], "draft, good, best"),
        (["--have", "pairs", "--parameters", "big"], "0.5B"),
        *(
            (["--have", "pairs", "--parameters", n], "is no number of parameters")
            for n in ("nan", "-7B", "0", "infB")
        ),
        (["--have", "pairs", "--memory", "nan"], "'--memory'"),
        (["--have", "pairs", "--model", "nosuch"], "say it: --parameters 0.5B"),
        (["--have", "pairs", "--write", "."], "cannot write .: it is a folder"),
    ],
)
def test_mistakes_are_told_with_exit_code_two(words, said, capsys):
    assert run("advise", *words) == 2
    out, err = capsys.readouterr()
    assert said in err and "Traceback" not in err and not out


def test_the_size_that_a_config_says_is_not_replaced_in_silence(tmp_path):
    facts = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 1000, "model_type": "llama"}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="not 7"):
        describe_situation([], ["pairs"], model=str(tmp_path), parameters=7e9)
    assert describe_situation([], ["pairs"], model="my/model-7B", parameters=8e9).parameters == 8e9
    assert describe_situation([], ["pairs"], model="nosuch", parameters=1e8).parameters == 1e8


def test_how_a_file_is_read_stands_in_the_recipe(tmp_path):
    path = tmp_path / "coded.jsonl"
    row = {"prompt": "Ask?", "response_1": "Yes.", "response_2": "No.", "label": 0}
    path.write_text(json.dumps(row) + "\n")
    found = describe_situation([str(path)], labels={0: "first", 1: "second"})
    recipe = advise(found).advice[0].recipe
    assert recipe["data"]["preferences"] == [{"path": str(path), "labels": {0: "first", 1: "second"}}]
