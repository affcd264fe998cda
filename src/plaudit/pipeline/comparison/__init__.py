"""`plaudit compare`: several methods on the same preferences and prompts, over seeds, on one frontier."""

from plaudit.pipeline.comparison.arms import DEFAULT, GRID, Arm, arms_of
from plaudit.pipeline.comparison.run import compare

__all__ = ["DEFAULT", "GRID", "Arm", "arms_of", "compare"]
