"""Finds out what a server supports: exact label log-probabilities, the most probable tokens, or only text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from plaudit.errors import UserError
from plaudit.generation.endpoint.transport import FaultyReply, RefusedRequest, Transport
from plaudit.generation.labels import ABSENT, text_of_token

CHAT = "/chat/completions"
TOP = 20
# A pair of labels of which the second one is so unlikely that no list of 20 holds it by chance.
LIKELY, UNLIKELY = "A", "Q"
PROBE = "Reply with the letter A and nothing else."
Kind = Literal["exact", "top", "text"]


@dataclass(frozen=True)
class Capability:
    """The capabilities of a server; ``model`` is the name in its replies.

    ``kind``: ``exact`` log-probabilities of the token ids that are asked for, the ``top`` tokens, or ``text`` alone.
    ``limit`` is its name for the length limit, ``temperature`` whether it takes one.
    """

    kind: Kind
    model: str
    top: int = 0
    limit: str = "max_tokens"
    temperature: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Capability:
        return cls(**row)


def probe(transport: Transport) -> Capability:
    """Ask with log-probabilities first, then with less, until the server takes the request.

    UserError with the server's last words where it takes none.
    """
    refused: RefusedRequest | None = None
    for log_probs in (True, False):
        for limit, temperature in (
            ("max_tokens", True),
            ("max_completion_tokens", True),
            ("max_completion_tokens", False),
        ):
            body = request(transport.address.model, PROBE, limit=limit, temperature=temperature)
            if log_probs:
                body |= {"logprobs": True, "top_logprobs": TOP}
            try:
                reply = transport.post(CHAT, body, key="probe", check=choice_of)
                if log_probs and not first_tokens(reply):
                    # Some servers drop them now and then: one reply without them proves nothing.
                    reply = transport.post(CHAT, body, key="probe", check=choice_of)
            except RefusedRequest as error:
                refused = error
                continue
            return _found(transport, reply, body, limit, temperature)
    raise UserError(f"the server refuses every form of plaudit's request: {refused}")


def request(model: str, text: str, *, limit: str, temperature: bool, tokens: int = 1) -> dict[str, Any]:
    """A request of one user turn, greedy where the server takes a temperature."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}], limit: tokens}
    if temperature:
        body["temperature"] = 0
    return body


def _found(
    transport: Transport, reply: Mapping[str, Any], body: Mapping[str, Any], limit: str, temperature: bool
) -> Capability:
    model = str(reply.get("model") or transport.address.model)
    listed = first_tokens(reply)
    if not listed:
        return Capability("text", model, 0, limit, temperature)
    ids = token_ids(transport, (LIKELY, UNLIKELY))
    if ids:
        try:
            exact = transport.post(CHAT, {**body, "logprob_token_ids": ids}, key="probe", check=choice_of)
        except RefusedRequest:
            exact = {}
        named = {text_of_token(t).strip() for t in first_tokens(exact)}
        if {LIKELY, UNLIKELY} <= named:
            return Capability("exact", model, len(listed), limit, temperature)
    # Of a list of one token the other label is never on it: its text says as much.
    kind: Kind = "top" if len(listed) > 1 else "text"
    return Capability(kind, model, len(listed) if kind == "top" else 0, limit, temperature)


def token_ids(transport: Transport, labels: Sequence[str]) -> list[int]:
    """Ids of the one-token variants of labels, from a server that has vLLM's ``/tokenize``; empty from any other."""
    root = transport.address.url.rstrip("/").removesuffix("/v1")
    found: list[int] = []
    for label in labels:
        for variant in (label, f" {label}", f"({label}"):
            reply = transport.ask(
                f"{root}/tokenize",
                {"model": transport.address.model, "prompt": variant, "add_special_tokens": False},
            )
            tokens = reply.get("tokens") if isinstance(reply, dict) else None
            if isinstance(tokens, list) and len(tokens) == 1 and isinstance(tokens[0], int):
                found.append(tokens[0])
            elif reply is None:
                return []
    return found


def choice_of(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice of a reply; ``FaultyReply`` where it has none."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise FaultyReply("a reply without choices")
    if not isinstance(choices[0].get("message"), dict):
        raise FaultyReply("a reply without a message")
    return choices[0]


def first_tokens(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The likeliest first tokens with their log-probabilities; empty where the server gives none.

    Both shapes are read: OpenAI's ``content[0].top_logprobs`` and the older ``top_logprobs[0]`` of a mapping.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return []
    given = choices[0].get("logprobs")
    if not isinstance(given, dict):
        return []
    content = given.get("content")
    if isinstance(content, list) and content and isinstance(content[0], dict):
        top = content[0].get("top_logprobs")
        listed = [t for t in top if isinstance(t, dict)] if isinstance(top, list) else []
    else:
        older = given.get("top_logprobs")
        first = older[0] if isinstance(older, list) and older else {}
        listed = [{"token": t, "logprob": p} for t, p in first.items()] if isinstance(first, dict) else []
    return [t for t in listed if isinstance(t.get("logprob"), int | float) and float(t["logprob"]) > ABSENT]
