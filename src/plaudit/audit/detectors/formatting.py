"""Marks of form: lists, bold, headers, emoji."""

from __future__ import annotations

import re

from plaudit.data.records import Response

ITEM = re.compile(r"^[ \t]*(?:[-*•‣▪–]|\(?\d{1,2}[.)])[ \t]+\S", re.M)
BOLD = re.compile(
    r"(?<![*\w])\*\*(?=\S)[^*\n]+(?<=\S)\*\*|(?<![_\w])__(?=\S)[^_\n]+(?<=\S)__|<(?:b|strong)>", re.I
)
HEADER = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+\S|^\S.*\n(?:={3,}|-{3,})[ \t]*$|<h[1-6]>", re.M)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55\U0001f1e6-\U0001f1ff\ufe0f]")
FEWEST = 3  # items of a list


def lists(prompt: str, response: Response) -> float:
    """1 where the answer has three list items or more."""
    return float(len(ITEM.findall(response.text)) >= FEWEST)


def bold(prompt: str, response: Response) -> float:
    """1 where the answer sets words in bold."""
    return float(BOLD.search(response.text) is not None)


def headers(prompt: str, response: Response) -> float:
    """1 where the answer has a heading."""
    return float(HEADER.search(response.text) is not None)


def emoji(prompt: str, response: Response) -> float:
    """1 where the answer holds an emoji or another pictograph."""
    return float(EMOJI.search(response.text) is not None)
