"""The page as a file: whole, offline, the same for the same folder, and safe with any text."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from made_runs import audited_run, graph, small_run, write_run

from plaudit.audit.health import RULES
from plaudit.audit.run import read_run, run_of
from plaudit.display.glossary import GLOSSARY
from plaudit.errors import UserError
from plaudit.report.answers import spread
from plaudit.report.build import build, render, render_run
from plaudit.report.context import page_context

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    "</script><script>window.pwned=1</script>",
    "\"'><img src=https://evil.example/x onerror=window.pwned=1>",
    "</style><style>body{background:url(https://evil.example/y)}</style>",
    "{{ 7 * 7 }}{% raw %}<svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "\u202e\u0000\u0007\ud800 right-to-left and broken",
)


class Page(HTMLParser):
    """Tags with their attributes, in order; complains about tags that do not close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.faults, self.text = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> never closes" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of place")

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def pocket(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "pocket")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "real", kind="real")


def words(text):
    """What a reader of the page reads, from its title on."""
    body = Page(text[text.index("<main>") : text.index('<div id="tip"')])
    return " ".join("".join(body.text).split())


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_build_writes_one_file_and_touches_nothing_else(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    path = build(run)
    assert path == run / "report.html"
    after = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p != path}
    assert after == before
    assert 50_000 < path.stat().st_size < 1_000_000


def test_judges_that_were_asked_beside_the_evaluation_are_named(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    end = json.loads((run / "run.json").read_text())["places"]["end"]
    value = {"mean": 0.7, "low": 0.6, "high": 0.8}
    said = {**value, "pairs": 50, "end": end, "start": "gone", "controlled": value, "also_taught": True}
    nothing = {"mean": None, "pairs": 0}
    kept = {
        "http://h/v1#m": said | {"corrected": value},
        "local:mute": nothing,
        "odd": 3,
        "<b>": {"mean": 0.5},
    }
    (run / "judged.json").write_text(json.dumps(kept))
    page = Page(build(run).read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.text).split())
    assert page.faults == [] and "http://h/v1#m: " in text and "against gone, 70% (60–80%)" in text
    assert "corrected for the judge’s errors 70%" in text and "also gave what the run learned from" in text
    assert "local:mute" not in text and "odd:" not in text and "<b>: " in text


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(pocket, tmp_path):
    moved = tmp_path / "somewhere" / "else"
    shutil.copytree(pocket, moved)
    assert build(pocket).read_bytes() == build(moved).read_bytes() == build(moved).read_bytes()


