"""The real sets, where they are present: counts and baselines as their documentation has them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from plaudit.data.baselines import agreement, human_agreement, longer_wins, pair_verdicts
from plaudit.data.readers.convert import converted
from plaudit.data.readers.read import read
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.readers.record_kinds import join_pairs
from plaudit.data.records import Comparisons, Demonstration, Message


def conversion(name, path):
    report = ReadReport(str(path))
    return list(converted(name, path, report)), report


def test_hh_transcripts_are_split_at_the_last_assistant_turn(real):
    result = read(real("hh_harmless_test/harmless-base_test.jsonl.gz"))
    assert result.report.rows == 2312
    assert result.report.dropped == {"prompts differ": 5, "empty answer": 4}
    assert len(result.records) == 2303
    first = result.records[0]
    assert first.prompt.messages[-1] == Message(
        "user", "okay some of these do not have anything to do with pens"
    )
    assert first.responses[0].text.startswith("No, sorry!")
    assert all(r.prompt.messages[0].role == "user" for r in result.records)
    assert longer_wins(result.records) == pytest.approx(0.445, abs=5e-4)


def test_the_four_way_judgements_are_read_with_their_ties(real):
    records, report = conversion("finegrained_rlhf", real("finegrained_rlhf"))
    assert (len(records), report.dropped_rows) == (500, 0)
    assert all(len(r.responses) == 4 and len(r.outcomes) == 6 for r in records)
    assert sum(o.result != 0.5 for r in records for o in r.outcomes) == 2616
    assert longer_wins(records) == pytest.approx(0.512, abs=5e-4)


def test_openassistant_pairs_are_read_and_joined_by_prompt(real):
    result = read(real("oasst_en_val_pairs/oasst_en_val_dialogue.json.gz"))
    assert result.report.rows == 1022
    assert result.report.dropped == {"identical answers": 1}
    assert longer_wins(result.records) == pytest.approx(0.663, abs=5e-4)
    joined = join_pairs(result.records)
    assert len(joined) == 416
    assert sum(len(c.outcomes) for c in joined) == 1021
    assert Counter(len(r.prompt.messages) for r in result.records) == {1: 530, 3: 485, 5: 6}
    from_folder, _ = conversion("oasst", real("oasst_en_val_pairs"))
    assert [(c.prompt.id, c.responses, c.outcomes) for c in from_folder] == [
        (c.prompt.id, c.responses, c.outcomes) for c in joined
    ]


def test_pandalm_has_three_raters_and_the_majorities_of_its_authors(real):
    records, report = conversion("pandalm", real("pandalm"))
    assert (len(records), report.dropped_rows) == (999, 0)
    assert all([o.rater for o in r.outcomes] == [f"annotator{i}" for i in (1, 2, 3)] for r in records)
    verdicts = Counter(pair_verdicts(r)[0, 1] for r in records)
    assert verdicts == {0.5: 105, 1.0: 422, 0.0: 472}
    assert longer_wins(records) == pytest.approx(0.675, abs=5e-4)
    unanimous = sum(len({o.result for o in r.outcomes}) == 1 for r in records)
    assert unanimous == 879


def test_open_instruct_has_graded_judgements_of_which_127_are_repeated(real):
    records, report = conversion("open_instruct_human", real("open_instruct_human"))
    assert (len(records), report.dropped_rows) == (1150, 0)
    strengths = Counter((o.result, o.strength) for r in records for o in r.outcomes)
    assert strengths == {(0.5, None): 376, (1.0, 1.0): 235, (0.0, 1.0): 191, (1.0, 2.0): 188, (0.0, 2.0): 160}
    assert longer_wins(records) == pytest.approx(0.683, abs=5e-4)
    by_instance = defaultdict(list)
    for record in records:
        by_instance[record.metadata["instance"]].append(record)
    repeated = [group[:2] for group in by_instance.values() if len(group) > 1]
    assert len(repeated) == 127
    # Counted over the first two judgements of each, whoever gave them.
    nameless = [[_without_rater(r) for r in group] for group in repeated]
    assert sum(agreement(group).agreeing for group in nameless) / 127 == pytest.approx(0.567, abs=5e-4)
    assert 0.5 < (human_agreement(records) or 0) < 0.7


def _without_rater(record: Comparisons) -> Comparisons:
    return replace(record, outcomes=tuple(replace(o, rater=None) for o in record.outcomes))


@pytest.mark.parametrize(
    "name, count",
    [
        ("gsm8k/train.jsonl.gz", 7473),
        ("gsm8k/test.jsonl.gz", 1319),
        ("gpteacher/codegen-instruct.json.gz", 4535),
        ("gpteacher/roleplay-simple-deduped-roleplay-instruct.json.gz", 1923),
        ("gpteacher/toolformer-dedupe-only-dataset.json.gz", 7673),
    ],
)
def test_demonstrations_are_read_as_they_are(real, name, count):
    result = read(real(name))
    assert len(result.records) == count
    assert all(isinstance(r, Demonstration) for r in result.records)


def test_llmbar_is_read_as_it_is(real):
    folder = real("llmbar")
    records = [r for path in sorted(folder.glob("*.json")) for r in read(path).records]
    assert len(records) == 419
    assert [r.groups for r in records] == [r.groups for r in conversion("llmbar", folder)[0]]
    natural = read(real("llmbar/Natural__dataset.json")).records
    neighbour = read(real("llmbar/Adversarial__Neighbor__dataset.json")).records
    assert longer_wins(natural) == pytest.approx(0.566, abs=5e-4)
    assert longer_wins(neighbour) == pytest.approx(0.119, abs=5e-4)


@pytest.mark.parametrize(
    "name, folder, written, dropped",
    [
        ("taskmaster_reward", "taskmaster_reward", 6885, {"empty answer": 4, "empty prompt": 6}),
        ("taskmaster_dialogues", "taskmaster_reward", 3710, {}),
        ("truthfulqa", "truthfulqa", 817, {}),
        ("truthfulqa_labels", "truthfulqa", 22434 - 67, {"empty answer": 67}),
        ("self_instruct", "self_instruct", 175 + 252, {}),
        ("gsm8k_solutions", "gsm8k", 4 * 1319, {}),
        ("stories", "childrens_stories_cc", 704, {"license CC-BY-NC": 48, "license unknown": 3}),
        ("xstest", "xstest", 5 * 450, {}),
        ("advbench", "advbench", 521, {}),
        ("harmbench", "harmbench", 400, {}),
        ("strongreject", "strongreject", 313, {}),
        ("gsm8k", "gsm8k", 7473 + 1319, {}),
        ("anthropic_evals", "anthropic_evals/persona/agreeableness.jsonl.gz", 1000, {}),
        ("vicuna80", "vicuna80", 13 * 80, {}),
    ],
)
def test_a_conversion_gives_as_many_records_as_the_set_has(real, name, folder, written, dropped):
    records, report = conversion(name, real(folder))
    assert (len(records), dict(report.dropped)) == (written, dropped)


def test_the_labels_of_truthfulqa_and_taskmaster_are_as_published(real):
    records, _ = conversion("truthfulqa_labels", real("truthfulqa"))
    assert sum(r.good for r in records) <= 9484
    assert sum(not r.good for r in records) <= 12950
    records, _ = conversion("taskmaster_reward", real("taskmaster_reward/TM-3-2020_reward.jsonl.gz"))
    assert 573 - 10 <= sum(r.good for r in records) <= 573


def test_refusal_rates_of_xstest_are_those_of_its_paper(real):
    records, _ = conversion(
        "xstest", real("xstest/model_completions__xstest_v2_completions_llama2orig.csv.gz")
    )
    safe = [r for r in records if r.prompt.metadata["safe"]]
    labels = Counter(r.response.metadata["final_label"] for r in safe)
    assert len(safe) == 250
    assert 100 * labels["2_full_refusal"] / 250 == pytest.approx(38.0)
    assert 100 * labels["3_partial_refusal"] / 250 == pytest.approx(21.6)
    assert sum(not r.good for r in safe) == labels["2_full_refusal"] + labels["3_partial_refusal"]


def test_turns_of_rated_dialogues_know_what_was_said_before(real):
    records, report = conversion("topical_chat_rated", real("topical_chat_rated"))
    assert len(records) + report.dropped_rows == 46903
    assert report.dropped["opens the dialogue"] == 2156
    assert Counter(r.score for r in records)[1.0] <= 141
    assert all(r.prompt.messages[-1].role == "user" for r in records)


def test_plain_text_is_read_whole(real):
    import gzip

    path = real("tinystories_4mb/tinystories_cased_0.94MB.txt.gz")
    text = gzip.decompress(path.read_bytes()).decode()
    documents = read(path).records
    assert "".join("".join(documents).split()) == "".join(text.split())
    assert 2000 < sum(map(len, documents)) / len(documents) < 6000
