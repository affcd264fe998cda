"""A tiny self-made world with a known gold preference: openly a simulation, and useful for being one."""

from plaudit.pocket.gold import Gold, GoldScore
from plaudit.pocket.world import World, leaks

__all__ = ["Gold", "GoldScore", "World", "leaks"]
