"""Processes in which torch need not be imported again: it takes longer than what most tests ask of a process.

multiprocessing's fork server imports what plaudit needs, but not plaudit, and is copied for each. The number, memory,
files, signals and environment of a copy are its own, and it imports plaudit itself.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch.distributed.tensor",
        "transformers.modeling_utils",
        "transformers.models.auto.modeling_auto",
        "transformers.models.llama.modeling_llama",
        "transformers.integrations.sdpa_attention",
        "transformers.generation",
        "numba",
        "peft",
        "scipy.stats",
        "pyarrow",
        "jinja2",
        "markdown_it",
        "pydantic",
        "typer",
        "yaml",
        "sqlalchemy.orm",
        "psycopg",
    ]
)
SECONDS = 900
TESTS = str(Path(__file__).parent)


def python(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """``python -m MODULE …`` or ``python -c CODE …``: what it printed, and its exit code, negative for a signal."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [str(Path(folder, name)) for name in ("in", "out", "err")]
        for name in streams:
            Path(name).write_text(text if name == streams[0] else "", encoding="utf-8")
        environment = dict(os.environ if env is None else env)
        process = CONTEXT.Process(
            target=_become, args=(arguments, str(cwd or Path.cwd()), environment, streams)
        )
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{arguments} takes more than {SECONDS} s")
        out, err = (Path(name).read_text("utf-8") for name in streams[1:])
    return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def _become(arguments: tuple[str, ...], cwd: str, env: dict[str, str], streams: list[str]) -> Any:
    for number, name in enumerate(streams):
        file = os.open(name, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    added = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:] = [cwd, *added, *(p for p in sys.path if not p.startswith(TESTS) and p not in added)]
    way, what, *rest = arguments
    sys.argv[:] = [way, *rest]
    if way == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
