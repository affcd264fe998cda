"""The date that chat templates write: one per run, so that rendering a prompt twice gives the same text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time

# Global to the process, so that threads that score or sample use the run's day too.
_pinned: list[date] = []
# Literals of a template that could be a format of strftime.
FORMAT = re.compile(r"""(["'])([^"'\n]*%-?[a-zA-Z][^"'\n]*)\1""")
# Shadows transformers' function of that name, which reads the clock at every call.
MACRO = "{%- macro strftime_now(format) -%}{{ plaudit_dates[format] }}{%- endmacro +%}"


def day_of_templates() -> date:
    """The pinned day, or today if none is pinned."""
    return _pinned[-1] if _pinned else date.today()


@contextmanager
def pin_day(day: date) -> Iterator[None]:
    """Make chat templates write this day instead of today."""
    _pinned.append(day)
    try:
        yield
    finally:
        _pinned.pop()


def dated(sources: Mapping[str, str], day: date) -> tuple[dict[str, str], dict[str, str]]:
    """The templates with ``strftime_now`` fixed to this day, and the dates they write, by format."""
    asking = {name: source for name, source in sources.items() if "strftime_now" in source}
    formats = {found[2] for source in asking.values() for found in FORMAT.finditer(source)}
    noon = datetime.combine(day, time(12))
    fixed = {name: MACRO + source if name in asking else source for name, source in sources.items()}
    return fixed, {text: noon.strftime(text) for text in sorted(formats)}
