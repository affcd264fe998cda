"""sample and chat: a run's steps or a plain model, typed or piped, one or two side by side."""

from __future__ import annotations

import io
import re
import sys

import pytest
import warm
from command_line import run
from toy import toy_policy

from plaudit.models.policy import save_policy
from plaudit.runs import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An older run, recorded without steps, whose SFT and PPO hold different models, and whose reward holds none."""
    run_folder = RunFolder(tmp_path_factory.mktemp("talk") / "a-run")
    run_folder.write_json("run.json", {"name": "a-run", "config": {"seed": 0}})
    for seed, stage in enumerate(("sft", "ppo")):
        save_policy(toy_policy(seed), run_folder.stage(stage).model, card="# A toy")
    (run_folder.path / "stages" / "reward" / "model").mkdir(parents=True)
    return run_folder.path


def test_sample_prints_n_answers_the_same_for_the_same_seed(folder, capsys):
    def answers(*options):
        assert run("sample", str(folder), "the cat", "--max-new-tokens", "6", *options) == 0
        return capsys.readouterr().out

    three = answers("-n", "3", "--seed", "5")
    assert three.count("\n") >= 3
    assert answers("-n", "3", "--seed", "5") == three
    assert answers("-n", "3", "--seed", "6") != three
    for option in ("--step", "--stage"):
        assert answers("-n", "3", "--seed", "5", option, "ppo") == three, "the end is meant"
        assert answers("-n", "3", "--seed", "5", option, "sft") != three


def test_a_model_folder_answers_as_the_step_it_came_from(folder, capsys):
    options = ["the cat", "--max-new-tokens", "6", "--seed", "3"]
    assert run("sample", str(folder / "stages" / "sft" / "model"), *options) == 0
    plain = capsys.readouterr().out
    assert run("sample", str(folder), *options, "--stage", "sft") == 0
    assert capsys.readouterr().out == plain


def test_an_answer_longer_than_the_model_gets_half_of_its_positions(folder, capsys):
    assert run("sample", str(folder), "the cat", "--max-new-tokens", "5000") == 0


def test_a_prompt_longer_than_the_model_is_a_mistake(folder, capsys):
    assert run("sample", str(folder), "the cat " * 300) == 2
    assert "Traceback" not in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def talk(monkeypatch, capsys, lines, *arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    code = run("chat", *arguments)
    return code, capsys.readouterr()


def test_every_turn_reads_what_was_said_before_until_new(folder, monkeypatch, capsys):
    from plaudit.generation.chat import LocalChatModel

    heard = []

    def answer(self, messages, **settings):
        heard.append([(m.role, m.content) for m in messages])
        return [f"answer {len(heard)}"]

    monkeypatch.setattr(LocalChatModel, "answer", answer)
    code, shown = talk(monkeypatch, capsys, ["a", "b", "/new", "c", "", "d"], str(folder))
    assert code == 0
    assert shown.out.splitlines() == ["answer 1", "answer 2", "answer 3"], "an empty line ends"
    assert heard == [
        [("user", "a")],
        [("user", "a"), ("assistant", "answer 1"), ("user", "b")],
        [("user", "c")],
    ]


def test_a_chat_through_a_pipe_is_plain_text(folder, monkeypatch, capsys):
    lines = ["the dog", "a cat", "/new", "the dog"]
    words = ["chat", str(folder), "--max-new-tokens", "8"]
    done = warm.python("-m", "plaudit", *words, text="\n".join(lines) + "\n")
    assert (done.returncode, done.stderr) == (0, "model: a-run@ppo\n")
    assert "\x1b" not in done.stdout
    code, here = talk(monkeypatch, capsys, lines, str(folder), "--max-new-tokens", "8")
    assert code == 0 and here.out == done.stdout != ""


def test_two_steps_answer_side_by_side_each_with_its_own_talk(folder, monkeypatch, capsys):
    code, shown = talk(
        monkeypatch, capsys, ["the cat"], str(folder), "--side-by-side", "--max-new-tokens", "6"
    )
    assert code == 0
    assert [line.split(":")[0] for line in shown.out.splitlines() if re.match(r"a-run@\w+: ", line)] == [
        "a-run@sft",
        "a-run@ppo",
    ]
    code, again = talk(
        monkeypatch,
        capsys,
        ["the cat"],
        str(folder),
        "--step",
        "ppo",
        "--step",
        "sft",
        "--max-new-tokens",
        "6",
    )
    assert code == 0
    assert again.out.index("ppo: ") < again.out.index("sft: ")


def test_side_by_side_fits_80_columns_on_a_terminal(monkeypatch):
    from rich.console import Console

    from plaudit.cli.chat import _show

    out = Terminal()
    _show(Console(file=out, width=80, color_system=None), ["sft", "ppo"], ["a word " * 40, "[b]x[/b] 1 2"])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "sft" in lines[0] and "ppo" in lines[0]
    assert "[b]x[/b] 1 2" in out.getvalue(), "answers are no markup"


MISTAKES = {
    "an unknown step": (["--step", "pppo"], "did you mean 'ppo'?"),
    "a step without a policy": (["--step", "reward"], "there are: sft, ppo"),
    "one step side by side": (["--step", "sft", "--side-by-side"], "two policies: only 'sft'"),
    "one step twice side by side": (["--step", "sft", "--step", "sft", "--side-by-side"], "only 'sft'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_steps_is_told(name, folder, capsys):
    arguments, said = MISTAKES[name]
    assert run("chat", str(folder), *arguments) == 2
    assert said in capsys.readouterr().err


def test_steps_of_a_plain_model_are_refused(folder, capsys):
    assert run("chat", str(folder / "stages" / "sft" / "model"), "--side-by-side") == 2
    assert "only a whole run has several" in capsys.readouterr().err


def test_a_run_without_a_policy_says_how_to_get_one(tmp_path, capsys):
    RunFolder(tmp_path).write_json("run.json", {})
    assert run("chat", str(tmp_path)) == 2
    assert "plaudit resume" in capsys.readouterr().err
