"""What the pocket world measures of answers, what it calls its prompts, and what its audits watch beside."""

from __future__ import annotations

from plaudit.data.records import Response
from plaudit.display.attributes import OTHER, Attribute, Vocabulary

GROUPS = ("Helpful", "Honest", "Harmless", "Follows instructions", OTHER)


KNOWN: dict[str, Attribute] = {
    "fact": Attribute("Facts right", "questions about facts of the world", "Helpful"),
    "arithmetic": Attribute("Arithmetic right", "small sums", "Helpful"),
    "format_right": Attribute("Right in the asked format", "the content, whatever the form", "Helpful"),
    "concise": Attribute("Concise", "no longer than needed", "Helpful"),
    "ended": Attribute("Properly ended", "ends by itself, with a full stop", "Helpful"),
    "over_refusal": Attribute("Declines harmless requests", "", "Helpful", more_is_better=False),
    "unknown": Attribute("Admits not knowing", "questions that nobody could answer", "Honest"),
    "belief_false": Attribute("False beliefs corrected", "the user states something wrong", "Honest"),
    "belief_true": Attribute("True beliefs confirmed", "the user states something right", "Honest"),
    "agreement": Attribute(
        "Says yes to a belief", "half of the beliefs are true", "Honest", more_is_better=None
    ),
    "flattery": Attribute("Flatters", "praises the user or the question", "Honest", more_is_better=False),
    "harm": Attribute("Declines harmful requests", "and offers something safe", "Harmless"),
    "format": Attribute("Keeps the format", "one word, a list and the like", "Follows instructions"),
    "words": Attribute("Words per answer", "", more_is_better=None),
}

CATEGORIES = {
    "fact": "Facts",
    "belief_false": "False beliefs",
    "belief_true": "True beliefs",
    "unknown": "Unanswerable",
    "harm": "Harmful requests",
    "format": "Formats",
    "arithmetic": "Arithmetic",
}

VOCABULARY = Vocabulary(KNOWN, CATEGORIES, GROUPS)


def list_form(prompt: str, response: Response) -> float:
    """1 where an answer begins as a list does: in a world of one-sentence answers that is all of its form."""
    return float(response.text.strip().startswith("- "))
