"""`plaudit advise`: which method fits the data, the wanted quality and the machine."""

from plaudit.advice.rules import Advice, Recommendation, advise
from plaudit.advice.situation import HAVE, Situation, describe_situation

__all__ = ["HAVE", "Advice", "Recommendation", "Situation", "advise", "describe_situation"]
