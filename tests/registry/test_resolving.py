"""Code of one's own by ``module:name``: what cannot be had is a user's mistake, whatever it is named for."""

from __future__ import annotations

import sys

import pytest

from plaudit.errors import UserError
from plaudit.registry import resolve


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def loss(a) return 1", "importing broken_part failed.*SyntaxError"),
        ("import math\nmath.no_such_name", "importing broken_part failed.*no_such_name"),
        ("from math import no_such_name", "importing broken_part failed.*no_such_name"),
        ("import no_such_module_here", "imports no_such_module_here, which is not installed"),
        ("number = 3", "has no 'loss'"),
    ],
)
def test_a_module_that_cannot_be_used_is_told(tmp_path, monkeypatch, source, message):
    (tmp_path / "broken_part.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_part", raising=False)
    with pytest.raises(UserError, match=f"loss 'broken_part:loss'.*{message}"):
        resolve("broken_part:loss", "loss")
