"""Which steps a changed line of code marks as made by other code: those that use it, and what follows them."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import plaudit
from plaudit.pipeline.code_version import COMPUTES, code_version, reached, source_hash
from plaudit.pipeline.stages import Plan, StageSpec, execute, made_by_other_code
from plaudit.registry import METHODS, STEPS
from plaudit.runs import RunFolder

SOURCE = Path(plaudit.__file__).parent
# Packages of plaudit in which nothing computes what a step learns: settings, records of work, pages, people's programs.
ELSEWHERE = {"advice", "audit", "cli", "config", "display", "report", "runs", "web"}
# Each is partly named by module, or by the world whose records a step reads.
PARTLY = {"data", "feedback", "pipeline", "pocket"}

RECIPE = {
    "name": "all",
    "threads": 1,
    "world": {"kind": "pocket"},
    "steps": {
        "pretrain": {},
        "sft": {},
        "rank": {"prompts": 40},
        "reward": {},
        "rank-2": {"by": "reward:reward", "prompts": 40},
        **{name: {"from": "sft"} for name, m in METHODS.items() if m.trains_policy and name != "algo"},
    },
}
ONLINE = {n for n, m in METHODS.items() if m.trains_policy and m.rewarded} & set(RECIPE["steps"])
DIRECT = {n for n, m in METHODS.items() if m.trains_policy and not m.rewarded} & set(RECIPE["steps"])
LOOP = ONLINE - {"rejection"}
RANKS, ALL = {"rank", "rank-2"}, {*RECIPE["steps"], "evaluate"}
TRAINED = ALL - RANKS - {"evaluate"}
# Whose steps use a function: (file, function or class) -> steps. What a reader of the code would say.
USED = {
    ("objectives/direct.py", "dpo"): (DIRECT - {"kto"}) | {"online_dpo"},
    ("objectives/direct.py", "kto"): {"kto"},
    ("objectives/ranking.py", "plackett_luce_batch"): {"reward", *(DIRECT - {"kto"}), "online_dpo"},
    ("objectives/advantages.py", "gae"): {"ppo"},
    ("objectives/kl.py", "*"): LOOP | {"evaluate"},
    ("methods/ppo.py", "PPO"): {"ppo"},
    ("methods/policy_gradient.py", "RLOO"): {"rloo"},
    ("methods/policy_gradient.py", "PolicyGradient"): {"grpo", "rloo", "reinforce"},
    ("methods/online_dpo.py", "OnlineDPO"): {"online_dpo"},
    ("methods/kto.py", "KTO"): {"kto"},
    ("methods/reward_model.py", "*"): {"reward"},
    ("methods/rl.py", "RlLoop"): LOOP,
    ("methods/train_direct.py", "preference"): DIRECT - {"kto"},
    ("training/fit.py", "fit"): TRAINED - LOOP,
    ("training/engine.py", "Engine"): TRAINED,
    ("training/checkpoint.py", "save"): TRAINED,
    ("rollout/native.py", "NativeSampler"): ONLINE | RANKS | {"evaluate"},
    # Answers are drawn with the sampler's own forward pass, but a rank step may choose by the scores of a reward model.
    ("models/attention.py", "packed_attention"): ALL,
    ("kernels/varlen_attention_numba.py", "*"): ALL,
    ("judges/reward.py", "RewardJudge"): {"rank-2"},
    ("feedback/simulated.py", "SimulatedRaters"): {"rank"},
    ("pocket/gold.py", "Gold"): ALL,
    ("evaluation/statistics.py", "win_rate"): {"evaluate"},
    ("report/build.py", "*"): set(),
    ("config/methods.py", "*"): set(),
    ("pipeline/run.py", "*"): set(),
}

PLAN = """
import json, sys, time
from pathlib import Path
from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.pipeline import code_version, source_tree
from plaudit.pipeline.planning import roots_of

recipe, edits = json.load(sys.stdin)
config = validate(recipe, "recipe")
graph = graph_of(config)
assert Path(code_version.__file__).is_relative_to(Path.cwd()), code_version.__file__

class Forgetful:
    # A cache that can forget one module: to read all of them again for each edit would take minutes.

    def __init__(self, name):
        self.function, self.known = getattr(source_tree, name).__wrapped__, {}
        setattr(source_tree, name, self)

    def __call__(self, *given):
        if given not in self.known:
            self.known[given] = self.function(*given)
        return self.known[given]

caches = [Forgetful(name) for name in ("tree_of", "module_of", "read")]

def forget(file):
    code_version._version.cache_clear()
    module = str(file).removesuffix(".py").replace("/", ".")
    for cache in caches:
        for key in [k for k in cache.known if k[0] == module or k[0] == Path.cwd() / str(file)]:
            del cache.known[key]

def versions():
    return {name: code_version.code_version(roots_of(config, node)) for name, node in graph.nodes.items()}

