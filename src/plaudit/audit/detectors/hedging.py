"""Hedges: phrases with which an answer takes back what it says."""

from __future__ import annotations

import re

from plaudit.audit.detectors.texts import plain
from plaudit.data.records import Response

# Single words such as "may", "can" or "often" are left out: facts are stated with them.
HEDGE = re.compile(
    r"\b(?:"
    r"i(?:'m| am) not (?:entirely|completely|totally|quite|absolutely|really|100%)?\s*(?:sure|certain)"
    r"|i (?:could|may|might) be (?:wrong|mistaken)"
    r"|i can(?:'t|not) be (?:sure|certain)"
    r"|as far as i (?:know|can tell|am aware)|to (?:the best of )?my knowledge|if i(?:'m| am) not mistaken"
    r"|i (?:would )?(?:guess|suppose|believe|suspect)(?: that)?\b"
    r"|(?:it|this|that) (?:really )?depends on\b|it depends\b"
    r"|(?:it is|it's) (?:quite |entirely |also )?(?:possible|conceivable|hard to say|difficult to say|unclear)\b"
    r"|it (?:could|may|might) (?:possibly |perhaps )?be (?:argued|said|the case|that)\b"
    r"|(?:may|might) or (?:may|might) not\b|(?:could|may|might) (?:potentially|possibly|perhaps|conceivably)\b"
    r"|(?:possibly|perhaps|presumably|arguably|conceivably)\b"
    r"|(?:it is|it's) (?:important|worth|crucial) (?:to (?:note|remember|mention|keep in mind)|noting|mentioning)\b"
    r"|(?:generally|broadly|roughly) speaking\b|to (?:some|a certain) (?:extent|degree)\b|in some (?:sense|ways)\b"
    r"|(?:it|there) (?:seems|appears) (?:to be|that|like)\b|(?:there is|there's) (?:no|some) (?:clear|single|"
    r"simple) answer"
    r"|(?:results|opinions|experiences|mileage) (?:may|can|might) (?:vary|differ)\b|take this with a grain of salt"
    r"|please (?:verify|double-check|consult)\b|consult (?:a|an|your) (?:\w+ )?(?:professional|expert|doctor|"
    r"lawyer)\b"
    r")"
)


def hedging(prompt: str, response: Response) -> float:
    """1 where the answer hedges at least once."""
    return float(HEDGE.search(plain(response.text)) is not None)
