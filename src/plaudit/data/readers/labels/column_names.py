"""Classifies a column by its name: a label of the answer, a rating, an aspect of quality, or none of these.

Names are read word by word: ``is_safe``, ``isSafe`` and ``Safe`` mean the same; a lower ``toxicity_score`` is better;
``rating_id`` and ``correct_answer`` are not labels. The values decide the rest (`label_columns`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from plaudit.data.readers.labels.label_values import words

Scope = Literal["label", "whole", "aspect", "unclear"]

# Who judged, what was judged, and function words: they say nothing about good or bad.
JOINING = words("""
    is was are has been be it this the of by as for user users human humans customer client annotator rater
    judge judged evaluator expert crowd gpt gpt3 gpt4 gpt4o llm ai claude rm bot model assistant response
    answer completion output reply message generation text avg average mean median overall total final
    aggregate aggregated marked deemed found fine grained tag auto automatic armorm eval value level flag
    count number num type field rate my our how p prob
""")
WHOLE = words("""
    rating ratings rated score scores reward rewards grade grades graded stars star quality likes
    upvotes votes karma rank ranking csat nps win winrate
""")
LABELS = words("""
    label labels feedback feedbacks thumb thumbs vote verdict judgment judgement judgments reaction
    reactions kto moderation moderated review reviews evaluation evaluations annotation annotations assessment mark
    refusal refusals refused refuse refuses preference decision outcome
""")
# True or higher is better.
GOOD = words("""
    good desirable desired safe correct right accepted accept acceptable approved approve liked like upvoted
    upvote valid passed pass success successful positive satisfied verified useful endorsed recommended
    appropriate grounded resolved solved won up chosen preferred favorite favourite clean compliant passes
    compiles best better winner selected keep kept ok okay works working usable helped helps ethical nontoxic
    nonharmful
""")
ASPECTS = words("""
    helpful helpfulness correctness coherence coherent harmless harmlessness honest honesty truthful
    truthfulness accuracy accurate relevance relevant fluency fluent clarity clear completeness complete
    factuality factual faithfulness faithful engagingness engaging usefulness naturalness consistency
    consistent creativity depth instructionfollowing informative informativeness safety groundedness
    understandability readability satisfaction correctness validity acceptability desirability
""")
# True or higher is worse.
BAD = words("""
    bad undesirable unsafe incorrect wrong disliked dislike downvoted downvote downvotes dislikes toxic
    toxicity harmful harm harmfulness flagged flag offensive offensiveness hate hateful spam nsfw unhelpful
    hallucinated hallucination hallucinations negative inappropriate biased abusive abuse insult obscene
    threat profanity failed fail failure violation violations jailbroken reported deleted removed
    unacceptable invalid severity danger dangerous risk risky sexist racist misinformation down mistakes
    errors rejected jailbreak jailbreaks violate violates violating removed banned worse worst poor error
    blocked discard discarded exclude excluded malicious unethical inaccurate irrelevant untruthful dishonest
    illegal hallucinates hallucinate nonfactual penalty penalties broken buggy
""")
NEGATING = words("not non no")
# Numbers under such a name may rate the answer, and more may be better or worse.
UNSURE = words("place placement position cost average avg mean overall")
# True and false may each be right.
UNDECIDED = words("refusal refusals refused refuse refuses moderation moderated")
# Measurements that are neither better nor worse.
NEUTRAL = words("""
    complexity verbosity difficulty length language lang perplexity ppl confidence similarity tokens entropy
    temperature probability logprob logprobs prompt question input instruct instruction query
""")
# What a task or its source is like: a column of these words alone, `has_code`, is no verdict on an answer.
TASK = words("""
    multi turn turns single code coding program math reasoning think thinking cot tool tools function call calls
    system image images audio video vision multimodal context passage document search rag english translated
    translation synthetic human machine generated model llm ai gpt gpt4 bot auto automatic original augmented edited
    rewritten train training test validation eval dev split source dataset public private open closed domain
    multiple choice mcq long short truncated redacted anonymized pii streaming stream roleplay creative writing
    chat conversation dialogue hard easy difficult answerable unanswerable impossible premium paid mobile seed
    fold group cluster shard batch epoch round step template format formatting persona story list numeric
    markdown html latex duplicate contaminated root leaf final last first num n count level version
""")
FUNCTION = words("""
    is was are has have had been be it this the of by as for a an in to with from and or contains contain uses use
    used requires require needs need includes include
""")
# Last words of names of columns that are not labels: a name, a time, a text about a label.
REFERRING = words("""
    id ids at time timestamp date name names reason reasons comment comments explanation explanations
    rationale url index idx key ratio path file hash version author ref reference references source options
    choices category categories title subject body notes note critique description statement elaboration
    letter letters prompts question questions search context model models labeler labeller
""")
# Columns with these names are labels only if they hold true and false: `accepted_answer` usually holds a text.
CONTENT = words("""
    answer answers response responses completion output text solution option choice rejected
""")
# A column named by one such word may hold the correct answer of a task (a text, a number), or 1 for a good answer and
# 0 for a bad one: the values decide.
TRUTHS = words("gold y target class truth")
# Verdicts on a single answer, also if `rejected` is the other one.
VERDICTS = words("accepted accept approved chosen preferred selected kept rejected")
# The end of a name that tells its scale: `rating_1_to_5`, `Score (0-10)`, `quality/10`.
SCALE = re.compile(
    r"[\s_(\[-]*(?:(?P<low>\d+)[\s_]*(?:to|-|–|/|\.\.+)|out[\s_]of|/)[\s_]*(?P<high>\d+)[\s)\]]*$"
)
# A name with one of these words is about one of two answers.
PAIRED = words("""
    chosen rejected a b 0 1 2 3 4 first second left winner loser
