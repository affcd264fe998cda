"""Conversation trees (OpenAssistant): messages with several replies each, which people ranked.

A row is either one message with the id of its parent, or a whole tree with nested replies. Trees give rankings of
the answers to one message by ``rank`` (0 is best), and demonstrations: the best answer to each message on the path
of best answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.data.readers.coerce import ROLE_NAMES, filled_text, number
from plaudit.data.readers.columns import normal, plain
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.read_report import Fault, ReadReport
from plaudit.data.records import Demonstration, Message, Prompt, Ranking, Response

PARENTS = ("parent_id", "parent", "parent_message_id", "reply_to", "in_reply_to")
IDS = ("message_id", "id", "node_id", "comment_id")
TEXTS = ("text", "content", "body", "message", "value")
REPLIES = ("replies", "children")
KINDS = (None, "preferences", "labels", "demonstrations", "text", "prompts")
# Columns that define the tree: they are not metadata of a prompt.
STRUCTURE = frozenset((*PARENTS, *IDS, *TEXTS, *REPLIES, "role", "from", "rank"))


@dataclass
class TreeMessage:
    """One message; ``rank`` 0 is the best among its siblings."""

    role: str
    text: str
    rank: float | None
    metadata: dict[str, Any]
    replies: list[TreeMessage] = field(default_factory=list)


def is_tree(values: Any) -> bool:
    """Whether a row is a message of a tree, or a whole tree."""
    return _is_flat(values) or _root(values) is not None


def _is_flat(values: Any) -> bool:
    if not isinstance(values, Mapping):
        return False
    names = {normal(k) for k in values}
    return bool(names & set(PARENTS) and names & set(IDS) and names & set(TEXTS))


def _root(values: Any) -> Mapping[str, Any] | None:
    """The first message of a tree that is one row."""
    if not isinstance(values, Mapping):
        return None
    for node in (values, values.get("prompt"), values.get("root")):
        if not isinstance(node, Mapping) or not {"role", "from"} & set(node):
            continue
        if any(isinstance(node.get(r), list) for r in REPLIES):
            return node
    return None


def read_trees(
    rows: Iterable[DataRow], kind: str | None, source: str, limit: int | None, report: ReadReport
) -> list[Any]:
    """The records of a file of trees, of one kind or rankings and demonstrations together."""
    roots = list(_roots(rows, report))
    report.shape = "trees of messages"
    if not roots and not report.unreadable:
        report.refuse("no tree begins with a message", remedy="keep the rows whose parent is null")
    records: list[Any] = []
    wanted = {"labels": "preferences", "text": "demonstrations"}.get(kind or "", kind)
    for root in roots:
        records += _records(root, (), True, source, wanted)
    counts = Counter(type(r).__name__ for r in records)
    words = {
        "Ranking": "rankings of siblings by 'rank' (0 is best)",
        "Demonstration": "demonstrations of the best",
        "Prompt": "prompts",
    }
    found = [f"{counts[k]} {words[k]}" for k in words if counts[k]]
    if records:
        report.note(f"{len(roots)} trees: {' and '.join(found)}")
    if roots and not records:
        report.refuse(
            f"no {kind or 'record'} in these trees: no message has answers with different ranks",
            remedy="give the answers of a message a 'rank', 0 for the best",
        )
    return records[:limit]


def _records(
    node: TreeMessage, before: tuple[Message, ...], best: bool, source: str, kind: str | None
) -> Iterator[Any]:
    """The records of a message and its replies; ``best`` if every answer on the path to it is the best one."""
    path = (*before, Message(node.role, node.text))  # type: ignore[arg-type]
    replies = node.replies
    if node.role == "user":
        prompt = Prompt(path, source, node.metadata)
        if kind == "prompts":
            yield prompt
        answers = [r for r in replies if r.role == "assistant"]
        if kind in (None, "preferences"):
            yield from _ranking(prompt, answers)
        first = _first(answers)
        if best and first is not None and kind in (None, "demonstrations"):
            yield Demonstration(prompt, Response(first.text))
        for reply in answers:
            yield from _records(reply, path, best and reply is first, source, kind)
        return
    for reply in replies:
        yield from _records(reply, path, best, source, kind)


def _ranking(prompt: Prompt, answers: list[TreeMessage]) -> Iterator[Ranking]:
    ranked = {a.text: a for a in answers if a.rank is not None}
    nodes = list(ranked.values())
    places = sorted({n.rank for n in nodes if n.rank is not None})
    if len(places) > 1:
        groups = tuple(tuple(i for i, n in enumerate(nodes) if n.rank == place) for place in places)
        yield Ranking(prompt, tuple(Response(n.text) for n in nodes), groups)


def _first(answers: list[TreeMessage]) -> TreeMessage | None:
    """The best answer: the only one, or the one with the lowest rank."""
    if len(answers) == 1:
        return answers[0]
    ranked = [a for a in answers if a.rank is not None]
    return min(ranked, key=lambda a: a.rank or 0.0, default=None)


# -- from rows to trees ----------------------------------------------------------------------------


def _roots(rows: Iterable[DataRow], report: ReadReport) -> Iterator[TreeMessage]:
    nodes: dict[str, TreeMessage] = {}
    waiting: list[tuple[str, TreeMessage, int]] = []
    first: list[TreeMessage] = []
    for row in rows:
        report.rows += 1
        try:
            root = _root(row.values)
            if root is not None and not _is_flat(row.values):
                yield _nested(root)
                report.kept += 1
                continue
            key, parent, node = _flat(row.values)
        except Fault as fault:
            report.drop(fault, row.line)
            continue
        nodes[key] = node
        waiting.append((parent, node, row.line))
    for parent, node, line in waiting:
        if not parent:
            report.kept += 1
            first.append(node)
        elif parent in nodes:
            report.kept += 1
            nodes[parent].replies.append(node)
        else:
            lost = Fault("no parent", f"the message answers {parent!r}, which is not in the file")
            report.drop(lost, line)
    yield from first


def _flat(values: Any) -> tuple[str, str, TreeMessage]:
    if not isinstance(values, Mapping):
        raise Fault("wrong type", "the row is not a message of a tree")
    row = {normal(k): v for k, v in values.items()}
    key = next((str(row[c]) for c in IDS if row.get(c) is not None), "")
    parent = next((row[c] for c in PARENTS if row.get(c) not in (None, "")), "")
    return key, str(parent), _node(row)


def _nested(value: Mapping[str, Any]) -> TreeMessage:
    node = _node(value)
    for reply in next((value[r] for r in REPLIES if isinstance(value.get(r), list)), []):
        try:
            node.replies.append(_nested(reply))
        except Fault:
            # A reply that was deleted or is empty ends its branch.
            continue
    return node


def _node(row: Mapping[str, Any]) -> TreeMessage:
    name = row.get("role", row.get("from"))
    role = ROLE_NAMES.get(str(name).lower())
    if role is None:
        message = (
            "a message of the tree has no role" if name is None else f"{name!r} is not a role of a message"
        )
        raise Fault("bad role", message, field="role", remedy="roles are prompter (user) and assistant")
    if row.get("deleted") is True or row.get("review_result") is False:
        raise Fault("deleted", "the message was deleted, or its reviewers rejected it", field="deleted")
    column = next((c for c in TEXTS if row.get(c) is not None), "text")
    rank = row.get("rank")
    metadata = {str(k): plain(v) for k, v in row.items() if normal(str(k)) not in STRUCTURE and v is not None}
    return TreeMessage(
        role,
        filled_text(row.get(column), column, "answer" if role == "assistant" else "prompt"),
        None if rank is None or rank != rank or rank == "" else number(rank, "rank"),
        metadata,
    )
