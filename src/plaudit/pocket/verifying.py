"""What a small model learns to verify from: sentences of the world's documents, each against a corrupted one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from plaudit.data.records import Prompt, Ranking
from plaudit.pocket.facts import Fact, values_of

ASKED = "what is true?"
ENDS = re.compile(r"(?<=[.?!]) ")
THREAD = "q: "


def verified(facts: Sequence[Fact], documents: Sequence[str], count: int, seed: int) -> list[Ranking]:
    """At most ``count`` pairs: a statement that a document makes, above the same with another value of its relation.

    Forum threads are left out, where anybody says anything; so are claims, which stand before what is true. No label of
    a person is read, and every fact occurs, also those that no label is about.
    """
    rng = random.Random(f"verified {seed}")
    known = {f"{fact.statement}.": fact for fact in facts}
    said = [s for d in documents if not d.startswith(THREAD) for s in ENDS.split(d) if s in known]
    records = []
    for sentence in rng.sample(said, min(count, len(said))):
        fact = known[sentence]
        wrong = fact.says(rng.choice(sorted(values_of(fact.relation) - {fact.truth})))
        records.append(Ranking.pair(Prompt.user(ASKED), sentence, f"{wrong}.", rater="documents"))
    return records
