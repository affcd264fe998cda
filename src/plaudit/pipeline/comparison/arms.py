"""What is compared: a method with its settings, and the points of its small grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from plaudit.config import FINAL
from plaudit.errors import UserError, suggest

# Names that are a method with an option, as users speak of them.
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ipo": ("dpo", ("loss=ipo", "length_normalised=true")),
    "dr-grpo": ("grpo", ("advantage_scale=none", "aggregation=fixed")),
    "gspo": ("grpo", ("ratio=sequence",)),
    "cispo": ("grpo", ("surrogate=cispo",)),
}
# The knob that trades reward for KL, and two values of it, one on each side of the usual.
GRID: dict[str, tuple[str, tuple[float, ...]]] = {
    "ppo": ("kl.coefficient", (0.05, 0.2)),
    "grpo": ("kl.coefficient", (0.1, 0.4)),
    "rloo": ("kl.coefficient", (0.05, 0.2)),
    "reinforce": ("kl.coefficient", (0.05, 0.2)),
    "online_dpo": ("kl.coefficient", (0.2, 1.0)),
    "rejection": ("n", (4, 16)),
    "dpo": ("beta", (0.1, 0.5)),
    "ipo": ("beta", (0.2, 1.0)),
    "simpo": ("beta", (1.0, 4.0)),
    "cpo": ("beta", (0.05, 0.1)),
    "orpo": ("odds_weight", (0.2, 1.0)),
    "kto": ("beta", (0.1, 0.5)),
}
DEFAULT = ("ppo", "grpo", "rloo", "dpo", "ipo", "kto", "orpo", "simpo", "cpo", "rejection")


@dataclass(frozen=True)
class Arm:
    """One run of the comparison: a method, the recipe section it is, and what is set there."""

    method: str
    section: str
    sets: tuple[str, ...]
    point: str = ""

    @property
    def name(self) -> str:
        """A folder's name."""
        return self.method + (f"-{self.point.replace('=', '-')}" if self.point else "")

    @property
    def overrides(self) -> list[str]:
        """What turns a recipe into this run's: every other method gone."""
        others = [f"{name}=null" for name in FINAL if name != self.section]
        return [*others, f"{self.section}={{}}", *(f"{self.section}.{s}" for s in self.sets)]


def arms_of(
    methods: Sequence[str],
    grid: Mapping[str, tuple[str, Sequence[Any]]] | None = None,
    shared: Sequence[str] = (),
    own: Mapping[str, Any] | None = None,
) -> list[Arm]:
    """The runs for these methods: each at every point of its grid.

    ``shared`` are ``section.key=value`` overrides, kept where their section is the method's; ``own`` is a
    recipe's section per method, which is where a method starts from.
    """
    arms = []
    for given in methods:
        method = given.replace("-", "_") if given.replace("-", "_") in FINAL else given
        section, sets = VARIANTS.get(method, (method, ()))
        if section not in FINAL:
            known = [*FINAL, *VARIANTS]
            raise UserError(
                f"there is no method {given!r} to compare",
                remedy=suggest(given, known) or f"methods: {', '.join(known)}",
            )
        base = tuple(_sets((own or {}).get(section) or {}))
        mine = tuple(s.removeprefix(f"{section}.") for s in shared if s.startswith(f"{section}."))
        key, values = (grid or {}).get(method, ("", ()))
        # The label leaves out the section of a nested key: kl.coefficient is the coefficient.
        arms += [
            Arm(method, section, (*base, *sets, *mine, f"{key}={value}"), f"{key.split('.')[-1]}={value}")
            for value in values
        ] or [Arm(method, section, (*base, *sets, *mine))]
    names = [arm.name for arm in arms]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UserError(f"{', '.join(twice)} would run twice")
    return arms


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """``method.key=v1,v2`` as a grid; UserError for anything else."""
    found: dict[str, tuple[str, tuple[Any, ...]]] = {}
    for text in texts:
        place, separator, values = text.partition("=")
        method, dot, key = place.partition(".")
        if not (separator and dot and key and values):
            raise UserError(f"--grid {text!r} is not of the form method.key=v1,v2")
        found[method.replace("-", "_") if method not in VARIANTS else method] = (
            key,
            tuple(yaml.safe_load(v) for v in values.split(",")),
        )
    return found


def _sets(section: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A recipe's section as overrides."""
    sets = []
    for key, value in section.items():
        if isinstance(value, Mapping):
            sets += _sets(value, f"{prefix}{key}.")
        else:
            sets.append(f"{prefix}{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}")
    return sets
