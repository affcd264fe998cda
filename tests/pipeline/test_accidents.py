"""Ordinary accidents are told in a sentence with a remedy that helps."""

from __future__ import annotations

import pytest

from plaudit.config import validate
from plaudit.errors import UserError
from plaudit.pipeline.run import execute_config
from plaudit.runs import RunFolder
from plaudit.training import NotFiniteError


@pytest.mark.parametrize("below", ["", "deeper/run"])
def test_a_file_in_the_place_of_the_run_is_named(below, tmp_path):
    file = tmp_path / "taken.jsonl"
    file.write_text("{}\n")
    recipe = {"data": {"demonstrations": str(file)}, "steps": {"sft": {}}, "evaluate": None}
    with pytest.raises(UserError, match=r"taken\.jsonl is a file\n.*--out DIR"):
        execute_config(validate(recipe, "here"), RunFolder(file / below))


def test_a_loss_that_is_not_finite_is_a_mistake_that_the_user_can_mend():
    assert issubclass(NotFiniteError, UserError)
