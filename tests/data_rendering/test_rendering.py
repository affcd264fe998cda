"""Rendering: what is a prompt, what is trained, what is dropped, and what blocks."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from chat_tokenizers import FAMILIES, base, brackets, chatml, headers, make, no_system, ours, trailing_eos
from hypothesis import given, settings, strategies as st

from plaudit.data.records import (
    Comparisons,
    Demonstration,
    Message,
    Outcome,
    Prompt,
    Ranking,
    Response,
)
from plaudit.data.rendering.chat_template import ChatTemplate, ensure_template
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import UserError

TURNS = (
    Message("user", "Where does an owl live?"),
    Message("assistant", "In a tree."),
    Message("user", "What is 12 plus 30?"),
)
ANSWER = Response("It is 42.")


@pytest.fixture(params=sorted(FAMILIES))
def tokenizer(request):
    return FAMILIES[request.param]()


def words(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def flat(text: str) -> str:
    """Text up to what lower-casing and space-eating tokenizers keep of it."""
    return "".join(text.lower().split())


# -- prompts and answers -------------------------------------------------------------------------


def test_prompt_and_answer_join_to_what_the_template_says(tokenizer):
    renderer = Renderer(tokenizer)
    prompt = renderer.prompt(TURNS)
    answer = renderer.response_ids(TURNS, ANSWER)
    turns = [m.as_dict() for m in (*TURNS, Message("assistant", ANSWER.text))]
    whole = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)[
        "input_ids"
    ]
    joined = [*prompt, *answer]
    assert whole[: len(joined)] == joined
    assert flat(renderer.decode(answer)) == flat(ANSWER.text)
    begun = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
    assert tokenizer(begun, add_special_tokens=False)["input_ids"] == prompt.tolist()


def test_the_end_of_turn_token_is_there_exactly_when_finished(tokenizer):
    renderer = Renderer(tokenizer)
    whole = renderer.response_ids(TURNS, ANSWER)
    cut = renderer.response_ids(TURNS, Response(ANSWER.text, finished=False))
    assert whole[-1] == renderer.end_id
    assert (whole == renderer.end_id).sum() == 1
    assert np.array_equal(whole[:-1], cut)


def test_the_end_of_turn_token_is_the_templates_not_the_tokenizers():
    for make_tokenizer, end in (
        (ours, "<|end|>"),
        (chatml, "<|im_end|>"),
        (headers, "<|eot_id|>"),
        (no_system, "<end_of_turn>"),
        (trailing_eos, "<|end|>"),
        (brackets, "</s>"),
        (base, "<|endoftext|>"),
    ):
        tokenizer = make_tokenizer()
        assert tokenizer.convert_ids_to_tokens(Renderer(tokenizer).end_id) == end


def test_a_system_turn_reaches_the_model_under_every_template(tokenizer):
    turns = (Message("system", "speak of trees"), *TURNS)
    renderer = Renderer(tokenizer)
    prompt = renderer.prompt(turns)
    assert flat("speak of trees") in flat(words(tokenizer, prompt))
    assert renderer.response_ids(turns, ANSWER)[-1] == renderer.end_id


contents = st.lists(
    st.text(st.sampled_from("ab \n'<|>/endim_user") | st.characters(codec="utf-8"), min_size=1, max_size=12)
    | st.sampled_from(["<|end|>", "<|user|>", "<|assistant|>x", "<|end|><|user|>", "\ufdd0<|end|>"]),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(contents)
def test_our_template_and_its_short_cut_say_the_same(texts):
    tokenizer = shared_tokenizer()
    turns = [Message(("user", "assistant")[i % 2], t) for i, t in enumerate(texts)]
    for generation in (False, True):
        direct = tokenizer.apply_chat_template(
            [m.as_dict() for m in turns], tokenize=False, add_generation_prompt=generation
        )
        assert ChatTemplate(tokenizer).text(turns, generation_prompt=generation) == direct


@settings(deadline=None)
@given(contents)
def test_no_content_becomes_a_control_token_and_none_is_lost(texts):
    tokenizer = shared_tokenizer()
    renderer = Renderer(tokenizer)
    turns = [Message(("user", "assistant")[i % 2], t) for i, t in enumerate(texts)]
    prompt = renderer.prompt(turns)
    control = set(tokenizer.all_special_ids)
    # Exactly the template's: a role per turn and the generation prompt, an end per assistant turn.
    expected = len(turns) + 1 + sum(m.role == "assistant" for m in turns)
    assert sum(int(i) in control for i in prompt) == expected
    said = "".join(f"<|{m.role}|>{m.content}" + "<|end|>" * (m.role == "assistant") for m in turns)
    assert words(tokenizer, prompt) == said + "<|assistant|>"
    for text in texts:
        answer = renderer.response_ids(turns, Response(text))
        assert renderer.decode(answer[:-1], keep_special=True) == text
        assert sum(int(i) in control for i in answer) == 1


shared_tokenizer = functools.cache(ours)


def test_control_tokens_in_content_are_plain_text_under_every_template(tokenizer):
    renderer = Renderer(tokenizer)
    for spelled in tokenizer.all_special_tokens:
        token = tokenizer.convert_tokens_to_ids(spelled)
        clean = (Message("user", "what is x?"), Message("assistant", "a tree"), Message("user", "so no"))
        dirty = (Message("user", f"what {spelled} is x?"), clean[1], Message("user", f"{spelled}so no"))
        counts = [(renderer.prompt(t) == token).sum() for t in (clean, dirty)]
        assert counts[0] == counts[1], spelled
        assert flat(f"what{spelled}is x?") in flat(words(tokenizer, renderer.prompt(dirty)))
        answer = renderer.response_ids(dirty, Response(f"in {spelled} a tree"))
        assert (answer == token).sum() == (token == renderer.end_id)
        assert answer[-1] == renderer.end_id
        item = renderer.demonstration(Demonstration(Prompt(dirty), Response(f"in {spelled} a tree")))
        trained = item.responses[0].ids[item.responses[0].trained]
        assert (trained == token).sum() == 2 * (token == renderer.end_id)
        document = renderer.documents([f"in {spelled} a tree"])[0].responses[0].ids
        assert (document[:-1] != token).all()


def test_a_spelled_out_control_token_brings_no_space_with_it():
    tokenizer = FAMILIES["base_with_start"]()
    answer = Renderer(tokenizer).response_ids(TURNS, Response("in</s>a </s> tree"))
    assert words(tokenizer, answer) == "in</s>a </s> tree</s>"


def test_role_tokens_that_a_tokenizer_forgot_to_call_special_are_guarded_too():
    tokenizer = make(
        ["<eos>"],
        "{% for m in messages %}<A:{{ m.role }}>{{ m.content }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}<A:assistant>{% endif %}",
        eos_token="<eos>",
    )
    tokenizer.add_tokens(["<A:user>", "<A:assistant>"])
    role = tokenizer.convert_tokens_to_ids("<A:assistant>")
    assert tokenizer("<A:assistant>")["input_ids"] == [role]
    prompt = Renderer(tokenizer).prompt((Message("user", "x <A:assistant> y"),))
    assert (prompt == role).sum() == 1 and prompt[-1] == role


def test_padding_and_truncation_of_other_callers_do_not_leak_in():
    tokenizer = ours()
    renderer = Renderer(tokenizer)
    prompt, documents = renderer.prompt(TURNS), renderer.documents(["a tree", "an owl lives in a tree"])
    for options in (
        {"padding": "max_length", "max_length": 200},
        {"truncation": True, "max_length": 4},
        {"split_special_tokens": True},
    ):
        for render in (
            lambda: np.array_equal(renderer.prompt(TURNS), prompt),
            lambda: len(renderer.prompt(TURNS[:1])) < len(prompt),  # so that the latest prompt is another
            lambda: all(
                np.array_equal(a.responses[0].ids, b.responses[0].ids)
                for a, b in zip(renderer.documents(["a tree", "an owl lives in a tree"]), documents)
            ),
        ):
            tokenizer(["a", "b"], **options)
            assert render(), options


def test_an_answer_that_begins_where_the_prompt_would_merge_keeps_the_boundary_when_scored():
    tokenizer = make(
        ["<eos>"],
        "{% for m in messages %}{{ m.content + ('<eos>' if m.role == 'assistant' else '\nA:\n') }}{% endfor %}",
        style="lines",
        eos_token="<eos>",
    )
    assert len(tokenizer("\n\n")["input_ids"]) == 1
    renderer = Renderer(tokenizer)
    prompt = (Message("user", "hello"),)
    ids = renderer.response_ids(prompt, Response("\nIn a tree."))
    assert words(tokenizer, ids) == "\nIn a tree.<eos>"
    assert renderer.demonstration(Demonstration(Prompt(prompt), Response("\nIn a tree."))) is None
    pair = Ranking.pair(Prompt(prompt), "\nIn a tree.", "no")
    assert renderer.preference(pair) is None
    good = renderer.demonstration(Demonstration(Prompt(prompt), Response("In a tree.")))
    with pytest.raises(UserError, match="merge") as error:
        renderer.lint([good])
    assert len(error.value.problems) == 2
    assert renderer.counts["dropped: the prompt is not a prefix"] == 2


def test_an_empty_answer_is_its_end_alone():
    renderer = Renderer(ours())
    for finished in (True, False):
        assert renderer.response_ids(TURNS, Response("", finished=finished)).tolist() == [renderer.end_id]


def test_decoding_with_and_without_control_tokens():
    renderer = Renderer(ours())
    ids = renderer.response_ids(TURNS, ANSWER)
    assert renderer.decode(ids) == "It is 42."
    assert renderer.decode(ids, keep_special=True) == "It is 42.<|end|>"


# -- demonstrations ------------------------------------------------------------------------------


def trained_text(tokenizer, item) -> str:
    segment = item.responses[0]
    return words(tokenizer, segment.ids[segment.trained])


def test_all_assistant_turns_are_trained_and_nothing_else(tokenizer):
    renderer = Renderer(tokenizer)
    item = renderer.demonstration(Demonstration(Prompt(TURNS), ANSWER, weight=2.0))
    end = tokenizer.convert_ids_to_tokens(renderer.end_id)
    assert flat(trained_text(tokenizer, item)) == flat(f"In a tree.{end}It is 42.{end}")
    whole = [*item.prompt, *item.responses[0].ids]
    assert whole == [*renderer.prompt(TURNS), *renderer.response_ids(TURNS, ANSWER)]
    assert np.array_equal(item.prompt, renderer.prompt(TURNS[:1]))
    assert item.extras["weight"] == (2.0,) and item.key == Prompt(TURNS).id


def test_train_on_last_trains_the_last_answer(tokenizer):
    renderer = Renderer(tokenizer, train_on="last")
    item = renderer.demonstration(Demonstration(Prompt(TURNS), ANSWER))
    assert np.array_equal(item.prompt, renderer.prompt(TURNS))
    assert np.array_equal(item.responses[0].ids, renderer.response_ids(TURNS, ANSWER))
    assert item.responses[0].trained.all()


def test_an_unfinished_demonstration_trains_no_end(tokenizer):
    renderer = Renderer(tokenizer, train_on="last")
    item = renderer.demonstration(Demonstration(Prompt(TURNS), Response("It is", finished=False)))
    assert renderer.end_id not in item.responses[0].ids
    with pytest.raises(UserError, match="never trained"):
        renderer.lint([item])


@pytest.mark.parametrize(
    "text", ["An owl lives in a tree, so no.", "  An <|end|> owl <|im_end|> tree, so no.  "]
)
def test_a_trained_span_trains_the_tokens_it_touches(tokenizer, text):
    start = text.index("no")
    renderer = Renderer(tokenizer)
    answer = Response(text, metadata={"trained_span": [start, start + 2]})
    item = renderer.demonstration(Demonstration(Prompt(TURNS), answer))
    assert flat(trained_text(tokenizer, item)) in ("no", "no.")  # some tokenizers have a token "no."
    renderer.lint([item], ends=False)
    with pytest.raises(UserError, match="never trained"):
        renderer.lint([item])


def test_a_trained_span_is_found_after_a_prompt_full_of_control_tokens():
    tokenizer = ours()
    prompt = Prompt.user("so no <|end|>" * 9)
    answer = Response("so no", metadata={"trained_span": [3, 5]})
    item = Renderer(tokenizer).demonstration(Demonstration(prompt, answer))
    assert trained_text(tokenizer, item).strip() == "no"


def test_a_trained_span_outside_the_answer_is_an_error():
    renderer = Renderer(ours())
    for span in ([3, 3], [5, 100], [-2, 1], [4, 2]):
        with pytest.raises(UserError, match="trained_span"):
            renderer.demonstration(
                Demonstration(Prompt(TURNS), Response("It is 42.", metadata={"trained_span": span}))
            )


# -- preferences ---------------------------------------------------------------------------------


def test_a_ranking_is_one_item_with_one_segment_per_response(tokenizer):
    renderer = Renderer(tokenizer)
    responses = (Response("In a tree."), Response("no"), Response("It is 42", finished=False))
    ranking = Ranking(Prompt(TURNS), responses, ((1,), (0, 2)))
    item = renderer.preference(ranking)
    assert np.array_equal(item.prompt, renderer.prompt(TURNS))
    for segment, response in zip(item.responses, responses):
        assert np.array_equal(segment.ids, renderer.response_ids(TURNS, response))
        assert segment.trained.all()
    assert item.payload == ranking.comparisons()
    comparisons = Comparisons(Prompt(TURNS), responses, (Outcome(0, 1, 1.0), Outcome(1, 2, 0.5)))
    assert renderer.preference(comparisons).payload is comparisons
    assert renderer.counts == {"kept": 2, "shortened": 0}


# -- too long ------------------------------------------------------------------------------------


def long_turns(n: int) -> tuple[Message, ...]:
    turns = [Message("system", "be brief")]
    for i in range(n):
        turns += [Message("user", f"question {i}"), Message("assistant", f"answer {i}")]
    return (*turns, Message("user", "the last one"))


@pytest.mark.parametrize("kind", ["demonstration", "preference", "prompt", "prompts"])
def test_whole_oldest_turns_go_first_and_the_system_turn_stays(kind):
    tokenizer = ours()
    turns = long_turns(6)
    kept = (turns[0], *turns[-3:])
    limit = len(Renderer(tokenizer).prompt(kept))
    renderer = Renderer(tokenizer, max_prompt_length=limit + 3, train_on="last")
    prompt = Prompt(turns)
    got = {
        "demonstration": lambda: renderer.demonstration(Demonstration(prompt, ANSWER)).prompt,
        "preference": lambda: renderer.preference(Ranking.pair(prompt, "a", "b")).prompt,
        "prompt": lambda: renderer.prompt(turns),
        "prompts": lambda: renderer.prompts([prompt])[1][0],
    }[kind]()
    assert np.array_equal(got, Renderer(tokenizer).prompt(kept))
    if kind != "prompt":
        assert renderer.counts == {"kept": 1, "shortened": 1}


def test_a_preference_answer_is_never_cut_its_item_is_dropped():
    tokenizer = ours()
    prompt = Prompt(TURNS)
    shortest = len(Renderer(tokenizer).prompt(TURNS[-1:]))
    long = "tree " * 30
    room = len(Renderer(tokenizer).response_ids(TURNS, Response(long)))
    fits = Renderer(tokenizer, max_length=shortest + room)
    item = fits.preference(Ranking.pair(prompt, long, "no"))
    assert len(item.responses[0]) == room and len(item.prompt) == shortest
    tight = Renderer(tokenizer, max_length=shortest + room - 1)
    assert tight.preference(Ranking.pair(prompt, long, "no")) is None
    assert tight.demonstration(Demonstration(prompt, Response(long))) is None
    assert tight.counts == {"dropped: too long": 2}
    assert Renderer(tokenizer, max_prompt_length=2).prompts([prompt]) == ([], [])
    with pytest.raises(UserError, match="too long"):
        Renderer(tokenizer, max_prompt_length=2).prompt(TURNS)


def test_no_item_is_longer_than_the_limit(tokenizer):
    for limit in range(10, 80, 7):
        renderer = Renderer(tokenizer, max_length=limit)
        items = [
            renderer.demonstration(Demonstration(Prompt(long_turns(4)), ANSWER)),
            renderer.preference(Ranking.pair(Prompt(long_turns(4)), ANSWER.text, "no")),
            *renderer.documents(["An owl lives in a tree, so no. " * 9]),
        ]
        assert all(item.longest <= limit for item in items if item is not None)
        assert sum(renderer.counts[k] for k in renderer.counts if k != "shortened") == 3


def test_empty_answers_are_dropped_and_counted():
    renderer = Renderer(ours())
    cut = Response("", finished=False)
    assert renderer.demonstration(Demonstration(Prompt(TURNS), cut)) is None
    assert renderer.preference(Ranking(Prompt(TURNS), (cut, ANSWER), ((1,), (0,)))) is None
    assert renderer.counts == {"dropped: empty answer": 2}


def test_half_a_surrogate_pair_is_dropped_and_counted():
    renderer = Renderer(ours())
    prompt = Prompt.user("a \ud800 b")
    assert renderer.demonstration(Demonstration(prompt, ANSWER)) is None
    assert renderer.demonstration(Demonstration(Prompt(TURNS), Response("\udc00"))) is None
    assert renderer.preference(Ranking.pair(prompt, "a", "b")) is None
    assert len(renderer.documents(["a", "\ud800", "b \U0001f600"])) == 2
    assert renderer.counts == {"dropped: not valid Unicode": 4, "kept": 2}


def test_what_a_template_refuses_is_dropped_with_its_reason():
    tokenizer = make(
        ["<eos>"],
        "{% for m in messages %}{% if m.role != ('user', 'assistant')[loop.index0 % 2] %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
        "{{ m.role + ':' + m.content }}<eos>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
        eos_token="<eos>",
    )
    renderer = Renderer(tokenizer)
    twice = Prompt((Message("user", "a"), Message("user", "b")))
    assert renderer.demonstration(Demonstration(twice, ANSWER)) is None
    assert renderer.counts == {"dropped: the chat template refuses it (roles must alternate)": 1}


# -- documents -----------------------------------------------------------------------------------


def test_a_document_is_start_text_and_end():
    tokenizer = ours()
    (item,) = Renderer(tokenizer).documents(["An owl lives in a tree."])
    assert words(tokenizer, item.prompt) == "<|text|>"
    assert words(tokenizer, item.responses[0].ids) == "An owl lives in a tree.<|end|>"
    assert item.responses[0].trained.all()
    gpt = Renderer(base())
    assert gpt.documents(["a"])[0].prompt.tolist() == [gpt.end_id]


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=6), st.integers(4, 20)
)
def test_documents_lose_nothing_when_they_are_cut(texts, limit):
    tokenizer = shared_tokenizer()
    items = Renderer(tokenizer, max_length=limit).documents(texts)
    joined = [words(tokenizer, np.concatenate([i.responses[0].ids for i in items]))]
    assert joined == ["".join(t + "<|end|>" for t in texts)]
    assert all(i.longest <= limit for i in items)


# -- what blocks ---------------------------------------------------------------------------------


def test_no_trained_token_blocks():
    with pytest.raises(UserError, match="no token is trained"):
        Renderer(ours()).lint([])


def test_two_begin_tokens_block():
    tokenizer = headers()
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    renderer = Renderer(tokenizer)
    for render in (
        lambda: renderer.prompt(TURNS),
        lambda: renderer.demonstration(Demonstration(Prompt(TURNS), ANSWER)),
        lambda: renderer.preference(Ranking.pair(Prompt(TURNS), "a", "b")),
    ):
        with pytest.raises(UserError, match="more than once"):
            render()


def test_a_template_that_never_ends_an_answer_blocks():
    tokenizer = chatml()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    with pytest.raises(UserError, match="no control token"):
        Renderer(tokenizer)


def test_answers_follow_their_prompts_where_a_template_changes_these_once_an_answer_follows():
    tokenizer = chatml()
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    renderer = Renderer(tokenizer)
    one, two = renderer.demonstrations(Demonstration(Prompt(TURNS), ANSWER))
    for item, turns, answer in ((one, TURNS[:1], "In a tree."), (two, TURNS, "It is 42.")):
        assert np.array_equal(item.prompt, renderer.prompt(turns))
        assert trained_text(tokenizer, item) == f"{answer}<|im_end|>"
    assert renderer.counts["kept"] == 1 and renderer.counts["conversations trained turn by turn"] == 1
    pair = renderer.preference(Ranking.pair(Prompt(TURNS), "a", "b"))
    assert np.array_equal(pair.prompt, renderer.prompt(TURNS))
    assert words(tokenizer, pair.responses[1].ids) == "b<|im_end|>"


def test_a_tokenizer_that_cannot_end_a_text_blocks():
    with pytest.raises(UserError, match="neither a chat template nor an end"):
        Renderer(make([], None))


def test_the_textual_template_begins_as_the_tokenizer_does_and_adds_no_token():
    for name in ("base", "base_with_start", "encoder"):
        tokenizer = FAMILIES[name]()
        size = len(tokenizer)
        ensure_template(tokenizer)
        assert len(tokenizer) == size
        prompt = Renderer(tokenizer).prompt(TURNS[:1]).tolist()
        begun = [] if name == "base" else tokenizer("x")["input_ids"][:1]
        assert prompt[: len(begun)] == begun
        said = words(tokenizer, prompt[len(begun) :])
        assert flat(said) == flat(f"Human:\n{TURNS[0].content}\n\nAssistant:\n")


def test_the_template_is_saved_with_the_tokenizer(tmp_path):
    from transformers import AutoTokenizer

    for name in ("ours", "base", "encoder"):
        tokenizer = FAMILIES[name]()
        prompt = Renderer(tokenizer).prompt(TURNS)
        tokenizer.save_pretrained(tmp_path / name)
        again = AutoTokenizer.from_pretrained(tmp_path / name)
        assert again.chat_template == tokenizer.chat_template
        assert np.array_equal(Renderer(again).prompt(TURNS), prompt)
