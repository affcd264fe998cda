"""Chat templates: render a conversation as one text, and find the token that ends an assistant turn.

A tokenizer's own template is used if it has one. Otherwise it gets one of plaudit's, which is then saved
with the model: ``PLAUDIT`` for tokenizers with plaudit's role tokens, else a textual template, which needs
no new tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from jinja2 import TemplateError

from plaudit.data.records import Message
from plaudit.data.rendering.template_date import dated, day_of_templates
from plaudit.errors import UserError, suggest

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
    """A template in plain text, with ``Human:`` and ``Assistant:`` on lines of their own.

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


USER_PROBE, ANSWER_PROBE = Message("user", "qzuser"), Message("assistant", "qzanswer")
CALL_PROBE = Message(
    "assistant",
    "",
    {
        "tool_calls": [
            {
                "type": "function",
                "id": "qzcallid1",
                "function": {"name": "qzfunction", "arguments": {"qzargument": "qzvalue"}},
            }
        ]
    },
)
# What a template raises on a conversation that it was not written for.
REFUSALS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)
# Tags around thinking in templates and generation prompts.
OPENERS = ("<think>", "<thinking>", "[THINK]", "<|START_THINKING|>", "<seed:think>")
CLOSERS = ("</think>", "</thinking>", "[/THINK]", "<|END_THINKING|>", "</seed:think>")


def ensure_template(tokenizer: Any) -> None:
    """Give a tokenizer without a chat template one of plaudit's; UserError if it has no end token."""
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


def choose_template(tokenizer: Any, name: str) -> None:
    """Keep only the named chat template of a tokenizer; it is then saved with the model."""
    named = tokenizer.chat_template
    if not isinstance(named, dict):
        raise UserError(
            f"the tokenizer has one chat template, and none is named {name!r}",
            remedy="leave chat_template out",
        )
    if name not in named:
        remedy = suggest(name, named) or f"its chat templates are {', '.join(sorted(named))}"
        raise UserError(f"the tokenizer has no chat template {name!r}", remedy=remedy)
    tokenizer.chat_template = named[name]


