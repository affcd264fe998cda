"""What a chat model leaves out because of its positions is said, once."""

from __future__ import annotations

import logging

from toy import toy_policy

from plaudit.data.records import Message
from plaudit.generation.chat import LocalChatModel
from plaudit.models.policy import save_policy


def test_a_lower_limit_and_turns_that_are_left_out_are_said_once(tmp_path, caplog):
    save_policy(toy_policy(0), tmp_path / "model", card="# A toy")
    model = LocalChatModel("toy", tmp_path / "model")
    half = model.positions // 2
    short = [Message("user", "the cat")]
    turns = [Message("user", "the cat sat"), Message("assistant", "on a mat")] * half
    with caplog.at_level(logging.WARNING, logger="plaudit.generation.chat"):
        model.answer(short, temperature=1.0, max_new_tokens=half)
        assert not caplog.messages
        for _ in range(2):
            model.answer([*turns, *short], temperature=1.0, max_new_tokens=half + 1)
    assert len(caplog.messages) == 2
    assert f"at most {half} tokens instead of {half + 1}" in caplog.messages[0]
    assert "its oldest turns are left out" in caplog.messages[1]