""")


@dataclass(frozen=True)
class LabelName:
    """The meaning of a column's name. ``sense`` is 1 if true or higher is better, -1 if it is worse.

    ``scope``: ``label`` is yes or no, ``whole`` a rating of the answer, ``aspect`` a rating of one quality; ``unclear``
    if a word of the name is unknown. ``truths``: the column is a label only if it holds true and false.
    """

    column: str
    scope: Scope
    sense: int = 1
    truths: bool = False


def words_of(column: str) -> list[str]:
    """The words of a column's name, in lower case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(column).strip())
    joined = re.sub(r"instruction[^a-z0-9]following", "instructionfollowing", spaced.lower())
    joined = SCALE.sub(lambda m: m[0] if m["low"] and not _is_scale(m["low"], m["high"]) else "", joined)
    # `rating2` is a second rating.
    joined = re.sub(r"(?<=[a-z]{4})(?=\d+(?![a-z0-9]))", "_", joined)
    return [w for w in re.split(r"[^a-z0-9]+", joined) if w]


def may_be_verdict(column: str) -> bool:
    """Whether true and false in a column of this name may judge the answer: its words are not all about the task."""
    told = set(words_of(column)) - FUNCTION
    # `prompt_harmful` is about the prompt, `question_answered` about the answer.
    task = TASK | NEUTRAL | (GOOD | BAD | ASPECTS | JOINING if told & NEUTRAL else set())
    return not told <= task and words_of(column)[-1] not in REFERRING


def may_be_rating(column: str) -> bool:
    """Whether numbers in a column of this name may rate the answer, if no other column does."""
    name = set(words_of(column))
    return bool(name & UNSURE) and name <= UNSURE | JOINING


def _is_scale(low: str, high: str) -> bool:
    """Whether a scale may go from low to high; in `rating_1-2` they may also be raters."""
    return {low, high} == {"0", "1"} or int(low) < int(high) > 2


def may_be_binary_label(column: str) -> bool:
    """Whether a column of this name may be a label if it holds only 0 and 1, or true and false."""
    return len(name := words_of(column)) == 1 and name[0] in TRUTHS


def label_name_of(column: str, alone: bool = False) -> LabelName | None:
    """The meaning of a column's name as a label or rating of the answer, or None.

    ``alone``: no row has two answers, so that a number or letter in the name is not one of them, but perhaps a rater.
    """
    name = words_of(column)
    if not name or name[-1] in REFERRING:
        return None
    told = [w for w in name if w not in JOINING and w not in NEGATING]
    if _two_sided(name, set(told)):
        return LabelName(column, "unclear")
    if _is_paired(name):
        one = label_name_of("_".join(w for w in name if w not in PAIRED)) if alone else None
        return one and replace(one, column=column, scope="unclear")
    sense = -1 if set(told) & BAD else 1
    if set(name) & NEGATING or {"rank", "ranking"} & set(name):
        sense = -sense
    scope, unknown = _scope(told)
    if scope is None:
        return _bare(column, name)
    if unknown:
        return LabelName(column, "unclear", sense, scope in ("label", "aspect"))
    truths = name[-1] in CONTENT and name[0] not in ("is", "was", "has")
    return LabelName(column, scope, sense, truths)


def _bare(column: str, name: list[str]) -> LabelName | None:
    """The meaning of words that only join others, but are a label or rating where nothing else is said."""
    if name in (["flag"], ["is", "flag"]):
        return LabelName(column, "label", -1)
    if name == ["overall"]:
        return LabelName(column, "whole")
    return None


def _two_sided(name: list[str], told: set[str]) -> bool:
    """Whether a name says both sides (``pass_fail``, ``good_or_not_good``): then 1 may be either of them."""
    if told & {"chosen", "rejected"}:
        # `rejected_safe` is about one of two answers.
        return "rejected" in told and len(told) > 1 and told <= VERDICTS
    qualities = GOOD | ASPECTS | BAD
    turned = any(w in NEGATING and qualities & set(name[:i]) for i, w in enumerate(name))
    opposite = any(f"{start}{w}" in told for w in told for start in ("un", "in", "ir", "dis"))
    harms = "harmful" in told and bool(told & {"helpful", "harmless"})
    return bool(told & GOOD and told & BAD) or turned or opposite or harms


def _is_paired(name: list[str]) -> bool:
    """Whether a name is about one of two answers; ``is_rejected`` is about a single one."""
    bare = name[1:] if name[0] in ("is", "was") else name
    return len(bare) > 1 and bool(set(bare) & PAIRED)


def _scope(told: list[str]) -> tuple[Scope | None, bool]:
    """The scope of these words, and whether some of them are unknown."""
    known = WHOLE | LABELS | GOOD | ASPECTS | BAD
    unknown = [w for w in told if w not in known]
    if not set(told) & known or set(unknown) & NEUTRAL:
        return None, False
    last = told[-1]
    if set(told) & (ASPECTS | BAD) and (last in WHOLE or set(told) & ASPECTS):
        return "aspect", bool(unknown)
    if set(told) & (GOOD | BAD):
        return "label", bool(unknown)
    if last in WHOLE:
        return "whole", bool(unknown)
    return "label", bool(unknown)
