"""`plaudit advise`: which method serves the data, the quality and the machine at hand."""

from plaudit.advice.rules import Advice, Path, advise
from plaudit.advice.situation import HAVE, Situation, infer

__all__ = ["HAVE", "Advice", "Path", "Situation", "advise", "infer"]
