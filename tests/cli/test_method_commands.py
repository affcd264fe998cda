"""The registered methods agree with the code that they point to, and with their commands."""

from __future__ import annotations

import inspect

import pytest

from plaudit.cli import by_verb, sections
from plaudit.config.graph import FEEDS
from plaudit.methods import train_direct, train_online
from plaudit.registry import METHODS, STEPS, resolve


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_every_function_takes_what_its_method_needs(method):
    function = resolve(method.function)
    parameters = inspect.signature(function).parameters
    # A method that hands its options on says which those of the general function are.
    taken = set(parameters)
    if "options" in parameters:
        general = train_online.online if method.online else train_direct.preference
        assert "Unpack[" in str(parameters["options"].annotation)
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
def test_every_method_is_a_kind_of_step_with_settings_and_code(name):
    method = METHODS[name]
    assert STEPS[name] is method
    assert isinstance(resolve(method.settings), type) and callable(resolve(method.run))
    assert (method.page or method.verb not in by_verb()) and method.when and method.summary.endswith(".")


def test_the_verbs_are_the_methods_that_start_from_a_model_and_read_what_they_need():
    assert set(sections()["One method"]) == {m.verb for m in METHODS.values()} - {"pretrain"}
    for verb, method in by_verb().items():
        assert verb == method.verb
        assert {method.data, *FEEDS[method.data]} & set(method.needs)


def test_models_in_memory_name_what_is_needed():
    for method in METHODS.values():
        # Offline methods compute the reference's log-probs once, from the policy itself.
        assert ("reference" in method.models) == ("reference" in method.needs and method.online)
        assert ("reward model" in method.models) == ("reward" in method.needs or method.name == "reward")
        assert method.rewarded == ("reward" in method.needs)
        assert method.online == ("prompts" in method.needs) or method.name == "rejection"
