"""The names of ``import plaudit``: typed, each in its own place, and imported only when they are used."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import plaudit
from plaudit.registry import METHODS

CALLS = (Path(__file__).parent / "typed_calls.py").read_text("utf-8")
HELD = ("dpo", "ppo", "reward_model", "sample")


def test_importing_plaudit_imports_nothing_else_of_it_nor_torch():
    code = "import sys, plaudit; print(*(m for m in sys.modules if m.startswith(('plaudit.', 'torch', 'pydantic'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_name_of_the_stub_is_there_at_run_time_and_is_no_module():
    for name in plaudit.__all__:
        assert not inspect.ismodule(getattr(plaudit, name)), name
    assert {m.function.partition(":")[2] for m in METHODS.values() if m.function} <= set(plaudit.__all__)


def test_no_name_of_a_module_is_taken_by_a_function():
    import plaudit.pipeline.run as run

    assert inspect.ismodule(run)
    packages = {p.stem for p in Path(plaudit.__file__).parent.iterdir()}
    assert not packages & set(plaudit.__all__)


def constructors_and_functions():
    for name in plaudit.__all__:
        found = getattr(plaudit, name)
        if inspect.isclass(found):
            found = found.__dict__.get("__init__")
        if inspect.isfunction(found) and found.__module__.startswith("plaudit."):
            yield name, found


def test_no_argument_and_no_result_of_a_public_name_is_any():
    checked = dict(constructors_and_functions())
    assert len(checked) > 40
    for name, found in checked.items():
        untyped = [k for k, v in found.__annotations__.items() if v in ("Any", "object")]
        assert not (name and untyped and name not in REGISTERED), (name, untyped)
        missing = set(inspect.signature(found).parameters) - set(found.__annotations__) - {"self"}
        assert not missing, (name, missing)


# A description may hold any object in the place of its name ``module:name``.
REGISTERED = ("WorldKind",)


def arguments(function) -> set[str]:
    """The names of a function's arguments, those of ``**options: Unpack[…]`` among them."""
    found: set[str] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            options = get_type_hints(function)[name].__args__[0]
            found |= set(options.__required_keys__ | options.__optional_keys__)
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("name", HELD)
def test_mypy_is_asked_about_every_argument_by_itself(name):
    wrong = re.findall(rf"plaudit\.{name}\(.*\)  # type: ignore\[.*?\](?:  # (\w+))?$", CALLS, re.M)
    by_keyword = re.findall(rf"plaudit\.{name}\(.*?(\w+)=[^=\n]*\)  # type: ignore\[arg-type", CALLS)
    assert {*filter(None, wrong), *by_keyword} == arguments(getattr(plaudit, name))
    assert 'modules = ["typed_calls"]' in (Path(__file__).parents[1] / "pyproject.toml").read_text()
    tree = ast.parse(CALLS)
    control = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "right")
    assert "type: ignore" not in (ast.get_source_segment(CALLS, control) or "")
