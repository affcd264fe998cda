"""The table of methods agrees with the code it points to."""

from __future__ import annotations

import importlib
import inspect

import pytest

from plaudit.cli import SECTIONS
from plaudit.config import Config
from plaudit.methods_table import METHODS
from plaudit.pipeline.single import ROLE


def function(method):
    module, _, name = method.function.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_every_dotted_path_is_a_function_whose_arguments_are_the_needs(method):
    parameters = inspect.signature(function(method)).parameters
    assert {"settings", "out", "seed"} <= set(parameters)
    required = [name for name, p in parameters.items() if p.default is p.empty]
    trained, *needed = required
    assert trained == ("model" if method.name == "reward" else "policy")
    offered = {"reward": "reward", "prompts": "prompts", "items": "text"}
    given = {offered.get(name, name) for name in needed if name != "settings"}
    assert given == set(method.needs) - {"reference"}
    assert ("reference" in parameters) == ("reference" in method.needs)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_section_of_a_recipe(name):
    assert name in Config.model_fields


def test_the_verbs_are_methods_and_read_what_the_table_says():
    for name in SECTIONS["One method"]:
        assert ROLE[name] in METHODS[name].needs


def test_models_in_memory_name_what_is_needed():
    for method in METHODS.values():
        assert ("reference" in method.models) == ("reference" in method.needs)
        assert method.online == ("prompts" in method.needs)
