"""The command line: quick help, exit codes, one clear message for every mistake, plain text when piped."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from command_line import process, run

from plaudit.cli import command, overview, sections, verbs
from plaudit.errors import PlauditError, Problem, UserError, Waiting

HEAVY = ("torch", "transformers", "datasets", "peft", "plotly", "pydantic", "numpy", "tokenizers")
ANSI = re.compile(r"\x1b\[")


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    "code",
    [
        "import plaudit; dir(plaudit)",
        "import plaudit.cli; plaudit.cli.overview()",
        "from plaudit.registry import REGISTRIES; [list(r) for r in REGISTRIES]",
        "import plaudit.progress, plaudit.errors",
    ],
)
def test_importing_brings_nothing_heavy(code):
    program = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_of_every_command_needs_no_torch():
    program = (
        "import sys; from plaudit.cli import command, verbs\n"
        "for name in verbs():\n"
        "    command(name)\n"
        "    print(name, [m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} []" for name in verbs()]


def test_help_takes_less_than_half_a_second():
    def seconds() -> float:
        """Of the processor: on a busy machine a clock measures the neighbors."""
        began = os.times()
        assert process("--help").returncode == 0
        ended = os.times()
        return ended.children_user + ended.children_system - began.children_user - began.children_system

    assert min(seconds() for _ in range(5)) < 0.5


def test_the_overview_names_every_command_within_80_columns(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert shown == overview() + "\n"
    assert max(map(len, shown.splitlines())) <= 80
    for name, verb in verbs().items():
        assert re.search(rf"^  {name} +{re.escape(verb.help)}$", shown, re.M)


@pytest.mark.parametrize("name", verbs())
def test_the_help_of_every_command_fits_80_columns(name, capsys):
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: plaudit {name}")
    assert max(map(len, shown.splitlines())) <= 80
    assert not ANSI.search(shown)
    for parameter in command(name).params:
        assert getattr(parameter, "help", None), f"{parameter.name} says nothing of itself"


def test_the_version_is_the_packages(capsys):
    from importlib.metadata import version

    assert run("--version") == 0
    assert capsys.readouterr().out == f"plaudit {version('plaudit')}\n"


def test_without_a_command_the_overview_is_shown_and_the_code_is_2(capsys):
    assert run() == 2
    assert "Usage: plaudit" in capsys.readouterr().out


MISTAKES = {
    "a misspelled command": (["dmeo"], "did you mean 'demo'?"),
    "an unknown command": (["frobnicate"], "plaudit --help"),
    "an unknown option": (["--frobnicate"], "no option '--frobnicate'"),
    "a misspelled option": (["demo", "--no-leesh"], "--no-leash"),
    "a seed that is no number": (["demo", "--seed", "one"], "--seed"),
    "a negative seed": (["demo", "--seed", "-1"], "--seed"),
    "two experiments at once": (["demo", "--no-leash", "--biased-raters"], "one at a time"),
    "a recipe that is not there": (["run", "nowhere.yaml"], "nowhere.yaml"),
    "no seeds": (["run", "pocket", "--seeds", "0"], "--seeds"),
    "an unknown key": (["run", "pocket", "--set", "steps.ppo.itertions=3", "--dry-run"], "did you mean"),
    "an override without a value": (["run", "pocket", "--set", "seed", "--dry-run"], "seed"),
    "a run that is not there": (["resume", "nowhere"], "nowhere"),
    "a report of no run": (["report", "nowhere"], "nowhere"),
    "an evaluation of no run": (["evaluate", "nowhere"], "nowhere"),
    "data without a model": (["sft", "data.jsonl"], "--model"),
    "a method without data": (["reward"], "Missing argument"),
    "an answer of a folder that is no model": (["sample", ".", "hello"], "neither a run nor a model"),
    "a chat with a folder that is no model": (["chat", "."], "neither a run nor a model"),
    "an empty prompt": (["sample", ".", ""], "empty"),
    "a check of a file that is not there": (["check", "nowhere.jsonl"], "nowhere.jsonl"),
    "an unknown set": (["data", "convert", "nothing", "a", "b"], "nothing"),
    "a set without its file": (["data", "convert"], "Missing argument"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, said = MISTAKES[name]
    assert run(*arguments) == 2
    shown = "".join(capsys.readouterr())
    assert said in shown
    assert "Traceback" not in shown
    assert not ANSI.search(shown)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def failing(monkeypatch, error):
    """`plaudit report RUN` fails with ``error``."""
    from plaudit.runs import RunFolder

    def existing(path):
        raise error

    monkeypatch.setattr(RunFolder, "existing", existing)


def test_all_problems_of_a_mistake_are_told_at_once(monkeypatch, capsys):
    problems = [Problem("empty answer", "a.jsonl", 3), Problem("not JSON", "a.jsonl", 7, remedy="fix it")]
    failing(monkeypatch, UserError("two rows are wrong", problems=problems, remedy="look there"))
    assert run("report", "x") == 2
    assert capsys.readouterr().err.splitlines() == [
        "plaudit: two rows are wrong",
        "  a.jsonl:3: empty answer",
        "  a.jsonl:7: not JSON → fix it",
        "  → look there",
    ]


def test_an_interrupt_says_how_to_go_on_and_exits_with_130(monkeypatch, capsys):
    from plaudit.pipeline import run as pipeline

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    assert run("run", "pocket") == 130
    shown = capsys.readouterr().err
    assert "plaudit resume RUN" in shown and "Traceback" not in shown
    failing(monkeypatch, KeyboardInterrupt())
    assert run("report", "x") == 130
    assert "resume" not in capsys.readouterr().err, "there is nothing to resume"


def test_a_failing_reward_is_told_without_a_traceback_and_exits_with_1(monkeypatch, capsys):
    failing(monkeypatch, PlauditError("the reward of a sample is nan"))
    assert run("report", "x") == 1
    assert capsys.readouterr().err == "plaudit: the reward of a sample is nan\n"


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_is_closed_is_no_fault_of_the_program(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, name, None)
    assert run("advise") == 2
    if name != "stderr":
        told = capsys.readouterr().err
        assert "no data is named" in told and "Traceback" not in told


def test_a_fault_of_the_program_shows_its_traceback_and_exits_with_1(monkeypatch, capsys):
    failing(monkeypatch, RuntimeError("boom"))
    assert run("report", "x") == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "RuntimeError: boom" in shown


@pytest.mark.parametrize(("no_color", "colours"), [(None, True), ("1", False), ("", True)])
def test_a_mistake_is_red_on_a_terminal_unless_no_color_is_set(no_color, colours, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert run("dmeo") == 2
    assert capsys.readouterr().err.startswith("\x1b[31m") == colours


def test_a_reader_that_closes_its_end_is_no_error():
    # Output far beyond the buffer of a pipe whose reading end is closed at once.
    program = (
        "import sys; from plaudit import cli; cli.overview = lambda: 'x' * 10_000_000; cli.main(['--help'])"
    )
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer.stdout.close()
    assert writer.stderr.read() == b""
    assert writer.wait(60) == 0


def test_every_command_is_in_a_section_once():
    names = [name for found in sections().values() for name in found]
    assert len(names) == len(set(names)) == len(verbs())


def test_a_command_that_waits_for_people_says_so_on_standard_output_and_exits_with_3(monkeypatch, capsys):
    failing(monkeypatch, Waiting("rank: 12 of 200 are judged\n  plaudit resume runs/x"))
    assert run("report", "x") == 3
    shown = capsys.readouterr()
    assert shown.out == "rank: 12 of 200 are judged\n  plaudit resume runs/x\n" and shown.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run pocket --seeds 2 --again nosuch --profile", "--again, --profile acts only with one seed"),
        ("run pocket --dry-run --profile", "--profile acts only with a run"),
        ("evaluate . --prompts 2", "--prompts acts only with --judge or --suite"),
        ("evaluate . --calibration nosuch.json --force", "--calibration, --force acts only with --judge"),
        (
            "constitution --with local:nosuch --answer x --rounds 3",
            "--answer, --with, --rounds acts only with --try",
        ),
        (
            "collect --responses f --answers 3 --temperature 0 --seed 1",
            "--answers, --temperature, --seed acts",
        ),
    ],
)
def test_an_option_that_would_act_on_nothing_is_refused(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*words.split()) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