def test_the_same_folder_gives_the_same_bytes_in_another_process(pocket):
    code = "import sys; from plaudit.report.build import render; sys.stdout.buffer.write(render(sys.argv[1]).encode())"
    elsewhere = os.environ | {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo"}
    other = subprocess.run(
        [sys.executable, "-c", code, str(pocket)], env=elsewhere, capture_output=True, check=True
    )
    assert other.stdout == render(pocket).encode()


def test_the_page_is_well_formed_and_asks_nothing_of_the_network(pocket, real):
    for run in (pocket, real):
        page = Page(render(run))
        assert page.faults == []
        for tag, attrs in page.tags:
            for name in ("src", "href", "action", "srcset", "xlink:href", "data", "poster"):
                value = attrs.get(name)
                assert value is None or value.startswith(("#", "data:")), (tag, name, value)
        assert not re.search(r"@import|url\(|https?:", "".join(page.text))
        assert len(page.all("script")) == 1


def test_the_calibration_error_stands_beside_what_chance_alone_makes_of_it(pocket):
    model = json.loads((pocket / "summary.json").read_text())["reward_model"]
    text = " ".join("".join(Page(render(pocket)).text).split())
    assert f"ECE {model['ece']:.3f}; perfect calibration would show {model['ece_noise']:.3f}" in text


def test_ids_are_unique_and_every_link_of_the_page_leads_somewhere(pocket):
    page = Page(render(pocket))
    ids = Counter(attrs["id"] for _, attrs in page.tags if "id" in attrs)
    assert [i for i, n in ids.items() if n > 1] == []
    for _, attrs in page.tags:
        for name in ("aria-labelledby", "aria-controls", "aria-describedby"):
            assert attrs.get(name, next(iter(ids))) in ids
        if attrs.get("href", "").startswith("#"):
            assert attrs["href"][1:] in ids


def test_every_term_of_the_glossary_is_used_or_names_a_stage(pocket, real):
    linked = {
        a["href"][3:]
        for run in (pocket, real)
        for a in Page(render(run)).all("a")
        if a["href"].startswith("#g-")
    }
    assert linked <= set(GLOSSARY)
    assert set(GLOSSARY) - linked <= {
        # of other methods: tests/report/test_report_methods.py
        "implicit_reward",
        "log_prob",
        "zero_variance",
        "base",
        "sft",
        "ppo",
        "perfect",
        "kl_k3",
        "votes",
        "rankings",
        "kl_coef",
    }


def test_headings_descend_without_gaps_and_every_figure_has_a_name(pocket):
    page = Page(render(pocket))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    # Marks on a scale are hidden from screen readers: their numbers stand beside them as text.
    named = [attrs for attrs in page.all("svg") if attrs.get("aria-hidden") != "true"]
    assert named
    for attrs in named:
        assert attrs["role"] == "img" and len(attrs["aria-label"]) > 10


def test_picture_and_numbers_of_the_verdict_are_of_the_headlines_comparison(pocket):
    text = words(render(pocket))
    head = text[text.index("Verdict") : text.index("Attributes that changed for the better")]
    assert "SFT 1.02" in head and "PPO 1.08" in head and "each at its own best temperature. Whiskers" in head
    assert "gap closed, best temperatures50%36–64%, n = 800" in head
    assert "wins against SFT, best temperatures55%53–57%, n = 800" in head


def test_the_report_tells_the_story_in_order(pocket):
    text = words(render(pocket))
    order = (
        "PPO closed 50% of the gap", "Warning signs", "Before and after", "A perfect answer", "Did it get better?",
        "Win rate against SFT", "Perfect against SFT", "Follows instructions", "Learning or sharpening?",
        "How it trained", "Score", "KL from the start", "Proxy and gold", "Explained variance", "The reward model",
        "Longer wins", "Noise ceiling", "Calibration", "Length drift", "Where it breaks", "Biased raters",
        "Without the KL penalty", "Side by side", "Time: 3 min 12 s", "Settings", "Versions and hardware", "Glossary",
    )  # fmt: skip
    at = 0
    for part in order:
        at = text.index(part, at)
    for fact in (
        "36–64%",
        "perfect policy would win 60%, because 20% of its answers tie",
        "0.76 nats",
        "Reward model (votes): 8,000 rankings",
        "63% → 89%",
        "4 of 4 bars met",
    ):
        assert fact in text
    assert "iterations: 14" in text and "2.13.0" in text


def test_real_data_has_no_gold_and_says_whose_judgement_is_shown(real):
    text = words(render(real))
    assert "No truth is known here: nobody knows the true quality of answers to real prompts." in text
    assert "proxy judge: a reward model trained on a disjoint split and seed" in text
    assert "Not measured: attributes need a known truth." in text
    assert (
        "A proxy judge prefers PPO’s answers in 62% of 200 comparisons, each at its own best temperature."
        in text
    )


def test_a_report_on_real_data_does_not_speak_of_the_synthetic_world(real):
    text = words(render(real)).lower()
    for word in ("gold", "perfect answer", "gap closed", "written by hand", "made world", "this world"):
        assert word not in text, word


def test_every_share_stands_beside_what_it_is_a_share_of(real):
    text, model = words(render(real)), read_run(real).summary["reward_model"]
    assert "52–64%, n = 200" in text and f"n = {model['decided']}" in text and "n = 240" in text
    assert "90% of 200 finished" in text
    assert f"% of {model['longer_pairs']}" in text and f"% of {model['shorter_pairs']}" in text
    assert "With both at temperature 1 it wins 58%" in text


def test_sharpening_is_told_apart_from_learning_by_the_proxy_judges_wins(real):
    text = words(render(real))
    assert "Sampled greedily, the SFT model alone wins 60% against itself at temperature 1" in text
    assert "PPO at temperature 0.3 wins 62% against that: still ahead." in text
    assert "The best ones were chosen on validation prompts by the proxy judge" in text


def test_what_the_type_on_disk_costs_is_shown(real):
    text = words(render(real))
    assert (
        "changes the log-prob of a token by at most 0.0314 and by 0.00410 on average (5,120 tokens of 32 texts"
        in text
    )
    assert "Evaluation: 900 pairs" in text and "Proxy judge: 2,200 rankings, 3,700 pairs" in text


def test_without_a_judge_sampled_and_greedy_answers_stand_side_by_side(tmp_path):
    steps = graph(
        base={"kind": "base"},
        sft={"kind": "sft", "start": "base", "on": ("demonstrations",)},
        reward={"kind": "reward", "start": "sft", "on": ("preferences",)},
        ppo={"kind": "ppo", "start": "sft", "on": ("prompts",), "rewards": ("step:reward",)},
    )
    run = small_run(tmp_path / "run", steps, gold=False)
    answers = run / "stages" / "evaluate" / "samples.jsonl"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    for row in rows:
        for name in ("base", "sft", "ppo"):
            row[name]["greedy"] = {"text": f"cold answer of {name}", "finished": True}
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = words(render(run))
    assert "nothing compared the answers: add evaluate: {proxy: {}} to the recipe" in text
    assert "Nothing judges the answers, so no best temperature can be chosen." in text
    assert "Decoded greedily, 100% of SFT’s and 100% of PPO’s 40 answers end by themselves." in text
    assert "PPO at T = 1" in text and "PPO greedily" in text
    assert "Decoded greedily Base cold answer of base" in text


@pytest.mark.parametrize("missing", ["pretrain", "sft", "reward", "ppo", "evaluate"])
def test_a_missing_stage_is_simply_missing(tmp_path, missing):
    run = write_run(tmp_path / "run", siblings=())
    shutil.rmtree(run / "stages" / missing)
    text = "".join(Page(render(run)).text)
    said = {"ppo": "The run holds no such records", "evaluate": "the evaluation is missing"}
    assert said.get(missing, "PPO closed 50%") in text


def test_the_first_answers_are_drawn_from_the_whole_ranking():
    rows = [{"category": "a"}] * 40 + [{"category": "b"}] * 40
    first = spread(rows, ["a", "b"], 10)
    for start in (0, 40):
        places = [i - start for i in first if start <= i < start + 40]
        assert len(places) == 5 and min(places) < 8 and max(places) >= 32
    assert spread(rows[:3], ["a"], 10) == [0, 1, 2]


def test_warning_signs_stand_in_the_verdict(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    assert f"None: {len(RULES)} rules looked" in words(render(run))
    edit(run / "summary.json", lambda s: s.update(stopped={"ppo": "objective/kl 9.1 is above kl_max 8"}))
    text = words(render(run)).split("Before and after")[0]
    assert "PPO was stopped by its limit on the KL" in text and "objective/kl 9.1 is above kl_max 8." in text


def test_a_missed_bar_opens_the_list_of_bars(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    assert "<details><summary>4 of 4 bars met" in render(run)
    edit(run / "summary.json", lambda s: s["checks"][0].update(ok=False))
    assert "<details open><summary>3 of 4 bars met" in render(run)


def test_a_run_that_was_cut_off_still_has_a_report(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    (run / "summary.json").unlink()
    with (run / "stages/ppo/metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "objective/sco')
    text = "".join(Page(render(run)).text)
    assert "has not been evaluated yet" in text and "How it trained" in text


def test_a_folder_that_holds_only_a_record_has_a_report(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    page = Page(render(tmp_path))
    assert page.faults == [] and "not been evaluated" in "".join(page.text)


def test_an_ensembles_curves_are_those_of_its_first_member(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    stage = run / "stages" / "reward"
    (stage / "member-0").mkdir()
    (stage / "metrics.jsonl").rename(stage / "member-0" / "metrics.jsonl")
    assert "Reward model: accuracy on pairs" in render(run)


def test_no_run_and_unreadable_records_are_errors_that_name_the_file(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        build(tmp_path / "nowhere")
    for name in ("run.json", "summary.json"):
        for text in ("{broken", "[1, 2]"):
            run = write_run(tmp_path / f"{name}{len(text)}", siblings=())
            (run / name).write_text(text)
            with pytest.raises(UserError, match=re.escape(name)):
                build(run)
            assert not (run / "report.html").exists()


def poison(value, texts):
    """The same value with every string replaced by a hostile one, keys included where they are free."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, list):
        return [poison(v, texts) for v in value]
    if isinstance(value, dict):
        return {k: poison(v, texts) for k, v in value.items()}
    return value


def hostile_run(path):
    """A run in which every text is an attack; only what ties its records together is as it was."""
    run = write_run(path)

    def attacks():
        while True:
            yield from HOSTILE

    texts = attacks()
    tied = ("kind", "judge", "policies", "places")
    for file in sorted(run.rglob("*.json")):
        original = json.loads(file.read_text())
        value = poison(original, texts) | {k: original[k] for k in tied if k in original}
        for name, step in original.get("steps", {}).items():
            value["steps"][name] = {**step, "title": next(texts)}
        if "steps" in original:
            last = {
                **original["steps"]["ppo"],
                "title": next(texts),
                "tone": next(texts),
                "kind": next(texts),
            }
            value["steps"] |= dict.fromkeys(
                HOSTILE, last | {"on": list(HOSTILE), "inputs": ["ppo", *HOSTILE]}
            )
            value["other_code"] = dict.fromkeys(HOSTILE, next(texts))
        for free in ("labels", "seconds", "reward_models", "length", "gold"):
            if isinstance(value.get(free), dict):
                value[free] |= dict.fromkeys(HOSTILE, next(iter(value[free].values())))
        for table in (value.get("attributes") or {}).values():
            table |= dict.fromkeys(HOSTILE, 0.5)
        file.write_text(json.dumps(value))
    for file in sorted(run.rglob("samples.jsonl")):
        rows = [poison(json.loads(line), texts) for line in file.read_text().splitlines()]
        rows = [row | dict.fromkeys(HOSTILE, row["ppo"]) if "ppo" in row else row for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_hostile_text_stays_text(tmp_path):
    page = Page(build(hostile_run(tmp_path / "run")).read_text(encoding="utf-8"))
    assert page.faults == []
    assert len(page.all("script")) == 1 and len(page.all("style")) == 1 and page.all("img") == []
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        assert not any(str(v).startswith("javascript:") for k, v in attrs.items() if k in ("href", "src"))
    text = "".join(page.text)
    assert "window.pwned=1</script>" in text and "{{ 7 * 7 }}" in text
    assert "\x00" not in text and "␀␇\ufffd" in text


def test_what_rl_measured_stands_on_the_axes_of_the_forecast(tmp_path):
    text = "".join(Page(render(audited_run(tmp_path / "run"))).text)
    assert re.search(r"RL ended at [\d.]+ nats with a reward of [−\d.]+", text)


def test_hostile_text_of_an_audit_stays_text(tmp_path):
    texts = tuple(
        t.replace("\ud800", "") for t in HOSTILE
    )  # UTF-8, in which answers are stored, has no lone half
    page = Page(render(audited_run(tmp_path / "run", texts=texts)))
    assert page.faults == [] and len(page.all("script")) == 1 and page.all("img") == []
    text = "".join(page.text)
    assert "Audit: better, or only more pleasing?" in text and "Suspected hack: </script><script>" in text
    assert "\x00" not in text


def test_text_that_looks_like_a_template_is_not_run(tmp_path):
    run = write_run(tmp_path / "run", siblings=())
    edit(run / "summary.json", lambda s: s.update(name="{{ 7 * 7 }}"))
    assert "{{ 7 * 7 }}" in "".join(Page(render(run)).text)


JUNK = (None, "text", [], {}, [1, "x"], {"mean": "x"}, -1, 10**400, True)


def paths(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:12]:
        yield from paths(inner, (*at, key))


def changed(value, place, junk):
    """A copy of the value with something else at one place."""
    value = json.loads(json.dumps(value))
    *way, last = place
    node = value
    for key in way:
        node = node[key]
    node[last] = junk
    return value


# A quarter of the places at once, every kind of junk among them; the others behind `make test-slow`.
QUARTERS = pytest.mark.parametrize(
    "first", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))]
)


def shown_whatever(run, cases):
    """Every case must be shown; some of them are written out."""
    for i, (place, junk, record, summary) in enumerate(cases):
        try:
            odd = run_of(record, summary, run.stages)
            if i % 10:
                page_context(odd)
            else:
                assert Page(render_run(odd)).faults == []
        except Exception as error:
            raise AssertionError(f"{place} = {junk!r}") from error


@QUARTERS
def test_any_part_of_a_summary_may_be_missing_or_odd(tmp_path, first):
    """A report of an older or half-finished run must appear, whatever its summary lacks."""
    run = read_run(write_run(tmp_path / "run", siblings=()))
    places = [place for place in paths(run.summary) if place]
    cases = [(place, JUNK[i % len(JUNK)]) for i, place in enumerate(places)]
    cases = [*cases[first::4], *[((key,), junk) for key in run.summary for junk in JUNK][first::4]]
    assert {str(junk) for _, junk in cases} == set(map(str, JUNK))
    assert {place[0] for place, _ in cases} == set(run.summary)
    shown_whatever(run, [(p, j, run.record, changed(run.summary, p, j)) for p, j in cases])


@QUARTERS
def test_any_fact_of_a_step_may_be_missing_or_odd(tmp_path, first):
    """So may what a record says of its graph: another version, or another program, wrote it."""
    run = read_run(write_run(tmp_path / "run", siblings=()))
    steps, facts = run.record["steps"], list(run.record["steps"]["ppo"])
    places = [("steps",), ("places",), ("other_code",), ("steps", "reward"), ("places", "end")]
    cases = [(place, junk) for place in places for junk in JUNK]
    # Each fact of a step with something odd in it, another one in every step.
    odd = enumerate((name, fact) for name in steps for fact in facts)
    cases += [(("steps", *place), JUNK[i % len(JUNK)]) for i, place in odd]
    shown_whatever(run, [(p, j, changed(run.record, p, j), run.summary) for p, j in cases[first::4]])


def test_the_script_of_the_page_is_the_only_one_its_policy_allows(pocket):
    text = render(pocket)
    script = re.search(r"<script>(.*?)</script>", text, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        m["content"] for m in Page(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_importing_the_report_brings_neither_torch_nor_templates():
    heavy = ("torch", "jinja2", "transformers", "yaml")
    code = f"import sys, plaudit.report; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
