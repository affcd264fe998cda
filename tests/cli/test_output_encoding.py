"""Output in any encoding: signs that it lacks are spelled, and no command ends with a UnicodeEncodeError."""

from __future__ import annotations

import io
import os
import string
import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from plaudit.readable import ERRORS, plain

CP1252 = {"PYTHONIOENCODING": "cp1252"}
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# A command of each kind in one process: starting Python with torch costs more than what is tested.
SCRIPT = """
import sys
from plaudit.cli import main
for line in sys.stdin.buffer.read().decode().splitlines():
    try:
        main(line.split("|"))
    except SystemExit as ended:
        print("exit", ended.code, flush=True)
"""

RECIPE = """
policy: {{source: scratch, hidden: 16, layers: 1, heads: 2}}
data: {{demonstrations: {rows}}}
steps: {{sft: {{max_steps: 2}}}}
evaluate: null
"""


@given(st.characters())
def test_every_sign_has_a_spelling_in_ascii(sign):
    assert plain(sign) and plain(sign).isascii()


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("✓ a → b …", "ok a -> b ..."), ("½ é 10² ≤ β", "1/2 e 10^2 <= beta"), ("中\udc80", "\\u4e2d\\udc80")],
)
def test_signs_are_spelled_where_an_encoding_has_none(text, spelled):
    assert text.encode("ascii", ERRORS).decode() == spelled


def test_what_the_encoding_holds_stays():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, "cp1252", errors=ERRORS)
    stream.write("× é … ✓")
    stream.flush()
    assert written.getvalue().decode("cp1252") == "× é … ok"


# ASCII lacks every sign that the others lack.
@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(CP1252, id="cp1252", marks=pytest.mark.slow),
        pytest.param(ASCII, id="ascii"),
        pytest.param(C_LOCALE, id="C", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_command_ends_as_it_should(setting, tmp_path):
    rows = tmp_path / "talk.jsonl"
    rows.write_text(
        '{"messages": [{"role": "user", "content": "中?"}, {"role": "assistant", "content": "é ✓"}]}\n',
        encoding="utf-8",
    )
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.format(rows=rows), encoding="utf-8")
    commands = [
        ("--help", 0),
        ("dpo|--help", 0),
        (f"check|{rows}", 0),
        (f"check|{tmp_path / 'nothing-✓.jsonl'}", 2),
        ("run|pocket|--set|steps.dpo.betá=1", 2),
        ("check|--no-such-option", 2),
    ]
    if setting is ASCII:  # these load torch
        commands += [(f"advise|{rows}", 0), (f"run|{recipe}|--dry-run|--out|{tmp_path / 'run'}", 0)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(words for words, _ in commands).encode("utf-8"),
        capture_output=True,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("LC_")}, **setting, "COLUMNS": "200"},
        timeout=300,
    )
    out, err = (
        stream.decode("cp1252" if setting is CP1252 else "ascii") for stream in (done.stdout, done.stderr)
    )
    codes = [int(line.split()[1]) for line in out.splitlines() if line.startswith("exit ")]
    assert codes == [code for _, code in commands], err
    assert "Traceback" not in err and "UnicodeEncodeError" not in err
    assert "->" in out + err
    assert any(c in string.ascii_letters for c in err)
