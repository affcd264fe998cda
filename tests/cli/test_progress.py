"""Progress: plain lines where there is no terminal, one line within 80 columns where there is one."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest

from plaudit import progress
from plaudit.progress import Progress, clock

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def clock_at(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def screen(monkeypatch, terminal: bool) -> Screen:
    made = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return made


def test_piped_progress_is_a_plain_line_every_ten_seconds(monkeypatch, clock_at):
    out = screen(monkeypatch, terminal=False)
    with Progress(60, "sft") as bar:
        for step in range(1, 61):
            clock_at[0] += 0.5
            bar.update(step, loss=2.0 / step, held_out=None)
    lines = out.getvalue().splitlines()
    assert lines[0] == "sft: 0/60 steps"
    assert lines[1] == "sft: 20/60 steps, ETA 0:20, 2/s, loss 0.1"
    assert [line.split()[1] for line in lines] == ["0/60", "20/60", "40/60", "60/60"]
    assert lines[-1] == "sft: 60/60 steps, 0:30, 2/s, loss 0.0333"
    assert not ANSI.search(out.getvalue()) and "\r" not in out.getvalue()


def test_a_bar_never_leaves_80_columns_and_never_cuts_a_number(monkeypatch, clock_at):
    out = screen(monkeypatch, terminal=True)
    numbers = {"a_long_name": 1.23456e-12, "kl": -123456.0, "score": 0.1, "entropy": 99.5, "fifth": 5.0}
    with Progress(123_456, "a label that is far too long", unit="iteration") as bar:
        for step in (1, 60_000, 123_456):
            clock_at[0] += 4000
            bar.update(step, **numbers)
    drawn = ANSI.sub("", out.getvalue()).replace("\n", "").split("\r")[1:]
    assert len(drawn) == 5
    for line in drawn:
        assert len(line) <= 79
        assert "fifth" not in line
        for name, shown in re.findall(r"(a_long_name|kl|score|entropy) (\S+)", line):
            assert float(shown) == pytest.approx(numbers[name], rel=0.01)
    assert "kl -1.23e+05" in drawn[-1]


def test_only_the_outer_of_nested_bars_is_drawn(monkeypatch, clock_at):
    out = screen(monkeypatch, terminal=False)
    with Progress(2, "outer") as outer:
        with Progress(3, "inner") as inner:
            clock_at[0] += 30
            inner.update(3)
        outer.update(2)
    with Progress(1, "after"):
        pass
    assert {line.split(":")[0] for line in out.getvalue().splitlines()} == {"outer", "after"}


def test_a_quiet_bar_does_not_silence_the_bar_inside(monkeypatch):
    out = screen(monkeypatch, terminal=False)
    with Progress(2, "outer", quiet=True), Progress(3, "inner"):
        pass
    assert out.getvalue() == "inner: 0/3 steps\n"


def test_no_color_leaves_no_colours_and_a_dumb_terminal_gets_plain_lines(monkeypatch):
    out = screen(monkeypatch, terminal=True)
    with Progress(2, "sft") as bar:
        bar.update(2)
    assert "\x1b[32m" in out.getvalue()
    out = screen(monkeypatch, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    with Progress(2, "sft") as bar:
        bar.update(2)
    assert set(ANSI.findall(out.getvalue())) == {"\x1b[K"}
    out = screen(monkeypatch, terminal=True)
    monkeypatch.setenv("TERM", "dumb")
    with Progress(2, "sft") as bar:
        bar.update(2)
    assert "\x1b" not in out.getvalue()


def test_a_resumed_bar_counts_from_where_it_was_and_speeds_only_what_it_saw(monkeypatch, clock_at):
    out = screen(monkeypatch, terminal=False)
    with Progress(100, "ppo", unit="iteration", start=80) as bar:
        clock_at[0] += 50
        bar.update(90)
    assert out.getvalue().splitlines() == [
        "ppo: 80/100 iterations",
        "ppo: 90/100 iterations, ETA 0:50, 5 s each",
    ]


def test_a_bar_whose_work_fails_is_closed_and_the_error_goes_on(monkeypatch):
    out = screen(monkeypatch, terminal=True)
    with pytest.raises(RuntimeError, match="broken"), Progress(5, "sft") as bar:
        bar.update(1)
        raise RuntimeError("broken")
    assert out.getvalue().endswith("\n")
    with Progress(1, "next") as after:
        assert not after.silent


def test_an_update_costs_next_to_nothing(monkeypatch):
    screen(monkeypatch, terminal=True)
    count = 5000
    with Progress(count, "sft") as bar:
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            for step in range(count // 5):
                bar.update(step, loss=0.1, kl=0.2, score=None)
            best = min(best, (time.perf_counter() - began) / (count // 5))
    assert best < 50e-6


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (3723, "1:02:03")]
)
def test_the_clock(seconds, shown):
    assert clock(seconds) == shown
