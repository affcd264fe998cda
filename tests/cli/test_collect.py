"""`plaudit collect`: from a file to a served project, and everything beside serving."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from command_line import run
from toy import toy_policy

from plaudit.models.policy import save_policy


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with a file of ready answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLAUDIT_DATABASE", raising=False)
    rows = [{"prompt": f"question {i}", "responses": [f"yes {i}", f"no {i}"]} for i in range(6)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def rows_of(folder, query):
    with sqlite3.connect(folder / "collect.db") as connection:
        return connection.execute(query).fetchall()


def refused(capsys, *words):
    assert run("collect", *words) == 2
    return capsys.readouterr().err


def test_a_project_is_made_beside_nothing_else_and_for_nobody_else(here, capsys):
    assert run("collect", "--responses", "answers.jsonl", "--set", "overlap=3", "--no-serve") == 0
    shown = capsys.readouterr()
    assert "Answers (projects/answers): 6 items, 0 of 18 judgements" in shown.out
    assert "6 items are new" in shown.err
    folder = here / "projects" / "answers"
    assert sorted(p.name for p in folder.iterdir()) == ["collect.db", "secret.key"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    assert rows_of(folder, "SELECT count(*) FROM users") == [(0,)], "no account, no default password"


def test_the_same_command_again_adds_nothing_and_changes_only_what_it_names(here, capsys):
    run("collect", "--responses", "answers.jsonl", "--set", "overlap=3", "--no-serve")
    secret = (here / "projects/answers/secret.key").read_bytes()
    capsys.readouterr()
    assert (
        run(
            "collect",
            "--responses",
            "answers.jsonl",
            "--set",
            "confidence=true",
            "--title",
            "T",
            "--no-serve",
        )
        == 0
    )
    shown = capsys.readouterr()
    assert "T (projects/answers): 6 items, 0 of 18 judgements" in shown.out
    assert "0 items are new, 6 were there" in shown.err
    assert (here / "projects/answers/secret.key").read_bytes() == secret
    ((settings,),) = rows_of(here / "projects/answers", "SELECT settings FROM projects")
    assert json.loads(settings)["overlap"] == 3 and json.loads(settings)["confidence"] is True


def test_gold_calibration_guidelines_and_attributes_come_from_files_and_options(here, capsys):
    known = [{"prompt": "known", "responses": ["a", "b"], "ranking": [1, 0]}]
    (here / "gold.jsonl").write_text(json.dumps(known[0]) + "\n")
    (here / "practice.jsonl").write_text(json.dumps({**known[0], "prompt": "practice"}) + "\n")
    (here / "rules.md").write_text("# Be kind\n")
    words = ["--responses", "answers.jsonl", "--gold", "gold.jsonl", "--calibration", "practice.jsonl"]
    words += ["--guidelines", "rules.md", "--set", "attributes=helpful,honest", "--no-serve"]
    assert run("collect", *words) == 0
    folder = here / "projects/answers"
    found = dict(rows_of(folder, "SELECT purpose, count(*) FROM items GROUP BY purpose"))
    assert found == {"work": 6, "gold": 1, "calibration": 1}
    assert rows_of(folder, "SELECT version, markdown FROM guidelines") == [(1, "# Be kind\n")]
    run("collect", *words)
    assert rows_of(folder, "SELECT count(*) FROM guidelines") == [(1,)], "the same text is no new version"
    ((settings,),) = rows_of(folder, "SELECT settings FROM projects")
    assert [a["name"] for a in json.loads(settings)["attributes"]] == ["helpful", "honest"]


def test_prompts_are_answered_by_models_first_and_only_once(here, capsys):
    save_policy(toy_policy(1), here / "small", card="# A toy")
    save_policy(toy_policy(2), here / "other", card="# A toy")
    (here / "ask.jsonl").write_text(
        "".join(json.dumps({"prompt": p}) + "\n" for p in ("the cat", "red blue", "a mat"))
    )
    words = [
        "--prompts",
        "ask.jsonl",
        "--model",
        "small",
        "--model",
        "other",
        "--max-new-tokens",
        "6",
        "--no-serve",
    ]
    assert run("collect", *words) == 0
    assert "Ask (projects/ask): 3 items" in capsys.readouterr().out
    models = rows_of(here / "projects/ask", "SELECT DISTINCT model FROM answers ORDER BY model")
    assert models == [("other",), ("small",)]
    kept = (here / "projects/ask/answers.jsonl").read_bytes()
    assert run("collect", *words) == 0
    assert (here / "projects/ask/answers.jsonl").read_bytes() == kept
    assert "0 items are new, 3 were there" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, told",
    [
        ([], "--responses FILE"),
        (["--prompts", "answers.jsonl"], "--prompts needs --model"),
        (["--model", "m"], "--model needs --prompts"),
        (["--responses", "none.jsonl"], "there is no file none.jsonl"),
        (["--responses", "answers.jsonl", "--set", "overlpa=2"], "did you mean 'overlap'?"),
        (["--responses", "answers.jsonl", "--set", "overlap=0"], "[overlap]"),
        (
            ["--responses", "answers.jsonl", "--set", "gold_share=0.4", "--set", "repeat_share=0.4"],
            "more than half",
        ),
        (["--responses", "answers.jsonl", "--guidelines", "none.md"], "none.md cannot be read"),
        (["--responses", "answers.jsonl", "--host", "0.0.0.0"], "in the clear"),
        (["--responses", "answers.jsonl", "--host", "0.0.0.0"], "--secret-file"),
        (["--responses", "answers.jsonl", "--workers", "2"], "SQLite lets one process write"),
        (["--responses", "answers.jsonl", "--tls-cert", "answers.jsonl"], "needs its key"),
        (["--responses", "answers.jsonl", "--origin", "http://label.example"], "in the clear"),
        (["--responses", "answers.jsonl", "--origin", "https://x.example/path"], "is no origin"),
        (["--responses", "answers.jsonl", "--database", "mysql://x/y"], "no database that plaudit can use"),
        (["export", "out.jsonl"], "nothing to judge"),
        (["status", "--project", "nowhere"], "there is no project in nowhere"),
        (["restore", "b.gz"], "say where to"),
    ],
)
def test_mistakes_are_told_in_words_and_make_nothing(here, capsys, words, told):
    assert told in refused(capsys, *words)
    assert sorted(p.name for p in here.iterdir()) == ["answers.jsonl"]


def test_a_secret_that_others_can_read_is_refused(here, capsys):
    run("collect", "--responses", "answers.jsonl", "--no-serve")
    (here / "projects/answers/secret.key").chmod(0o644)
    assert "chmod 600" in refused(capsys, "link")


def test_who_is_called_owner_owns_nothing_by_the_name(here, capsys):
    """A second project of a database goes to the one who owns the first, and to nobody who was merely called so."""
    run("collect", "--responses", "answers.jsonl", "--no-serve")
    folder = here / "projects/answers"
    people = (
        "SELECT u.name, m.role, p.slug FROM users u JOIN members m ON m.user_id = u.id "
        "JOIN projects p ON p.id = m.project_id"
    )
    assert run("collect", "link") == 0
    assert rows_of(folder, people) == [("owner", "owner", "answers")]
    run(
        "collect",
        "--project",
        "projects/answers",
        "--name",
        "second",
        "--responses",
        "answers.jsonl",
        "--no-serve",
    )
    assert run("collect", "link", "--project", "projects/answers", "--name", "second") == 0
    assert sorted(rows_of(folder, people)) == [("owner", "owner", "answers"), ("owner", "owner", "second")]
    with sqlite3.connect(folder / "collect.db") as connection:
        connection.execute("UPDATE members SET role = 'labeler'")
    run(
        "collect",
        "--project",
        "projects/answers",
        "--name",
        "third",
        "--responses",
        "answers.jsonl",
        "--no-serve",
    )
    capsys.readouterr()
    assert run("collect", "link", "--project", "projects/answers", "--name", "third") == 0
    assert "owner 2: http" in capsys.readouterr().out
    assert ("owner 2", "owner", "third") in rows_of(folder, people)


def test_of_several_projects_one_must_be_named(here, capsys):
    for name in ("one", "two"):
        run("collect", "--project", f"projects/{name}", "--responses", "answers.jsonl", "--no-serve")
    assert "projects/one | projects/two" in refused(capsys, "status")
    assert run("collect", "status", "--project", "projects/two") == 0


def test_items_are_imported_beside_and_judgements_exported_backed_up_and_restored(here, capsys):
    run("collect", "--responses", "answers.jsonl", "--no-serve")
    (here / "more.jsonl").write_text(
        json.dumps({"prompt": "more", "response_a": "x", "response_b": "y"}) + "\n"
    )
    assert run("collect", "import", "more.jsonl") == 0
    assert "7 items" in capsys.readouterr().out
    assert run("collect", "export", "out.jsonl") == 0
    assert "out.jsonl: 0 judgements" in capsys.readouterr().out and (here / "out.jsonl").read_text() == ""
    assert run("collect", "backup", "kept.gz") == 0
    assert "7 items" in capsys.readouterr().out
    assert run("collect", "restore", "kept.gz", "--project", "projects/again") == 0
    assert run("collect", "--project", "projects/again", "--no-serve") == 0
    assert "Answers (projects/again): 7 items" in capsys.readouterr().out, "the project kept its name"


def test_it_serves_prints_a_link_that_signs_in_once_and_stops_at_ctrl_c(here):
    command = [sys.executable, "-m", "plaudit", "collect", "--responses", "answers.jsonl", "--port", "0"]
    # Its own group: Ctrl-C must reach it, and not the tests.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        line = next(line for line in process.stdout if "/enter#" in line)
        address, token = re.search(r"owner: (http://127\.0\.0\.1:\d+)/enter#(\S+)", line).groups()
        body = json.dumps({"token": token}).encode()

        def enter():
            request = urllib.request.Request(
                f"{address}/api/links/enter", body, {"content-type": "application/json"}
            )
            return urllib.request.urlopen(request, timeout=300)

        with enter() as answer:
            assert json.load(answer)["projects"][0]["role"] == "owner"
        with pytest.raises(urllib.error.HTTPError) as again:
            enter()
        assert again.value.code == 404
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0 and "the same command goes on" in told
    finally:
        process.kill()
        process.wait()
