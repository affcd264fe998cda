"""A judge behind a server: what it reads, what it survives, what it keeps, and what it never writes down."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from stub_server import MODEL, Stub

from plaudit.cli import main
from plaudit.data.readers.read import read
from plaudit.data.records import Message
from plaudit.errors import UserError, Waiting
from plaudit.generation.endpoint.ledger import Ledger, Prices
from plaudit.generation.endpoint.limits import TokenBucket
from plaudit.generation.endpoint.transport import EndpointError, retry_after
from plaudit.generation.labels import LabelRequest
from plaudit.pipeline.judging import judge_file
from plaudit.runs.logs import read_lines

FAST = "?attempts=30&timeout=0.4&concurrency=4"


@pytest.fixture
def stub():
    made: list[Stub] = []

    def start(**options) -> Stub:
        made.append(Stub(**options).start())
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


def answers(path: Path, n: int) -> Path:
    rows = [
        {
            "prompt": f"question {i}",
            "chosen": f"quality {i % 7}.5 of {i}",
            "rejected": f"quality {i % 5} of {i}",
        }
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def planted(record) -> float:
    one, two = (float(r.text.split()[1]) for r in record.responses)
    return one - two


@pytest.mark.parametrize("kind", ["top", "exact"])
def test_log_odds_are_the_servers_whatever_the_order_of_its_list(stub, tmp_path, kind):
    server = stub(kind=kind, bias=1.5)
    out = tmp_path / "out"
    found = judge_file(answers(tmp_path / "a.jsonl", 20), f"{server.url}#{MODEL}", out=out)
    assert json.loads((out / "server.json").read_text())["kind"] == kind
    for record in found.records:
        (pair,) = record.metadata["judge"]["pairs"]
        one, two = pair["log_odds"]
        assert (one - two) / 2 == pytest.approx(planted(record), abs=1e-6)
        assert (one + two) / 2 == pytest.approx(1.5, abs=1e-6)
        assert pair["mass"] == pytest.approx([0.95, 0.95], abs=1e-9)
        assert record.outcomes[0].result == pytest.approx(1 / (1 + math.exp(-planted(record))), abs=1e-6)
    sent = [b for b in server.told if "question" in b["messages"][0]["content"]]
    assert len(sent) == 40 and all(("logprob_token_ids" in b) == (kind == "exact") for b in sent)


def test_a_server_without_log_probs_is_found_out_and_read_by_its_text(stub, tmp_path):
    server = stub(kind="text")
    found = judge_file(
        answers(tmp_path / "a.jsonl", 8), f"{server.url}#{MODEL}?join=hard", out=tmp_path / "out"
    )
    for record in found.records:
        difference = planted(record)
        # At equal quality the stub says A in both orders: neither answer wins.
        assert record.outcomes[0].result == (0.5 if difference == 0 else float(difference > 0))


def test_a_server_that_lists_one_token_is_read_by_its_text(stub, tmp_path):
    out = tmp_path / "out"
    found = judge_file(answers(tmp_path / "a.jsonl", 4), f"{stub(kind='one').url}#{MODEL}", out=out)
    assert json.loads((out / "server.json").read_text())["kind"] == "text"
    assert all(r.metadata["judge"]["pairs"][0]["mass"] == [None, None] for r in found.records)


def remote(server, folder=None, **options):
    from plaudit.judges.language_options import RemoteOptions, remote_model

    return remote_model(f"{server.url}#{MODEL}", RemoteOptions(**options), folder)


def question(text):
    return LabelRequest((Message("user", text),), ("A", "B"))


def test_equal_requests_that_are_under_way_are_paid_once(stub):
    server = stub()
    model = remote(server, concurrency=4)
    server.delay = 0.2
    found = model.read([question("which?")] * 4)
    assert len(server.received) == 1 + 1 and len({r.label for r in found}) == 1


def test_a_conversation_that_is_refused_costs_the_others_nothing(stub):
    model = remote(stub())
    drawn = model.draw(
        [[Message("user", t)] for t in ("how?", "filtered", "why?")], temperature=1.0, max_new_tokens=4
    )
    assert drawn == [[("A", True)], [("", False)], [("A", True)]]
    assert len(model.refusals) == 1 and "content filter" in model.refusals[0]


@pytest.mark.parametrize("status", [301, 402, 405, 410, 501])
def test_what_will_not_go_well_the_next_time_is_asked_once(stub, status):
    server = stub(status=status)
    model = remote(server)
    with pytest.raises(UserError, match=f"HTTP {status}"):
        model.read([question("which?")])
    assert len(server.received) == 1 + 1


def test_after_ctrl_c_nothing_is_asked_any_more(stub, monkeypatch):
    from plaudit.generation.endpoint import remote as module

    server = stub()
    model = remote(server, concurrency=2)
    server.delay = 0.1

    def interrupted(*args, **kwargs):
        time.sleep(0.15)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.read([question(f"which {i}?") for i in range(30)])
    asked = len(server.received)
    time.sleep(0.5)
    assert model.transport.stopped.is_set() and len(server.received) <= asked + 1 <= 8


def test_a_tokenizer_page_that_fails_once_is_asked_again(stub, monkeypatch):
    from plaudit.generation.endpoint import remote as module

    given = iter([[], [65, 66], []])
    model = remote(stub(kind="exact"))
    model.transport.sleep = lambda seconds: None
    monkeypatch.setattr(module, "token_ids", lambda *a: next(given))
    assert model._label_ids(("A", "B")) == model._label_ids(("A", "B")) == [65, 66]
    monkeypatch.setattr(module, "token_ids", lambda *a: [])
    with pytest.raises(EndpointError, match="/tokenize fails"):
        model._label_ids(("Yes", "No"))


def test_a_key_that_no_header_can_carry_is_told(stub, monkeypatch):
    monkeypatch.setenv("MY_JUDGE_KEY", "sk–1234")
    with pytest.raises(UserError, match="MY_JUDGE_KEY holds no key") as refused:
        remote(stub(), key_env="MY_JUDGE_KEY")
    assert "1234" not in str(refused.value)


def test_replies_that_are_paid_and_of_no_use_count_towards_the_limit(stub, tmp_path):
    server = stub()
    model = remote(
        server,
        tmp_path / "o",
        price_prompt=10000,
        price_completion=0,
        max_cost=3,
        concurrency=1,
        attempts=9,
    )
    model.transport.sleep = lambda seconds: None
    server.model = "another"
    with pytest.raises(Waiting, match="cost limit"):
        model.read([question("which?")])
    totals = model.ledger.totals
    assert totals.cost == 3 and totals.replies == 1 and sum(totals.failures.values()) == 2


def test_a_limit_that_cannot_be_kept_is_an_error_before_anything_is_asked(stub, tmp_path):
    server = stub(usage=False)
    prices = {"price_prompt": 1, "price_completion": 1}
    remote(server, tmp_path / "o", **prices)
    before = len(server.received)
    with pytest.raises(UserError, match="how many tokens 1 replies used"):
        remote(server, tmp_path / "o", **prices, max_cost=1)
    assert len(server.received) == before


def test_the_rankings_are_a_file_that_training_reads(stub, tmp_path):
    found = judge_file(answers(tmp_path / "a.jsonl", 6), f"{stub().url}#{MODEL}", out=tmp_path / "out")
    again = read(found.path, kind="preferences").records
    assert [r.outcomes for r in again] == [r.outcomes for r in found.records] and len(again) == 6


def test_every_fault_is_survived_and_every_verdict_is_the_planted_one(stub, tmp_path):
    server = stub(faults=0.4, hang=0.5)
    out = tmp_path / "out"
    found = judge_file(answers(tmp_path / "a.jsonl", 40), f"{server.url}#{MODEL}{FAST}", out=out)
    assert len(found.records) == 40 and found.counts["undecided"] == 0
    for record in found.records:
        assert record.outcomes[0].result == pytest.approx(1 / (1 + math.exp(-planted(record))), abs=1e-6)
    rows = read_lines(out / "ledger.jsonl")
    assert sum("sent" in r for r in rows) == len(server.received)
    reasons = Counter(r["reason"] for r in rows if "failed" in r)
    for reason in ("HTTP 429", "HTTP 500", "a reply that is no JSON", "no answer in time"):
        assert reasons[reason], reasons
    assert any("another model" in r for r in reasons) and any("log-probabilities" in r for r in reasons)


@pytest.mark.parametrize("n", [48, pytest.param(1000, marks=pytest.mark.slow)])
def test_killed_three_times_nothing_is_lost_and_only_what_was_under_way_is_asked_again(tmp_path, n):
    here = Path(__file__).parent
    log = tmp_path / "received.txt"
    server = subprocess.Popen(
        [sys.executable, here / "stub_server.py", "--log", log, "--faults", "0.1", "--hang", "0.5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = server.stdout.readline().strip()
        out = tmp_path / "out"
        command = [
            *(sys.executable, "-m", "plaudit", "judge", answers(tmp_path / "a.jsonl", n)),
            *("--with", f"http://127.0.0.1:{port}/v1#{MODEL}{FAST}", "--out", out),
        ]
        for target in (n // 4, n, 3 * n // 2):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _until(lambda target=target: len(read_lines(out / "answers.jsonl")) >= target, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
    finally:
        server.kill()
    answered = [r["key"] for r in read_lines(out / "answers.jsonl")]
    assert len(answered) == len(set(answered)) == 2 * n
    assert len(read(out / "rankings.jsonl").records) == n
    replied = Counter(r["key"] for r in _replied(out) if r["key"] != "probe")
    # A reply that was under way at a kill may be asked for again: at most the four requests side by side, three times.
    assert sum(replied.values()) - len(replied) <= 3 * 4
    sent = sum("sent" in r for r in read_lines(out / "ledger.jsonl"))
    received = len(log.read_text().splitlines())
    assert received <= sent <= received + 3 * 4


def _until(ready, process) -> None:
    for _ in range(6000):
        if ready() or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was answered within minutes")


def _replied(out: Path) -> list[dict]:
    rows = read_lines(out / "ledger.jsonl")
    whole = {r["replied"] for r in rows if "replied" in r}
    return [r for r in rows if r.get("sent") in whole]


def test_a_second_start_asks_for_nothing(stub, tmp_path):
    server = stub()
    spec, out = f"{server.url}#{MODEL}", tmp_path / "out"
    first = judge_file(answers(tmp_path / "a.jsonl", 5), spec, out=out)
    before = len(server.received)
    second = judge_file(tmp_path / "a.jsonl", spec, out=out)
    assert second.records == first.records
    assert len(server.received) == before + 1  # what the server can do is asked anew each time


def test_another_model_behind_the_same_address_is_an_error(stub, tmp_path):
    server = stub()
    spec, out = f"{server.url}#{MODEL}", tmp_path / "out"
    judge_file(answers(tmp_path / "a.jsonl", 3), spec, out=out)
    server.model = "planted-2"
    with pytest.raises(UserError, match="serves 'planted-2' now"):
        judge_file(tmp_path / "a.jsonl", spec, out=out)


def test_a_key_stands_in_no_file_and_in_no_error(stub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MY_JUDGE_KEY", "sk-very-secret")
    server = stub(key="sk-very-secret")
    out = tmp_path / "out"
    judge_file(answers(tmp_path / "a.jsonl", 3), f"{server.url}#{MODEL}?key_env=MY_JUDGE_KEY", out=out)
    assert not any("sk-very-secret" in p.read_text() for p in out.rglob("*") if p.is_file())
    monkeypatch.setenv("MY_JUDGE_KEY", "sk-wrong-one")
    with pytest.raises(UserError) as refused:
        judge_file(tmp_path / "a.jsonl", f"{server.url}#{MODEL}?key_env=MY_JUDGE_KEY", out=tmp_path / "b")
    assert "MY_JUDGE_KEY" in str(refused.value) and "sk-wrong-one" not in str(refused.value)
    monkeypatch.delenv("MY_JUDGE_KEY")
    with pytest.raises(UserError, match="MY_JUDGE_KEY, which holds the key"):
        judge_file(tmp_path / "a.jsonl", f"{server.url}#{MODEL}?key_env=MY_JUDGE_KEY", out=tmp_path / "c")


def test_a_cost_limit_ends_the_work_with_exit_code_3_and_a_higher_one_goes_on(stub, tmp_path, capsys):
    server = stub()
    prices = "price_prompt=10000&price_completion=0&concurrency=1"  # 1.0 a request of 100 tokens
    command = ["judge", str(answers(tmp_path / "a.jsonl", 10)), "--out", str(tmp_path / "out"), "--with"]
    with pytest.raises(SystemExit) as ended:
        main([*command, f"{server.url}#{MODEL}?{prices}&max_cost=8"])
    assert ended.value.code == 3 and "cost limit" in capsys.readouterr().out
    assert len(server.received) == 8
    with pytest.raises(SystemExit) as ended:
        main([*command, f"{server.url}#{MODEL}?{prices}&max_cost=1000"])
    assert not ended.value.code
    assert len(server.received) == 8 + 1 + 13  # 7 of 20 were answered; the probe is asked anew


def test_usage_that_the_server_does_not_give_is_unknown_and_not_free(stub, tmp_path):
    server = stub(usage=False)
    spec = f"{server.url}#{MODEL}?price_prompt=1&price_completion=1"
    found = judge_file(answers(tmp_path / "a.jsonl", 3), spec, out=tmp_path / "out")
    assert found.spent["cost"] is None and found.spent["replies_without_usage"] == 7
    with pytest.raises(UserError, match="does not say how many tokens"):
        judge_file(tmp_path / "a.jsonl", spec + "&max_cost=1", out=tmp_path / "b")


@pytest.mark.parametrize(
    "spec, said",
    [
        ("http://host/v1", "names no server and model"),
        ("http://user:pw@host/v1#m", "holds a key"),
        ("http://host/v1#m?key_env=sk-abc", "not the key itself"),
        ("http://host/v1#m?colour=red", "colour"),
        ("http://host/v1#m?max_cost=2", "price_prompt"),
        ("http://host/v1#m?form=rubric", "rubric"),
        ("htp://host/v1#m", "did you mean"),
        ("local:no/such/folder", "no/such/folder"),
    ],
)
def test_a_wrong_spec_is_one_message_before_anything_is_asked(tmp_path, capsys, spec, said):
    with pytest.raises(SystemExit) as ended:
        main(["judge", str(answers(tmp_path / "a.jsonl", 2)), "--with", spec, "--out", str(tmp_path / "o")])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and "Traceback" not in error
    assert not (tmp_path / "o").exists()


def test_labels_of_verdicts_are_for_people_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["judge", str(answers(tmp_path / "a.jsonl", 2)), "--with", "local:x", "--labels", "1=first"])
    assert ended.value.code == 2 and "--labels says" in capsys.readouterr().err


def test_waits_follow_the_server_and_dates_are_read():
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after("2.5") == 2.5 and retry_after("soon") is None and retry_after(None) is None
    assert retry_after("Thu, 01 Jan 2026 00:00:30 GMT", now=lambda: now) == 30


def test_a_bucket_lets_through_a_minutes_worth_and_then_its_rate():
    now = [0.0]
    bucket = TokenBucket(60, clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    for _ in range(60):
        bucket.take()
    assert now[0] == 0
    for _ in range(30):
        bucket.take()
    assert now[0] == pytest.approx(30)
    bucket.take(1000)  # more than it ever holds: waits until it is full
    assert now[0] == pytest.approx(90)


def test_a_ledger_counts_again_what_its_file_holds(tmp_path):
    from plaudit.generation.endpoint.ledger import Usage

    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, prices=Prices(1.0, 2.0, 0.5), max_cost=1e-3)
    one = ledger.sent("m", "k", 0)
    ledger.replied(one, Usage(100, 10, 40), 0.5)
    two = ledger.sent("m", "k2", 0)
    ledger.failed(two, "HTTP 500", 0.1)
    ledger.sent("m", "k3", 0)
    again = Ledger(path, prices=Prices(1.0, 2.0, 0.5), max_cost=1e-4)
    assert again.totals.as_dict() == ledger.totals.as_dict()
    assert again.totals.cost == pytest.approx((60 * 1 + 40 * 0.5 + 10 * 2) / 1e6)
    assert again.totals.unanswered == 1
    with pytest.raises(Waiting):
        again.sent("m", "k4", 0)


def test_another_manner_of_asking_does_not_get_the_verdicts_of_the_first(stub, tmp_path):
    server = stub()
    spec, out = f"{server.url}#{MODEL}", tmp_path / "out"
    judge_file(answers(tmp_path / "a.jsonl", 3), spec, out=out)
    with pytest.raises(UserError, match="holds the judgements of"):
        judge_file(tmp_path / "a.jsonl", spec + "?join=hard", out=out)
    # How the work is done decides nothing.
    again = judge_file(tmp_path / "a.jsonl", spec + "?concurrency=2&timeout=9", out=out)
    assert len(again.records) == 3


def test_a_changed_rubric_is_another_judge(stub, tmp_path):
    server = stub()
    rubric = tmp_path / "r.yaml"
    rubric.write_text("[it is kind]")
    spec, out = f"{server.url}#{MODEL}?form=rubric&rubric={rubric}", tmp_path / "out"
    judge_file(answers(tmp_path / "a.jsonl", 2), spec, out=out)
    rubric.write_text("[it is short]")
    with pytest.raises(UserError, match="holds the judgements of"):
        judge_file(tmp_path / "a.jsonl", spec, out=out)


def test_a_server_is_not_asked_for_a_grade_that_may_be_two_tokens(stub, tmp_path):
    with pytest.raises(UserError, match="scale"):
        judge_file(
            answers(tmp_path / "a.jsonl", 2),
            f"{stub().url}#{MODEL}?form=pointwise&scale=10",
            out=tmp_path / "o",
        )
