"""Write ``report.html``: the whole report in one file that opens anywhere, offline."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from plaudit.audit.run import Run, read_run
from plaudit.runs import files

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Any:
    """Templates of this package, escaping what they show; Jinja2 is imported only where a page is written."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(path: str | Path) -> str:
    """The report of the run at ``path`` as HTML: a pure function of the run folder."""
    return render_run(read_run(path))


def render_run(run: Run) -> str:
    """The report of a run that was read."""
    from markupsafe import Markup

    from plaudit.report.context import page_context

    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    # The page runs this script and no other, whatever stands in a model's answers.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment().get_template("report.html.j2")
    text: str = page.render(
        page_context(run),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
    return text


def build(run_path: str | Path) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Reads nothing but the folder. UserError where there is no run or its records cannot be read.
    """
    target = Path(run_path) / "report.html"
    files.write_text(target, render(run_path))
    return target
