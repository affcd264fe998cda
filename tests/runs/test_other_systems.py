"""Other systems than Linux, by what they lack: Windows has no module resource and opens no folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from pathlib import Path
import torch
from plaudit.runs import files, memory
from plaudit.training import memory as limits
from plaudit.web import connections

root = Path(sys.argv[1])
del os.sysconf, os.sched_getaffinity
files.write_json(root / "run.json", {"v": 1})
for text in ("old", "new"):
    with files.new_folder(root / "model") as folder:
        (folder / "weights").write_text(text)
memory.STATUS = memory.CLEAR = root / "no" / "proc"
limits.Path = lambda name: root / "no" / "proc"
memory.begin_peak()
assert memory.peak_mb() is None
assert limits.memory_limit(torch.device("cpu"), None) > 2**30
assert connections._more_files() == connections.FILES
"""


def test_what_windows_lacks_is_not_needed(tmp_path):
    path = os.pathsep.join([str(Path(__file__).with_name("nowin")), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "how much memory there is cannot be found out here" in done.stderr
    assert (tmp_path / "model" / "weights").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "run.json"]
