"""Chat templates: from a conversation to one text, and which token ends an assistant's turn.

A tokenizer's own template is used where it has one. Where it has none it is given one of ours, which
is then saved with the model: ``PLAUDIT`` for tokenizers with our role tokens, and otherwise a textual
template, which needs no new tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from plaudit.data.records import Message
from plaudit.errors import UserError

PAD, TEXT, END, SYSTEM, USER, ASSISTANT = (
    "<|pad|>",
    "<|text|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
)
SPECIAL_TOKENS = (PAD, TEXT, END, SYSTEM, USER, ASSISTANT)

PLAUDIT = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def textual_template(start: str, end: str) -> str:
    """A template in plain words, ``Human:`` and ``Assistant:``, each name on a line of its own.

    The line break keeps the answer's first word a token of its own under every common tokenizer (a
    space would merge with it); contents are trimmed for the same reason. ``start`` is the
    begin-of-text token, empty where the tokenizer adds none; ``end`` closes an assistant turn.
    """
    return (
        f"{{{{ {json.dumps(start)} }}}}"
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] | trim + '\\n\\n' }}"
        "{% elif message['role'] == 'user' %}{{ 'Human:\\n' + message['content'] | trim + '\\n\\n' }}"
        f"{{% else %}}{{{{ 'Assistant:\\n' + message['content'] | trim + {json.dumps(end)} + '\\n\\n' }}}}"
        "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
    )


def ensure_template(tokenizer: Any) -> None:
    """Give a tokenizer without a chat template one of ours; UserError where it has no end token."""
    if tokenizer.chat_template:
        return
    if set(SPECIAL_TOKENS) <= set(tokenizer.get_vocab()):
        tokenizer.chat_template = PLAUDIT
        return
    end = tokenizer.eos_token or tokenizer.sep_token
    if not end:
        raise UserError(
            "the tokenizer has neither a chat template nor an end-of-text token, so no answer could ever end",
            remedy="set eos_token (or a chat_template) in its tokenizer_config.json",
        )
    first = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    start = tokenizer.bos_token or tokenizer.cls_token
    adds_start = start is not None and first == [tokenizer.convert_tokens_to_ids(start)] and start != end
    tokenizer.chat_template = textual_template(start if adds_start else "", end)


class ChatTemplate:
    """The chat template of a tokenizer, probed once for how it treats system turns and turn ends.

    ``end_id`` is the token that closes an assistant turn: the first control token after the answer.
    """

    def __init__(self, tokenizer: Any) -> None:
        ensure_template(tokenizer)
        self.tokenizer = tokenizer
        self._is_plaudit = tokenizer.chat_template == PLAUDIT
        self.folds_system = False
        self.folds_system = self._refuses_system()
        self.end_id = self._find_end()

    def text(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> str:
        """The conversation as one text. Raises ``jinja2.TemplateError`` where the template refuses it."""
        if self._is_plaudit:  # what the template says, without the machinery: ten times as fast
            turned = [f"<|{m.role}|>{m.content}{END if m.role == 'assistant' else ''}" for m in messages]
            return "".join([*turned, ASSISTANT] if generation_prompt else turned)
        turns = self._fold(messages) if self.folds_system else messages
        text: str = self.tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in turns],
            tokenize=False,
            add_generation_prompt=generation_prompt,
        )
        return text

    def _refuses_system(self) -> bool:
        # Some templates raise on a system turn, some drop it without a word; both lose instructions.
        try:
            return "qzsystem" not in self.text((Message("system", "qzsystem"), Message("user", "qzuser")))
        except TemplateError:
            return True

    @staticmethod
    def _fold(messages: Sequence[Message]) -> Sequence[Message]:
        """A leading system turn becomes the first paragraph of the first user turn."""
        if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
            return messages
        joined = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
        return (joined, *messages[2:])

    def scaffold(self) -> str:
        """What the template itself writes around the turns of a conversation."""
        return self.text((Message("user", ""), Message("assistant", "")), generation_prompt=True)

    def _find_end(self) -> int:
        probe = "qzanswer"
        text = self.text((Message("user", "qzuser"), Message("assistant", probe)))
        _, found, tail = text.rpartition(probe)
        control = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        if found:
            for token in self.tokenizer(tail, add_special_tokens=False)["input_ids"]:
                if token in control:
                    return int(token)
        raise UserError(
            "the chat template closes an assistant turn with no control token, so a model trained on it "
            "could not learn to stop",
            remedy="end assistant turns with eos_token in the chat_template, or remove the template "
            "to use plaudit's textual one",
        )


def end_of_turn_id(tokenizer: Any) -> int:
    """The token that closes an assistant turn under the tokenizer's chat template."""
    return ChatTemplate(tokenizer).end_id
