"""Runs the command line in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from plaudit.cli import main


def run(*arguments: str) -> int:
    """The exit code of ``plaudit`` with these arguments, in this process."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def process(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """``python -m plaudit`` with piped input and output."""
    command = [sys.executable, "-m", "plaudit", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=900)
