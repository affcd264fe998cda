"""A comparison on real data without anything that judges is refused before work."""

from __future__ import annotations

import pytest

from plaudit.errors import UserError
from plaudit.pipeline.comparison.run import compare

RECIPE = """\
name: real
policy: {hidden: 16, layers: 1, heads: 1, max_positions: 64}
data: {preferences: pairs.jsonl}
steps: {reward: {}, dpo: {}}
"""


@pytest.mark.parametrize("evaluate", ["", "evaluate: null\n", "evaluate: {prompts: 4}\n"])
def test_a_comparison_on_real_data_needs_a_proxy_judge(evaluate, tmp_path):
    recipe = tmp_path / "real.yaml"
    recipe.write_text(RECIPE + evaluate)
    with pytest.raises(UserError, match=r"nothing judges.*\n.*evaluate: \{proxy: \{\}\}"):
        compare(recipe, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
