"""Write ``compare.html``: one self-contained file, a pure function of ``compare.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plaudit.display.formatting import clean, count, duration, finite, number, percent
from plaudit.display.frontier_chart import frontier_svg
from plaudit.registry import METHODS
from plaudit.report.build import TEMPLATES, environment
from plaudit.runs import RunFolder, files

TONES = 12


def method_name(method: str) -> str:
    """A method or a variant of one in words."""
    for kind in METHODS.values():
        if method in kind.variants:
            return kind.variants[method].title
    return METHODS[method].title if method in METHODS else method


def render_page(root: str | Path) -> str:
    """The page of the comparison in ``root``."""
    from markupsafe import Markup

    found = RunFolder(root).read_json("compare.json")
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    text: str = environment().get_template("compare.html.j2").render(page_context(found), style=Markup(style))
    return text


def page_context(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the template lays out."""
    methods = list(dict.fromkeys(a["method"] for a in found["arms"]))
    tones = {method: f"m{i % TONES}" for i, method in enumerate(methods)}
    names = {method: method_name(method) for method in methods}
    arms = sorted(found["arms"], key=lambda a: -a["value"])
    return {
        "recipe": clean(found["recipe"]),
        "seeds": found["seeds"],
        "judge": found["judge"],
        "start": number(found["start"]),
        "perfect": number(found["perfect"]) if found["perfect"] is not None else "",
        "headline": headline(found, names),
        "yardstick": yardstick(found),
        "chart": frontier_svg(found, tones, names) if arms else "",
        "budgets": [
            {
                "budget": f"{row['budget']:g}",
                "ranked": [
                    {
                        "name": names[r["method"]],
                        "tone": tones[r["method"]],
                        "value": number(r["value"]),
                        "kl": number(r["kl"]),
                    }
                    for r in row["ranked"]
                ],
            }
            for row in found["winners"]
        ],
        "cool": any(finite(a.get("best")) is not None for a in arms),
        "rows": [
            {
                "name": names[a["method"]],
                "tone": tones[a["method"]],
                "point": clean(a["point"].replace("=", " = ").replace("_", " ")),
                "value": number(a["value"]),
                "spread": f"{number(a['low'])} – {number(a['high'])}" if finite(a["low"]) is not None else "",
                "kl": number(a["kl"]),
                "win": percent(a["win_rate"]),
                "best": number(a.get("best")),
                "best_win": percent(a.get("best_win_rate")),
                "best_gap": percent(a.get("best_gap")),
                "length": number(a["length"], 1),
                "seconds": duration(a["seconds"]) if a["seconds"] is not None else "–",
                "memory": f"{count(a['peak_mb'])} MB" if a["peak_mb"] is not None else "–",
                "samples": count(a["samples"]) if a["samples"] is not None else "–",
                "null": clean(a.get("null") or ""),
            }
            for a in arms
        ],
        "best_of_n": [
            {"n": p["n"], "kl": number(p["kl"]), "value": number(p["value"])} for p in found["best_of_n"]
        ],
    }


def headline(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Who leads at the smallest budget that reaches the best value there is, and by how much."""
    rows = [row for row in found["winners"] if len(row["ranked"]) > 1]
    if not rows:
        return "Too little is done to compare."
    most = max(row["ranked"][0]["value"] for row in rows)
    row = next(r for r in rows if r["ranked"][0]["value"] == most)
    first, second = row["ranked"][:2]
    arms = {arm["arm"]: arm for arm in found["arms"]}
    gap, nats = first["value"] - second["value"], "nat" if row["budget"] == 1 else "nats"
    best = arms[first["arm"]]
    # A lead smaller than what another seed would change is none.
    level = best["low"] is not None and gap <= (best["high"] - best["low"]) / 2
    within = f"Within {row['budget']:g} {nats} of KL"
    one, other, value = names[first["method"]], names[second["method"]], number(first["value"])
    if level:
        return f"{within}, {one} and {other} lead level, at {value}."
    return f"{within}, {one} leads with {value}, {number(gap)} ahead of {other}."


def yardstick(found: Mapping[str, Any]) -> str:
    """What choosing among samples of the start reaches, beside the best of what was trained."""
    if not found["best_of_n"] or not found["arms"]:
        return ""
    best = max(found["best_of_n"], key=lambda p: p["value"])
    trained = max(a["value"] for a in found["arms"])
    ahead = best["value"] - trained
    relation = "as much as" if abs(ahead) < 0.005 else "more than" if ahead > 0 else "less than"
    return (
        f"Without any training, the best of {best['n']} answers of the start by the reward model reaches "
        f"{number(best['value'])}, {relation} the best that was trained ({number(trained)}), at {best['n']} times "
        "the sampling."
    )


def build_page(root: str | Path) -> Path:
    """Write ``compare.html`` beside ``compare.json`` and return its path."""
    target = Path(root) / "compare.html"
    files.write_text(target, render_page(root))
    return target
