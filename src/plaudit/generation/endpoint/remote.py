"""A remote model: labels and answers through one transport, with a cache, a ledger and requests side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from plaudit.data.records import Message
from plaudit.errors import UserError
from plaudit.generation.endpoint.cache import AnswerCache, content_key
from plaudit.generation.endpoint.ledger import Ledger
from plaudit.generation.endpoint.limits import backoff
from plaudit.generation.endpoint.probe import CHAT, TOP, Capability, choice_of, first_tokens, probe, token_ids
from plaudit.generation.endpoint.transport import EndpointError, FaultyReply, RefusedRequest, Transport
from plaudit.generation.labels import LabelReply, LabelRequest, reading_of
from plaudit.generation.verdict_text import label_in
from plaudit.runs.files import read_json, write_json

WRITTEN = 24  # tokens of a reply whose text must name the label
T = TypeVar("T")


class RemoteModel:
    """A model behind an OpenAI-compatible server (``ChatModel`` and ``LabelModel``).

    Below ``folder`` lie what the server can do (``server.json``), the answers by content (``answers.jsonl``) and the
    ledger. Another model behind the same address than the one that began is an error.
    """

    def __init__(
        self, name: str, transport: Transport, *, folder: Path | None = None, concurrency: int = 8
    ) -> None:
        self.name, self.transport, self.concurrency = name, transport, concurrency
        self.cache = AnswerCache(folder / "answers.jsonl" if folder else None)
        self.capability = _capability(transport, folder)
        self.ids: dict[str, list[int]] = {}
        self.refusals: list[str] = []  # what the server said to conversations that it did not answer
        self.under_way: dict[str, Future[dict[str, Any]]] = {}
        self.lock = threading.Lock()

    @property
    def ledger(self) -> Ledger:
        return self.transport.ledger

    def read(self, questions: Sequence[LabelRequest]) -> list[LabelReply]:
        """Readings in the order of the questions; a reply that names no label is asked for once more, then kept."""
        return self._side_by_side(self._read, questions)

    def draw(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        temperature: float,
        max_new_tokens: int,
        n: int = 1,
        seed: int = 0,
        step: int = 0,
    ) -> list[list[tuple[str, bool]]]:
        """n answers to each conversation, and whether each came to its end by itself.

        One that the server refuses (too long, or filtered) has the answer ``("", False)``; why stands in ``refusals``.
        """
        asked = [(tuple(c), k) for c in conversations for k in range(n)]

        def one(ask: tuple[tuple[Message, ...], int]) -> tuple[str, bool]:
            body = self._body(ask[0], max_new_tokens, temperature)
            if self.capability.temperature:
                body["seed"] = (seed * 1_000_003 + step * 1_009 + ask[1]) % 2**31
            try:
                answer = self._kept(body, {"draw": ask[1], "seed": seed, "step": step}, _text_of)
            except RefusedRequest as refused:
                self.refusals.append(str(refused))
                return "", False
            return answer["text"], answer["finished"]

        answers = self._side_by_side(one, asked)
        return [answers[at : at + n] for at in range(0, len(answers), n)]

    def _read(self, question: LabelRequest) -> LabelReply:
        text_only = self.capability.kind == "text" or question.max_new_tokens > 1
        tokens = max(question.max_new_tokens, WRITTEN if text_only else 1)
        body = self._body(question.messages, tokens, 0.0)
        if not text_only:
            body |= {"logprobs": True, "top_logprobs": TOP}
            if self.capability.kind == "exact":
                body["logprob_token_ids"] = self._label_ids(question.labels)

        def answer(reply: Mapping[str, Any]) -> dict[str, Any]:
            said = _text_of(reply)
            text = said["text"]
            if text_only:
                label = label_in(text, question.labels, cut=not said["finished"])
                return LabelReply(label=label, text=text).as_dict()
            return reading_of(first_tokens(reply), question.labels, text).as_dict()

        def check(reply: Mapping[str, Any]) -> None:
            if not text_only and not first_tokens(reply):
                raise FaultyReply("a reply without the log-probabilities that this server gave before")

        extra = {"labels": question.labels}
        try:
            first = self._kept(body, extra, answer, check=check, keep=lambda a: a["label"] is not None)
            if first["label"] is None:
                first = self._kept(body, {**extra, "again": True}, answer, check=check)
        except RefusedRequest as refused:
            return LabelReply(text=str(refused))
        return LabelReply.of(first)

    def _kept(
        self,
        body: Mapping[str, Any],
        extra: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], dict[str, Any]],
        *,
        check: Callable[[Mapping[str, Any]], None] | None = None,
        keep: Callable[[dict[str, Any]], bool] = lambda a: True,
    ) -> dict[str, Any]:
        """The answer from the cache, or from the server and then kept."""
        key = content_key(
            url=self.transport.address.url, served=self.capability.model, body=body, extra=extra
        )
        with self.lock:
            known = self.cache.get(key)
            if known is not None:
                return known
            other = self.under_way.get(key)
            own: Future[dict[str, Any]] = Future()
            if other is None:
                self.under_way[key] = own
        if other is not None:
            # The same request is under way in another thread: it is paid for once.
            return other.result()
        try:
            answer = self._asked(body, key, read, check)
            if keep(answer):
                self.cache.put(key, answer)
            own.set_result(answer)
        except BaseException as error:
            own.set_exception(error)
            raise
        finally:
            with self.lock:
                del self.under_way[key]
        return answer

    def _asked(
        self,
        body: Mapping[str, Any],
        key: str,
        read: Callable[[Mapping[str, Any]], dict[str, Any]],
        check: Callable[[Mapping[str, Any]], None] | None,
    ) -> dict[str, Any]:
        def checked(reply: Mapping[str, Any]) -> None:
            choice_of(reply)
            self._same_model(reply)
            if check is not None:
                check(reply)

        return read(self.transport.post(CHAT, body, key=key, check=checked))

    def _same_model(self, reply: Mapping[str, Any]) -> None:
        served = reply.get("model")
        if served and served != self.capability.model:
            raise FaultyReply(f"a reply of another model, {served!r} instead of {self.capability.model!r}")

    def _body(self, messages: Sequence[Message], tokens: int, temperature: float) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.transport.address.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            self.capability.limit: tokens,
        }
        if self.capability.temperature:
            body["temperature"] = temperature
        return body

    def _label_ids(self, labels: Sequence[str]) -> list[int]:
        """The ids of the labels' tokens. A server that gave some before gives them again, after a while."""
        name = "\0".join(labels)
        for attempt in range(self.transport.attempts):
            if name in self.ids:
                return self.ids[name]
            if found := token_ids(self.transport, labels):
                self.ids[name] = found
            elif attempt + 1 < self.transport.attempts:
                self.transport.sleep(backoff(attempt, rng=self.transport.random))
        if name not in self.ids:
            raise EndpointError(
                f"{self.transport.address.url} gave token ids before, and now /tokenize fails. What was answered is "
                "kept; start the same command again once the server is well"
            )
        return self.ids[name]

    def _side_by_side(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """``work`` of every item, at most ``concurrency`` at once; after an error nothing new begins.

        Nor after Ctrl-C, which waits for no reply that is under way.
        """
        self.transport.stopped.clear()
        pool = ThreadPoolExecutor(min(self.concurrency, max(len(items), 1)))
        try:
            futures: list[Future[T]] = [pool.submit(work, item) for item in items]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((f for f in done if f.exception() is not None), None)
            pool.shutdown(wait=True, cancel_futures=failed is not None)
        except BaseException:
            self.transport.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        if failed is not None:
            error = failed.exception()
            assert error is not None
            raise error
        return [future.result() for future in futures]


def _text_of(reply: Mapping[str, Any]) -> dict[str, Any]:
    choice = choice_of(reply)
    text = choice["message"].get("content")
    return {
        "text": text if isinstance(text, str) else "",
        "finished": choice.get("finish_reason") != "length",
    }


def _capability(transport: Transport, folder: Path | None) -> Capability:
    """What the server can do, found now; UserError where another model began the work in ``folder``."""
    before = read_json(folder / "server.json") if folder is not None else None
    found = probe(transport)
    if found.model != (transport.address.model if before is None else Capability.of(before).model):
        found = probe(transport)  # one stray reply of a gateway decides nothing
    if folder is None:
        return found
    if before is not None and Capability.of(before).model != found.model:
        raise UserError(
            f"{transport.address.url} serves {found.model!r} now; the judgements in {folder} are of "
            f"{Capability.of(before).model!r}",
            remedy="serve that model again, or begin in a new folder",
        )
    if before is not None:
        return Capability.of(before)
    write_json(folder / "server.json", found.as_dict())
    return found