class ChatTemplate:
    """A tokenizer's chat template, probed for its treatment of system turns, turn ends and tool calls.

    ``end_id`` is the token that closes an assistant turn: the first control token after the answer. A
    template that writes the date writes ``day_of_templates()`` at the time this object was made.
    """

    def __init__(self, tokenizer: Any) -> None:
        ensure_template(tokenizer)
        self.tokenizer = tokenizer
        self.is_plaudit = tokenizer.chat_template == PLAUDIT
        # The dates that the template writes, by format; empty if it writes none.
        self._sources, self.dates = dated(self._named(), day_of_templates())
        self.folds_system = False
        self.folds_system = self._refuses_system()
        self.end_id = self._find_end()
        self.end: str = tokenizer.convert_ids_to_tokens(self.end_id)

    @property
    def is_own(self) -> bool:
        """Whether it is one of plaudit's templates, which do not support tool calls."""
        return self.is_plaudit or "'Human:\\n'" in self._source(None)

    def text(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> str:
        """The conversation as one text. Raises one of ``REFUSALS`` if the template refuses it."""
        if self.is_plaudit:  # the same text without Jinja: ten times as fast
            turned = [f"<|{m.role}|>{m.content}{END if m.role == 'assistant' else ''}" for m in messages]
            return "".join([*turned, ASSISTANT] if generation_prompt else turned)
        text = self._text(messages, generation_prompt)
        begins = generation_prompt and not (messages and messages[-1].role == "assistant")
        return text + self.opening if begins else text

    def _text(self, messages: Sequence[Message], generation_prompt: bool) -> str:
        turns = self._fold(messages) if self.folds_system else messages
        tools = tools_of(turns)
        text: str = self.tokenizer.apply_chat_template(
            [self._plain(m) for m in turns],
            tools=tools,
            chat_template=self._source(tools),
            tokenize=False,
            add_generation_prompt=generation_prompt,
            **({"plaudit_dates": self.dates} if self.dates else {}),
        )
        return text

    def _named(self) -> dict[str, str]:
        named = self.tokenizer.chat_template
        if not isinstance(named, dict):
            return {"default": named}
        if "default" not in named:
            names = ", ".join(sorted(named))
            raise UserError(
                f"the tokenizer has several chat templates ({names}) and none of them is the default",
                remedy=f"choose one: --set policy.chat_template={min(named)} (check: --chat-template {min(named)}), "
                "or keep the one in the model's folder as chat_template.jinja",
            )
        return dict(named)

    def _source(self, tools: Any) -> str:
        # As transformers does: the template for tools if the conversation has any.
        return self._sources.get("tool_use" if tools else "default") or self._sources["default"]

    def _plain(self, message: Message) -> dict[str, Any]:
        if not message.more:
            return {"role": message.role, "content": message.content}
        row = {"role": message.role, "content": message.content, **message.more}
        row.pop("tools", None)
        if "tool_calls" in row:
            content, as_text = self.call_style or (None, False)
            row["tool_calls"] = [_styled(call, as_text) for call in row["tool_calls"]]
            row["content"] = row["content"] or content
        return row

    @cached_property
    def call_style(self) -> tuple[str | None, bool] | None:
        """How the template takes tool calls: (the empty content, arguments as text); None if it takes none."""
        if self.is_own:
            return None
        for style in ((None, False), ("", False), (None, True), ("", True)):
            self.__dict__["call_style"] = style
            try:
                text = self._text((USER_PROBE, CALL_PROBE), False)
            except REFUSALS:
                continue
            if "qzfunction" in text and "qzargument" in text:
                return style
        return None

    @cached_property
    def opening(self) -> str:
        """What begins an assistant turn if the template ignores ``add_generation_prompt``; else empty."""
        try:
            plain, begun = self._text((USER_PROBE,), False), self._text((USER_PROBE,), True)
            whole = self._text((USER_PROBE, ANSWER_PROBE), False)
        except REFUSALS:
            return ""
        if plain != begun or not whole.startswith(plain):
            return ""
        head = whole[len(plain) : whole.find(ANSWER_PROBE.content)]
        thought = min((head.find(mark) for mark in OPENERS if mark in head), default=len(head))
        # A space before the answer belongs to its first token.
        head = head[:thought].rstrip(" ")
        return head if head.strip() else ""

    def _refuses_system(self) -> bool:
        # Some templates raise on a system turn, some drop it silently; both lose instructions.
        try:
            return "qzsystem" not in self.text((Message("system", "qzsystem"), USER_PROBE))
        except REFUSALS:
            return True

    @staticmethod
    def _fold(messages: Sequence[Message]) -> Sequence[Message]:
        """A leading system turn becomes the first paragraph of the first user turn."""
        if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
            return messages
        first = messages[1]
        more = {**messages[0].more, **first.more}
        return (Message("user", f"{messages[0].content}\n\n{first.content}", more), *messages[2:])

    def scaffold(self) -> str:
        """What the template itself writes around turns: a rendering of two empty ones."""
        return self.text((Message("user", ""), Message("assistant", "")), generation_prompt=True)

    def written(self) -> str:
        """The Jinja sources: they contain everything that the template can write."""
        return "".join(self._sources.values())

    def _find_end(self) -> int:
        probe = ANSWER_PROBE.content
        try:
            text = self.text((USER_PROBE, ANSWER_PROBE))
        except REFUSALS as error:
            raise UserError(
                f"the chat template refuses a question and its answer: {error}",
                remedy="fix the chat_template, or remove it to use plaudit's textual one",
            ) from error
        _, found, tail = text.rpartition(probe)
        control = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        if found:
            for token in self.tokenizer(tail, add_special_tokens=False)["input_ids"]:
                if token in control:
                    return int(token)
        raise UserError(
            f"the chat template closes an assistant turn with no control token{self._next_turn()}, so a model "
            "trained on it could not learn to stop",
            remedy="end assistant turns with eos_token in the chat_template, or remove the template "
            "to use plaudit's textual one",
        )

    def _next_turn(self) -> str:
        """What begins the turn after an answer, if that alone marks the end of the answer; for the error."""
        try:
            text = self.text((USER_PROBE, ANSWER_PROBE, Message("user", "qznext")))
        except REFUSALS:
            return ""
        between = text.rpartition(ANSWER_PROBE.content)[2].partition("qznext")[0].strip()
        return f" (only {between!r}, where the next turn begins, ends it)" if between else ""


def _styled(call: Mapping[str, Any], as_text: bool) -> dict[str, Any]:
    """A tool call with its arguments as text, or parsed from text if that is valid JSON."""
    function = dict(call["function"])
    arguments = function.get("arguments", {})
    if as_text and not isinstance(arguments, str):
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
    elif not as_text and isinstance(arguments, str):
        with suppress(json.JSONDecodeError):
            function["arguments"] = json.loads(arguments)
    return {**call, "function": function}


def tools_of(messages: Sequence[Message]) -> Any:
    """The tools that a turn of the conversation lists, or None."""
    return next((m.more["tools"] for m in messages if m.more and "tools" in m.more), None)


def end_of_turn_id(tokenizer: Any) -> int:
    """The token that closes an assistant turn under the tokenizer's chat template."""
    return ChatTemplate(tokenizer).end_id
