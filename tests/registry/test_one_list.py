"""Which methods exist is said in one place: no other module lists them, and no advice names a missing setting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from plaudit.audit.findings import Watched
from plaudit.audit.health import RULES
from plaudit.config.steps import section_class
from plaudit.registry import METHODS, STEPS

SOURCE = Path(__file__).parents[2] / "src" / "plaudit"
# Where methods and steps may be spelled out: their descriptions, and the modules of one family's own code.
ALLOWED = ("registry.py", "extend.py")
FAMILIES = {"methods", "objectives"}


def names():
    found = set(STEPS) | {m.verb for m in METHODS.values()}
    found |= {v for m in METHODS.values() for v in m.variants}
    # Words of English, of data and of places that are no list of methods by themselves.
    return found - {"base", "proxy", "reward", "evaluate"}


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        if place.name in ("descriptors.py", *ALLOWED) or place.parts[0] in FAMILIES:
            continue
        yield place.as_posix(), ast.parse(path.read_text())


def literals(node):
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def collections_in(tree):
    """Literal collections, and chains of comparisons in one function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            children = [*getattr(node, "elts", []), *getattr(node, "keys", [])]
            yield (
                node,
                {c.value for c in children if isinstance(c, ast.Constant) and isinstance(c.value, str)},
            )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            compared = [n for n in ast.walk(node) if isinstance(n, ast.Compare)]
            yield node, {v for n in compared for v in literals(n)}


def listed(tree):
    return [
        (node.lineno, sorted(found))
        for node, all_ in collections_in(tree)
        if len(found := all_ & names()) >= 3
    ]


def test_no_other_module_lists_methods_or_steps():
    found = {place: rows for place, tree in modules() if (rows := listed(tree))}
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        'ORDER = ("sft", "dpo", "ppo")',
        'TITLES = {"dpo": 1, "ppo": 2, "kto": 3}',
        'def f(name):\n    if name == "dpo":\n        return 1\n    if name in ("ppo", "grpo"):\n        return 2',
    ],
)
def test_the_check_finds_a_list_and_a_chain(code):
    assert listed(ast.parse(code))


def rows_that_set_off_every_rule():
    rows = []
    for i in range(12):
        rows.append(
            {
                "step": i + 1,
                "objective/kl": 30.0 if i else -2.0,
                "objective/entropy": 10.0 if i < 2 else 0.01,
                "objective/response_length": 10.0 + 20 * i,
                "objective/finished": 0.3,
                "objective/scores": 3.0 + i if i < 6 else 2.0 - i,
                "rollout/log_prob_gap_mean": 1.0,
                "policy/approxkl_first": 1.0,
                "policy/clipfrac": 0.9,
                "val/var_explained": -1.0,
                "group/zero_variance": 1.0,
                "reward/clipped": 0.5,
                "reward/above_training": 0.4,
                "elapsed/episodes": 64.0 * (i + 1),
                "gold": 1.0 if i == 0 else -1.0,
                "logps/chosen": -10.0 * i,
                "logps/rejected": -20.0 * i,
                "loss": None if i == 3 else 1.0,
            }
        )
    return rows


SUMMARY = {
    "gold": {"start": {"mean": 0.0}, "perfect": {"mean": 1.0}},
    "reward_model": {"accuracy": 0.5, "longer_wins": 0.6, "low": 0.4},
    "best_temperature": {"temperature": 0.3, "start": {"mean": 0.9}, "end": {"mean": 0.5}},
    "gap_closed": {"mean": 0.4},
    "length": {"end": {"finished": 0.3}},
    "unchecked_judges": {"rank": "python:mine:judge"},
    "audits": {"audit-1": {"before": "sft", "after": "ppo-1", "hacks": ["flattery"]}},
}


def seen_of(method):
    rows = rows_that_set_off_every_rule()
    back = {"iteration": 1, "by": "gold", "value": 1.0, "last_iteration": 3, "last": -1.0}
    summary = {**SUMMARY, "stopped": {"mine": "kl_max"}, "rolled_back": {"mine": back}}
    return Watched(rows, summary, "mine", method, method.title, "SFT")


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.trains_policy], ids=lambda m: m.name)
def test_every_setting_that_advice_names_exists_in_the_section_it_is_named_for(method):
    from plaudit.audit.findings import has_setting

    seen = seen_of(method)
    found = [f for rule in RULES if (f := rule(seen)) is not None]
    for finding in found:
        for setting in finding.settings:
            key = setting.removeprefix("steps.mine.")
            assert setting.startswith("steps.mine.") and has_setting(section_class(method), key), setting
            assert setting in finding.action
        # What looks like a key of the recipe in the words is one of those that were checked.
        named = [w.strip(".,;:()") for w in finding.action.split() if w.startswith("steps.")]
        assert set(named) == set(finding.settings), finding.action
        assert finding.action[0].isupper() and "{}" not in finding.action


def test_every_rule_is_set_off_by_the_records_above():
    seen = seen_of(METHODS["ppo"])
    fired = {f.rule for rule in RULES if (f := rule(seen)) is not None}
    quiet = {rule.__name__ for rule in RULES} - fired
    # These two need a run that contradicts another rule's records.
    assert quiet <= {"gold_falls_while_proxy_rises", "score_never_rises"}, quiet
