"""The table of methods agrees with the code it points to."""

from __future__ import annotations

import importlib
import inspect

import pytest
from plaudit.methods_table import METHODS

from plaudit.cli import SECTIONS
from plaudit.config import Config
from plaudit.methods import train_direct, train_online
from plaudit.pipeline.single import ROLE


def function(method):
    module, _, name = method.function.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_every_dotted_path_is_a_function_whose_arguments_are_the_needs(method):
    parameters = inspect.signature(function(method)).parameters
    # A method that hands its options on takes those of the function that it names in its docstring.
    taken = set(parameters)
    if "options" in parameters:
        general = train_online.online if method.online else train_direct.preference
        assert f"``{general.__name__}``" in function(method).__doc__
        taken |= set(inspect.signature(general).parameters)
    assert {"settings", "out", "seed"} <= taken
    required = [
        name for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    trained, *needed = required
    assert trained == ("model" if method.name == "reward" else "policy")
    offered = {"reward": "reward", "prompts": "prompts", "items": "text", "records": "labels"}
    given = {offered.get(name, name) for name in needed if name != "settings"}
    assert given == set(method.needs) - {"reference"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_section_of_a_recipe(name):
    assert name in Config.model_fields


def test_the_verbs_are_methods_and_read_what_the_table_says():
    by_verb = {method.verb: method for method in METHODS.values()}
    verbs = SECTIONS["One method"]
    assert set(verbs) == set(by_verb) - {"pretrain"}
    for verb in verbs:
        assert ROLE[by_verb[verb].name] in by_verb[verb].needs


def test_models_in_memory_name_what_is_needed():
    for method in METHODS.values():
        # Offline methods compute the reference's log-probs once, from the policy itself.
        assert ("reference" in method.models) == ("reference" in method.needs and method.online)
        assert ("reward model" in method.models) == ("reward" in method.needs or method.name == "reward")
        assert method.online == ("prompts" in method.needs) or method.name == "rejection"
