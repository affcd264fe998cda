"""The picture of a run's graph: every step, every input, this run's numbers, and nothing lies on anything else."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import pytest
from hypothesis import given, strategies as st
from made_runs import graph, small_run, step, write_run

from plaudit.audit.run import Run, read_run
from plaudit.report.graph_picture import graph_picture

NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
LONG = {
    "pretrain": {"kind": "pretrain", "on": ("corpus",)},
    "sft": {"kind": "sft", "start": "pretrain", "on": ("demonstrations",)},
    "rank_1": {"kind": "rank", "start": "sft", "on": ("prompts",)},
    "reward_1": {"kind": "reward", "start": "sft", "on": ("rank-1",)},
    "dpo_1": {"kind": "dpo", "start": "sft", "on": ("rank-1",)},
    "ppo_1": {"kind": "ppo", "start": "dpo-1", "on": ("prompts",), "rewards": ("step:reward-1",)},
    "rank_2": {"kind": "rank", "start": "ppo-1", "on": ("prompts",)},
    "reward_2": {"kind": "reward", "start": "sft", "on": ("rank-1", "rank-2")},
    "dpo_2": {"kind": "dpo", "start": "ppo-1", "on": ("rank-1", "rank-2")},
    "ppo_2": {"kind": "ppo", "start": "dpo-2", "on": ("prompts",), "rewards": ("step:reward-2",)},
}


class Drawing:
    """The boxes, labels and arrows of a picture, read from its coordinates."""

    def __init__(self, picture):
        root = ET.fromstring(re.sub(r"&(?!#?\w+;)", "&amp;", str(picture["svg"])))
        self.size = [float(v) for v in root.get("viewBox").split()[2:]]
        self.alt = root.get("aria-label")
        self.boxes, self.labels, self.arrows, self.titles = {}, [], {}, {}
        for group in root.iter("g"):
            kind = group.get("class").split()[0]
            if kind == "arrow":
                self.arrows[group.get("data-from"), group.get("data-to")] = points(group[0].get("d"))
                continue
            rect = group.find("rect")
            x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
            box = (x, y, x + w, y + h)
            if kind == "step":
                self.boxes[group.get("data-step")] = box
                self.titles[group.get("data-step")] = group.find("text").text
            else:
                self.labels.append((group.find("text").text, box))


def points(path):
    """The corners of a path of M, H, V and Q (whose control point is the corner it rounds off)."""
    x = y = 0.0
    found = []
    for command, numbers in re.findall(r"([MHVQL])([^MHVQL]*)", path):
        values = [float(v) for v in re.findall(NUMBER, numbers)]
        if command == "H":
            x = values[0]
        elif command == "V":
            y = values[0]
        else:
            x, y = values[-2:]
            if command == "Q":
                found.append(tuple(values[:2]))
        found.append((x, y))
    return found


def meet(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def runs_through(line, box):
    """Whether a line of horizontal and vertical parts (and small bends) enters the inside of a box."""
    inside = (box[0] + 0.5, box[1] + 0.5, box[2] - 0.5, box[3] - 0.5)
    spans = [(min(x, u), min(y, v), max(x, u), max(y, v)) for (x, y), (u, v) in pairwise(line)]
    return any(meet(span, inside) for span in spans)


def check_apart(drawing):
    """No box or label lies on another, no arrow enters a box, and everything is on the paper."""
    areas = [*drawing.boxes.items(), *drawing.labels]
    for (a, first), (b, second) in combinations(areas, 2):
        assert not meet(first, second), (a, b)
    for ends, line in drawing.arrows.items():
        for name, box in drawing.boxes.items():
            assert not runs_through(line, box), (ends, name)
        assert touches(line[0], drawing.boxes[ends[0]]) and touches(line[-1], drawing.boxes[ends[1]])
    for area in [*drawing.boxes.values(), *(box for _, box in drawing.labels)]:
        assert min(area[:2]) >= 0 and area[2] <= drawing.size[0] and area[3] <= drawing.size[1]
    for line in drawing.arrows.values():
        assert all(0 <= x <= drawing.size[0] and 0 <= y <= drawing.size[1] for x, y in line)


def touches(point, box):
    (x, y), (left, top, right, bottom) = point, box
    return left <= x <= right and top <= y <= bottom


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return read_run(small_run(tmp_path_factory.mktemp("runs") / "walk", graph(**LONG)))


def test_every_step_is_in_the_picture_and_in_its_text(walk):
    picture = graph_picture(walk)
    drawing = Drawing(picture)
    names = [n for n in walk.steps if n != "evaluate"]
    assert list(drawing.boxes) == names
    lines = picture["text"].splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines):
        assert drawing.titles[name] == walk.step_title(name)
        assert line.startswith(walk.step_title(name)) and line in drawing.alt


def test_its_arrows_are_the_inputs_of_the_steps(walk):
    drawing = Drawing(graph_picture(walk))
    inputs = {(s, n) for n, facts in walk.steps.items() if n != "evaluate" for s in facts["inputs"]}
    assert set(drawing.arrows) == inputs and len(inputs) == 17
    text = dict(zip(drawing.boxes, graph_picture(walk)["text"].splitlines()))
    for source, target in inputs:
        assert f"of {walk.step_title(source)}" in text[target]
    assert "data: corpus" in text["pretrain"] and "data: demonstrations" in text["sft"]


def test_the_numbers_of_the_run_stand_on_the_arrows(walk):
    drawing = Drawing(graph_picture(walk))
    rankings = {n: walk.stages[n].record["rankings"] for n in ("rank-1", "rank-2")}
    right = {n: round(100 * walk.get("reward_models", n, "accuracy")) for n in ("reward-1", "reward-2")}
    moved = {n: walk.get("kl", "by_step", n, "exact") for n in ("dpo-1", "ppo-1", "dpo-2", "ppo-2")}
    wanted = [f"{rankings['rank-1']} rankings"] * 4 + [f"{rankings['rank-2']} rankings"] * 2
    wanted += [f"{v}% right" for v in right.values()] + [f"KL {v:.2f}" for v in moved.values()]
    assert sorted(text for text, _ in drawing.labels) == sorted(wanted)
    # Each stands in the row of the step that took it, or in the gap above.
    for name, value in moved.items():
        (label,) = [box for text, box in drawing.labels if text == f"KL {value:.2f}"]
        _, top, _, bottom = drawing.boxes[name]
        assert top - 30 <= label[1] and label[3] <= bottom


def test_nothing_lies_on_anything_else(walk, tmp_path):
    check_apart(Drawing(graph_picture(walk)))
    check_apart(Drawing(graph_picture(read_run(write_run(tmp_path / "pocket", siblings=())))))
    check_apart(Drawing(graph_picture(read_run(write_run(tmp_path / "real", kind="real")))))


@given(st.data())
def test_nothing_lies_on_anything_else_whatever_the_graph(data):
    steps, stages = {"base": step("base", "base")}, {}
    for i in range(data.draw(st.integers(1, 12))):
        kind = data.draw(st.sampled_from(["dpo", "reward", "rank", "ppo"]))
        name = f"{kind}-{i}" + "x" * data.draw(st.integers(0, 40))
        inputs = data.draw(st.lists(st.sampled_from(list(steps)), unique=True, max_size=6))
        facts = step(name, kind, inputs[0] if inputs else None)
        cut = data.draw(st.integers(1, 6))
        on, rewards = inputs[1:cut], [f"step:{n}" for n in inputs[cut : cut + 1]]
        steps[name] = facts | {"on": on, "rewards": rewards, "inputs": inputs}
    summary = {
        "gold": {n: {"mean": 0.1} for n in steps},
        "reward_models": {n: {"accuracy": 0.5} for n in steps},
        "kl": {"by_step": {n: {"from": s["from"], "exact": 0.001} for n, s in steps.items()}},
    }
    run = Run({"steps": steps, "places": {}}, summary, stages)
    picture = graph_picture(run)
    if picture is None:
        assert not any(s["inputs"] for s in steps.values())
        return
    drawing = Drawing(picture)
    assert set(drawing.arrows) == {(s, n) for n, facts in steps.items() for s in facts["inputs"]}
    check_apart(drawing)


def test_a_small_kl_is_not_shown_as_none(walk):
    summary = {"kl": {"by_step": {"dpo-1": {"from": "sft", "exact": 0.00038}}}}
    drawing = Drawing(graph_picture(Run(walk.record, summary)))
    assert [text for text, _ in drawing.labels] == ["KL 0.0004"]


def test_a_run_of_one_step_and_a_run_of_another_time_have_no_picture():
    assert graph_picture(Run({"steps": graph(base={"kind": "base"})}, {})) is None
    assert graph_picture(Run({}, {})) is None