began = time.process_time()
found = [versions()]
seconds = time.process_time() - began
for files in edits:
    before = {path: Path(path).read_text() for path in files}
    for path, changed in files.items():
        Path(path).write_text(changed)
        forget(path)
    found.append(versions())
    for path, text in before.items():
        Path(path).write_text(text)
        forget(path)
print(json.dumps([seconds, found, "torch" in sys.modules]))
"""


def with_a_line(text: str, name: str) -> str:
    """The module with one more statement in a function or class, or in its first one for ``*``."""
    body = ast.parse(text).body
    defined = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    nodes = defined if name == "*" else [n for n in defined if n.name == name]
    assert nodes, f"there is no {name}"
    lines = text.splitlines()
    for node in reversed(nodes):
        last = node.body[-1]
        lines.insert(last.lineno - 1, " " * last.col_offset + "changed = 1")
    return "\n".join(lines) + "\n"


def with_other_words(text: str) -> str:
    """The module with other comments and docstrings, and other blank lines."""
    lines = ["# another comment", ""]
    for line in text.splitlines():
        lines += [line, "", "# here too"] if line.startswith("from __future__") else [line]
    text = "\n".join(lines)
    first = ast.get_docstring(ast.parse(text), clean=False)
    return text.replace(first, f"{first} In other words.", 1)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """The steps whose code version each edit of a copy of the source changes; seconds of one plan; torch or not."""
    root = tmp_path_factory.mktemp("source")
    shutil.copytree(
        SOURCE, root / "plaudit", ignore=shutil.ignore_patterns("__pycache__", "static", "*.html")
    )
    edits = [{f"plaudit/{file}": with_a_line((SOURCE / file).read_text(), name)} for file, name in USED]
    words = {f"plaudit/{file}": with_other_words((SOURCE / file).read_text()) for file, _ in USED}
    given = json.dumps([RECIPE, [*edits, words]])
    done = subprocess.run(
        [sys.executable, "-c", PLAN],
        input=given,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, (before, *after), torch = json.loads(done.stdout)
    changes = [{n for n in before if now[n] != before[n]} for now in after]
    return dict(zip(USED, changes)), changes[-1], seconds, torch


@pytest.mark.parametrize("place", USED, ids=lambda p: f"{p[0]}-{p[1]}")
def test_a_changed_line_marks_the_steps_that_use_it_and_no_other(marked, place):
    assert marked[0][place] == USED[place]


def test_a_changed_comment_or_docstring_marks_nothing(marked):
    assert marked[1] == set()


def test_versions_of_a_whole_plan_load_no_torch(marked):
    assert not marked[3]


def test_every_package_of_plaudit_computes_or_is_known_not_to():
    places = {p.removeprefix("plaudit.").partition(".")[0] for p in COMPUTES}
    packages = {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()}
    assert packages == places | ELSEWHERE | PARTLY and not places & ELSEWHERE
    for place in COMPUTES:
        path = SOURCE.parent / place.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), place


EXPECTED = {
    "ppo": "methods.rl methods.ppo methods.surrogate methods.kl_penalty objectives.advantages objectives.kl "
    "rollout.native training.engine training.checkpoint models.logprobs models.critic models.policy rewards.sources",
    "grpo": "methods.rl methods.policy_gradient methods.surrogate objectives.groups objectives.kl rollout.native",
    "rejection": "methods.rollouts methods.supervised rollout.native training.fit training.engine",
    "dpo": "methods.direct methods.reference_log_probs objectives.direct objectives.ranking training.fit "
    "training.engine training.memory models.logprobs data.rendering.renderer data.rendering.text_encoder "
    "data.rendering.chat_template pipeline.context",
    "kto": "methods.kto objectives.direct training.fit",
    "reward": "methods.reward_model models.reward_model models.heads objectives.ranking training.fit",
    "sft": "methods.supervised training.fit models.policy kernels.token_logprob pipeline.datasets data.splits",
    "rank": "rollout.native pipeline.steps.rank pipeline.steps.people",
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_kind_of_step_reaches_the_modules_that_a_reader_would_name(kind):
    described = STEPS[kind]
    modules = {
        module.removeprefix("plaudit.")
        for module, _ in reached([described.run, getattr(described, "function", ""), *described.code])
    }
    assert set(EXPECTED[kind].split()) <= modules


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's package, its files written by the test; each test has a package name of its own."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    "imports, use",
    [
        ("from {p}.losses import mine", "mine(x)"),
        ("from {p} import losses", "losses.mine(x)"),
        ("from . import losses as other", "other.mine(x)"),
        ("import {p}.losses", "{p}.losses.mine(x)"),
        ("import {p}.losses as l", "l.mine(x)"),
        ("from {p}.again import mine", "mine(x)"),
        ("from {p}.again import mine as m", "[m][0](x)"),
        (
            "LOSSES = '{p}.losses'\nfrom plaudit.registry import resolve\nfrom {p} import losses",
            "use(losses)",
        ),
    ],
)
def test_a_users_own_package_is_followed_however_it_imports(own, tmp_path, imports, use, request):
    package = f"own_{abs(hash(request.node.name)) % 10**9}"
    main = f"{imports}\n\ndef run(x):\n    return {use}\n".replace("{p}", package)
    losses = "def mine(x):\n    return x + 1\n\ndef unused(x):\n    return x\n"
    own(
        **{
            f"{package}__main": main,
            f"{package}__losses": losses,
            f"{package}__again": f"from {package}.losses import mine\n",
        }
    )
    found = reached([f"{package}.main:run"])
    assert (f"{package}.losses", "mine") in found
    assert ((f"{package}.losses", "unused") in found) == ("use(" in use), (
        "a module handed on counts as a whole"
    )


def test_statements_that_act_at_import_and_names_in_except_count(own):
    text = (
        "import json\njson.key = 3\ntry:\n    import fast\nexcept ImportError:\n    fast = None\n\n"
        "def run():\n    return fast\n"
    )
    own(acting__one=text, acting__two=text.replace("3", "4"), acting__three=text.replace("None", "5"))
    versions = {source: code_version([f"acting.{source}:run"]) for source in ("one", "two", "three")}
    found = {name for _, name in reached(["acting.one:run"])}
    assert found == {"run", "fast", ""}
    assert len(set(versions.values())) == 3


def test_a_users_function_is_the_same_under_other_words(own):
    own(
        worded__one='"""A."""\ndef f():\n    "B"\n    return 1  # c\n',
        worded__two="def f():\n\n    return 1\n",
    )
    own(worded__three="def f():\n    return 2\n")
    one, two, three = (source_hash(f"worded.{n}:f") for n in ("one", "two", "three"))
    assert one == two != three
    assert source_hash("builtin_or_absent:f") == "builtin_or_absent:f"


def planned(log, code=None, asked=(), **settings):
    """pretrain → sft → dpo → evaluate, and reward beside them."""

    def stage(name):
        return StageSpec(
            name,
            lambda s: log.append(name) or {"made": time.time_ns()},
            settings=settings.get(name),
            inputs={"sft": ["pretrain"], "reward": ["sft"], "dpo": ["sft"], "evaluate": ["dpo"]}.get(
                name, ()
            ),
            code=(code or {}).get(name, "a"),
            asked=name in asked,
        )

    plan = Plan()
    for name in ("pretrain", "sft", "reward", "dpo", "evaluate"):
        plan.add(stage(name))
    return plan


def go(folder, log, versions=None, again=(), **options):
    plan = planned(log, **options)
    made_by = plan.codes(versions or {"torch": "1", "numpy": "2"})
    other = made_by_other_code(plan, folder, made_by)
    execute(plan, folder, announce=lambda n, s: None, again=again, made_by=made_by)
    return other


def test_a_step_made_by_other_code_is_kept_and_named_with_what_follows_it(tmp_path):
    folder, log = RunFolder(tmp_path), []
    assert go(folder, log) == {}
    log.clear()
    newer = {"dpo": "b"}
    other = go(folder, log, code=newer)
    assert log == [] and list(other) == ["dpo", "evaluate"]
    assert other["dpo"] == "made by other code" and other["evaluate"] == "follows dpo, which was"
    assert go(folder, log, code=newer, again=["dpo"]) == other and log == ["dpo", "evaluate"]
    assert go(folder, log, code=newer) == {}, "made anew, by this code"


def test_a_changed_setting_runs_by_itself_and_other_libraries_are_named(tmp_path):
    folder, log = RunFolder(tmp_path), []
    go(folder, log)
    log.clear()
    go(folder, log, dpo="lr 2")
    assert log == ["dpo", "evaluate"]
    other = go(folder, [], {"torch": "9", "numpy": "2"}, dpo="lr 2")
    assert set(other.values()) == {"made with another torch"} and len(other) == 5
    log.clear()
    go(folder, log, {"torch": "9", "numpy": "2"}, again=["all"], dpo="lr 2")
    assert log == ["pretrain", "sft", "reward", "dpo", "evaluate"]
    assert go(folder, log, {"torch": "9", "numpy": "2"}, dpo="lr 2") == {}


def test_people_are_not_asked_again_by_all_nor_by_what_comes_before_them(tmp_path):
    folder, log = RunFolder(tmp_path), []
    go(folder, log, asked=["reward"])
    log.clear()
    go(folder, log, asked=["reward"], again=["all"])
    assert log == ["pretrain", "sft", "dpo", "evaluate"]
    log.clear()
    go(folder, log, asked=["reward"], sft="other", reward="another enough")
    assert log == ["sft", "dpo", "evaluate"]
    log.clear()
    go(folder, log, asked=["reward"], sft="other", reward="another enough", again=["reward"])
    assert log == ["reward"], "asked by name, it is"
