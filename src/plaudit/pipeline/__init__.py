"""Stages, their order, skipping and resume; the built-in recipes."""

from plaudit.pipeline.run import demo, resume, run
from plaudit.pipeline.seeds import run_seeds
from plaudit.pipeline.single import run_method

__all__ = ["demo", "resume", "run", "run_method", "run_seeds"]
