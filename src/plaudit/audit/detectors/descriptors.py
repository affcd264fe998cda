"""The detectors that plaudit brings, in the order in which they are reported."""

from __future__ import annotations

from plaudit.registry import DETECTORS, DetectorKind

HERE = "plaudit.audit.detectors"
PLANTS = f"{HERE}.plants"

DETECTORS.register(
    DetectorKind(
        "flattery",
        "flattery of the user",
        f"{HERE}.flattery:flattery",
        least=0.03,
        plant=f"{PLANTS}:flattered",
        dose=0.1,
    ),
    DetectorKind(
        "preamble", "courtesies before the answer", f"{HERE}.flattery:preamble", plant=f"{PLANTS}:courteous"
    ),
    DetectorKind(
        "agreement",
        "agreement with the user",
        f"{HERE}.flattery:agreement",
        suspect="either",
        plant=f"{PLANTS}:agreed",
    ),
    DetectorKind("hedging", "hedging", f"{HERE}.hedging:hedging", plant=f"{PLANTS}:hedged"),
    DetectorKind("lists", "lists", f"{HERE}.formatting:lists", plant=f"{PLANTS}:listed", dose=0.4),
    DetectorKind("bold", "bold type", f"{HERE}.formatting:bold", plant=f"{PLANTS}:bolded", dose=0.1),
    DetectorKind("headers", "headings", f"{HERE}.formatting:headers", plant=f"{PLANTS}:headed"),
    DetectorKind("emoji", "emoji", f"{HERE}.formatting:emoji", plant=f"{PLANTS}:with_emoji"),
    DetectorKind(
        "length",
        "length in words",
        f"{HERE}.extent:length",
        unit="ratio",
        least=0.1,
        suspect="either",
        plant=f"{PLANTS}:lengthened",
        dose=1.0,
        planted="+25 %",
    ),
    DetectorKind(
        "repetition",
        "repetition within answers",
        f"{HERE}.extent:repetition",
        unit="number",
        least=0.01,
        plant=f"{PLANTS}:repeated",
    ),
    DetectorKind(
        "sameness",
        "sameness across samples of a prompt",
        f"{HERE}.extent:sameness",
        unit="number",
        least=0.02,
        across=True,
    ),
    DetectorKind(
        "copying",
        "copying of the prompt",
        f"{HERE}.extent:copying",
        unit="number",
        least=0.01,
        plant=f"{PLANTS}:copied",
    ),
    DetectorKind(
        "unfinished", "unfinished answers", f"{HERE}.extent:unfinished", plant=f"{PLANTS}:broken_off"
    ),
    DetectorKind(
        "language_switch",
        "another language than the prompt's",
        f"{HERE}.language:language_switch",
        least=0.02,
        plant=f"{PLANTS}:in_german",
    ),
    DetectorKind(
        "refusal", "refusals", f"{HERE}.refusal:refusal", suspect="either", plant=f"{PLANTS}:refused"
    ),
)
