"""A labeling project as a run's data: taken once, kept with the run, anew for the next run."""

from __future__ import annotations

import json

import pytest
from toy import sentence, toy_policy

from plaudit.config import validate
from plaudit.data.readers.read import read
from plaudit.errors import UserError
from plaudit.feedback.project_location import opened, place_of, secret_in
from plaudit.feedback.store.claiming import claim
from plaudit.feedback.store.judgement_form import LETTERS, JudgementForm
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project
from plaudit.feedback.store.schema import Member
from plaudit.feedback.store.settings import Settings
from plaudit.feedback.store.submission import submit
from plaudit.models.policy import save_policy
from plaudit.pipeline.projects import frozen
from plaudit.pipeline.run import resume
from plaudit.pipeline.single_method import run_method

FAST = ["threads=1", "dpo.epochs=1", "dpo.batch_size=8", "data.preference_validation=0.2"]


class Team:
    """A project in ``projects/NAME`` and one labeler who prefers the first answer."""

    def __init__(self, root, name="talk", items=40):
        import numpy as np

        self.folder = root / "projects" / name
        self.folder.mkdir(parents=True)
        secret_in(self.folder)
        self.url = f"sqlite:///{self.folder / 'collect.db'}"
        rng = np.random.default_rng(0)
        pairs = [tuple(NewAnswer(sentence(rng, 2, 9)) for _ in range(2)) for _ in range(items)]
        rules = Settings(gold_share=0, repeat_share=0, require_reading=False, strength=False)

        def work(db):
            project = create_project(db, name, title=name, settings=rules, now=0)
            user = add_user(db, f"{name} ann", now=0)
            self.member = add_member(db, project, user, "labeler", now=0).id
            prompts = [({"role": "user", "content": sentence(rng, 2, 9)},) for _ in pairs]
            add_items(db, project, [NewItem(p, a) for p, a in zip(prompts, pairs)], now=0)

        with opened(self.url) as database:
            database.write(work)

    def judge(self, count):
        def one(db):
            assignment = claim(db, self.member, now=10)
            groups = [[LETTERS[assignment.order.index(p)]] for p in (0, 1)]
            key = f"judgement-{assignment.id}"
            member = db.get_one(Member, self.member)
            submit(db, member, assignment.id, verdict=JudgementForm(groups=groups), key=key, now=12)

        with opened(self.url) as database:
            for _ in range(count):
                database.write(one)


@pytest.fixture
def team(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Team(tmp_path)


def config_of(**data):
    return validate({"name": "x", "policy": {"source": "pretrained", "path": "m"}, "data": data}, "x")


def test_a_project_is_named_by_its_folder_or_its_name(team):
    team.judge(3)
    for address in (
        "project://projects/talk",
        "project://talk",
        f"project://{team.folder}",
        "project://talk#talk",
    ):
        assert len(read(address, kind="preferences").records) == 3
    for address, told in (
        ("project://tolk", "did you mean 'talk'?"),
        ("project://nowhere", "plaudit collect"),
        ("project://talk#other", "no such project 'other'"),
    ):
        with pytest.raises(UserError, match=told.replace("?", r"\?")):
            read(address, kind="preferences")


def test_several_projects_of_one_database_need_a_name(team):
    with opened(team.url) as database:
        database.write(lambda db: create_project(db, "more", title="M", settings=Settings(), now=0))
    with pytest.raises(UserError, match="more, talk"):
        read("project://talk", kind="preferences")
    assert place_of("project://talk#more").slug == "more"


def test_a_run_takes_what_there_is_when_it_begins_and_keeps_it(team, tmp_path):
    save_policy(toy_policy(), tmp_path / "model", card="# A toy")
    team.judge(20)
    folder = run_method("dpo", "project://talk", tmp_path / "model", FAST, tmp_path / "run")
    kept = tmp_path / "run" / "data" / "talk.jsonl"
    assert len(kept.read_text().splitlines()) == 20
    first = folder.stage("dpo").read_json()
    weights = (folder.stage("dpo").model / "model.safetensors").read_bytes()
    assert json.loads((tmp_path / "run/run.json").read_text())["config"]["data"]["preferences"][0][
        "path"
    ] == str(kept)

    team.judge(15)
    resume(tmp_path / "run")
    assert folder.stage("dpo").read_json() == first, "a resumed run sees the data that it began with"
    assert len(kept.read_text().splitlines()) == 20

    run_method("dpo", "project://talk", tmp_path / "model", FAST, tmp_path / "run")
    assert len(kept.read_text().splitlines()) == 35
    assert folder.stage("dpo").read_json()["key"] != first["key"], (
        "the same command again learns from what is new"
    )
    assert (folder.stage("dpo").model / "model.safetensors").read_bytes() != weights


def test_a_dry_run_tells_what_there_is_and_leaves_nothing_behind(team, tmp_path, capsys):
    save_policy(toy_policy(), tmp_path / "model", card="# A toy")
    team.judge(20)
    run_method("dpo", "project://talk", tmp_path / "model", FAST, tmp_path / "run", dry_run=True)
    assert not (tmp_path / "run").exists()
    assert "16" in capsys.readouterr().out, "four fifths of twenty rankings"


def test_a_run_that_is_refused_leaves_no_folder(team, tmp_path, monkeypatch):
    from plaudit.pipeline import preflight

    def refused(*_, **__):
        raise UserError("refused")

    save_policy(toy_policy(), tmp_path / "model", card="# A toy")
    before = sorted(tmp_path.rglob("*"))
    for told in ("holds no rankings yet", "refused"):
        with pytest.raises(UserError, match=told):
            run_method("dpo", "project://talk", tmp_path / "model", FAST, tmp_path / "runs" / "run")
        assert not (tmp_path / "runs").exists()
        team.judge(20)
        monkeypatch.setattr(preflight, "preflight", refused)
    assert [p for p in sorted(tmp_path.rglob("*")) if "projects" not in p.parts] == [
        p for p in before if "projects" not in p.parts
    ]


def test_runs_beside_each_other_can_share_one_look(team, tmp_path):
    team.judge(4)
    config = config_of(preferences="project://talk", prompts=["project://talk", "here.jsonl"])
    one = frozen(config, tmp_path / "data")
    (kept,) = one.data.preferences
    assert len(read(kept.path).records) == 4
    assert [s.path for s in one.data.prompts] == [kept.path, "here.jsonl"]
    team.judge(2)
    frozen(config, tmp_path / "data", keep=True)
    assert len(read(kept.path).records) == 4
    frozen(config, tmp_path / "data")
    assert len(read(kept.path).records) == 6
    plain = config_of(preferences="here.jsonl")
    assert frozen(plain, tmp_path / "none") is plain and not (tmp_path / "none").exists()


def test_what_cannot_be_trained_on_is_said(team, tmp_path):
    config = config_of(preferences="project://talk")
    with pytest.raises(UserError, match="holds no rankings yet"):
        frozen(config, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())
