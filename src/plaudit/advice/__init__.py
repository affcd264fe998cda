"""`plaudit advise`: which method serves the data, the quality and the machine at hand."""

from plaudit.advice.rules import Advice, Recommendation, advise
from plaudit.advice.situation import HAVE, Situation, describe_situation

__all__ = ["HAVE", "Advice", "Recommendation", "Situation", "advise", "describe_situation"]
