"""The date that chat templates write: one per run, so that a prompt rendered twice is the same prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time

# One for the process: threads that score or sample write the run's day too.
_pinned: list[date] = []
# Literals of a template that could be a format of strftime.
FORMAT = re.compile(r"""(["'])([^"'\n]*%-?[a-zA-Z][^"'\n]*)\1""")
# Shadows transformers' function of that name, which reads the clock at every call.
MACRO = "{%- macro strftime_now(format) -%}{{ plaudit_dates[format] }}{%- endmacro +%}"


def day_of_templates() -> date:
    """The day that was pinned, else today."""
    return _pinned[-1] if _pinned else date.today()


@contextmanager
def pin_day(day: date) -> Iterator[None]:
    """Let chat templates write this day, whatever the clock says."""
    _pinned.append(day)
    try:
        yield
    finally:
        _pinned.pop()


def dated(sources: Mapping[str, str], day: date) -> tuple[dict[str, str], dict[str, str]]:
    """Chat templates whose ``strftime_now`` gives this day, and the dates they write, by format."""
    asking = {name: source for name, source in sources.items() if "strftime_now" in source}
    formats = {found[2] for source in asking.values() for found in FORMAT.finditer(source)}
    noon = datetime.combine(day, time(12))
    fixed = {name: MACRO + source if name in asking else source for name, source in sources.items()}
    return fixed, {text: noon.strftime(text) for text in sorted(formats)}
