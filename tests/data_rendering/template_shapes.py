"""Chat templates of every shape that public models ship, and by hand what each says and what of it is trained.

``by_hand(turns)`` writes the items that a conversation is trained on, trained stretches between ▸ and ◂.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chat_tokenizers import make

Turn = tuple[str, str]
THINK = ("<think>", "</think>")


@dataclass(frozen=True)
class Shape:
    tokenizer: Callable[[], Any]
    by_hand: Callable[[Sequence[Turn]], list[str]]


def mark(text: str) -> str:
    return f"▸{text}◂"


def said(content: str) -> str:
    """An answer without its thought."""
    return content.rpartition("</think>")[2].strip()


def one_each(whole: Callable[[Sequence[Turn]], str]) -> Callable[[Sequence[Turn]], list[str]]:
    """One item a trained turn: the conversation up to it, in which it alone is trained."""

    def items(turns: Sequence[Turn]) -> list[str]:
        return [whole(turns[: i + 1]) for i, (role, _) in enumerate(turns) if role == "assistant"]

    return items


def whole(write: Callable[[str, str, int], str], before: str = "") -> Callable[[Sequence[Turn]], list[str]]:
    """One item: every turn as ``write(role, content, index)`` says."""
    return lambda turns: [before + "".join(write(r, c, i) for i, (r, c) in enumerate(turns))]


# -- ChatML, and what it became ------------------------------------------------------------------

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def chatml_whose_bos_opens_every_turn() -> Any:
    """SmolLM2, and TRL's setup_chat_format: a system turn of its own where there is none."""
    return make(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}"
        + CHATML
        + ASK,
        style="lines",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        thoughts=THINK,
    )


def by_hand_chatml(default: str = "") -> Callable[[Sequence[Turn]], list[str]]:
    def write(role: str, content: str, i: int) -> str:
        first = default if i == 0 and role != "system" else ""
        body = mark(content + "<|im_end|>") if role == "assistant" else content + "<|im_end|>"
        return f"{first}<|im_start|>{role}\n{body}\n"

    return whole(write)


def no_generation_prompt() -> Any:
    """ChatML that ignores ``add_generation_prompt``."""
    return make(["<|im_start|>", "<|im_end|>"], CHATML, style="bytes", eos_token="<|im_end|>", thoughts=THINK)


QWEN3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role != 'assistant' %}{{ m.content }}{% else %}{% set content = m.content %}{% set thought = '' %}"
    "{% if m.reasoning_content is string %}{% set thought = m.reasoning_content %}{% elif '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{% if loop.index0 > ns.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ content }}{% endif %}"
    "<|im_end|>\n{% endfor %}"
)


def thoughts_of_earlier_turns_go() -> Any:
    """Qwen3: the last turn has a thought, an empty one if need be; earlier turns lose theirs."""
    return make(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        QWEN3 + ASK,
        style="lines",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        thoughts=THINK,
    )


def thought_begun_by_the_prompt() -> Any:
    """Qwen3.5 thinking: the same, and the generation prompt opens the thought."""
    ask = "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    return make(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        QWEN3 + ask,
        style="lines",
        eos_token="<|im_end|>",
        thoughts=THINK,
    )


def by_hand_qwen3(opened: bool) -> Callable[[Sequence[Turn]], list[str]]:
    def write(turns: Sequence[Turn]) -> str:
        *before, (_, answer) = turns
        text = "".join(
            f"<|im_start|>{r}\n{said(c) if r == 'assistant' else c}<|im_end|>\n" for r, c in before
        )
        full = answer if "<think>" in answer else f"<think>\n\n</think>\n\n{answer}"
        given = "<think>\n" if opened else ""
        return f"{text}<|im_start|>assistant\n{given}{mark(full.removeprefix(given) + '<|im_end|>')}"

    return one_each(write)


# -- DeepSeek R1, gpt-oss ------------------------------------------------------------------------


def thought_that_the_template_cannot_write() -> Any:
    """DeepSeek-R1 and its distillations: thoughts are cut from every answer, the prompt opens one."""
    return make(
        ["<s>", "<|pad|>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}"
        "{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% endif %}"
        "{% if m.role == 'assistant' %}{% set content = m.content %}{% if '</think>' in content %}"
        "{% set content = content.split('</think>')[-1] %}{% endif %}"
        "<｜Assistant｜>{{ content }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}",
        style="bytes",
        bos_token="<s>",
        eos_token="<｜end▁of▁sentence｜>",
        thoughts=THINK,
    )


def by_hand_r1(turns: Sequence[Turn]) -> str:
    *before, (_, answer) = turns
    text = "<s>" + "".join(c for r, c in before if r == "system")
    for role, content in before:
        text += f"<｜User｜>{content}" if role == "user" else ""
        if role == "assistant":
            text += f"<｜Assistant｜>{content.rpartition('</think>')[2]}<｜end▁of▁sentence｜>"
    rest = answer.removeprefix("<think>\n")
    return f"{text}<｜Assistant｜><think>\n{mark(rest + '<｜end▁of▁sentence｜>')}"


def another_end_for_the_last_turn() -> Any:
    """gpt-oss: the last turn ends with <|return|>, turns before it with <|end|>, as everybody's do."""
    return make(
        ["<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>"],
        "<|start|>system<|message|>Today is {{ strftime_now('%Y-%m-%d') }}.<|end|>"
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% if 'thinking' in m and loop.last %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>"
        "{% endif %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
        "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}"
        "{% else %}<|start|>{{ 'developer' if m.role == 'system' else m.role }}<|message|>{{ m.content }}<|end|>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        style="lines",
        eos_token="<|return|>",
        thoughts=THINK,
    )


def by_hand_harmony(turns: Sequence[Turn]) -> str:
    *before, (_, answer) = turns
    text = "<|start|>system<|message|>Today is 2026-01-05.<|end|>"
    for role, content in before:
        final = "<|channel|>final" if role == "assistant" else ""
        name = "developer" if role == "system" else role
        text += f"<|start|>{name}{final}<|message|>{content}<|end|>"
    return f"{text}<|start|>assistant{mark(f'<|channel|>final<|message|>{answer}<|return|>')}"


# -- role tokens and headers ---------------------------------------------------------------------


def headers_and_trimmed_contents() -> Any:
    """Llama 3: begin of text, headers, contents trimmed."""
    return make(
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"],
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        style="lines",
        bos=True,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        thoughts=THINK,
    )


def by_hand_headers(role: str, content: str, i: int) -> str:
    body = mark(content + "<|eot_id|>") if role == "assistant" else content + "<|eot_id|>"
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{body}"


def system_folded_into_the_question() -> Any:
    """Gemma: the assistant is called model, system turns are refused."""
    return make(
        ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        style="fallback",
        bos=True,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        thoughts=THINK,
    )


def by_hand_gemma(turns: Sequence[Turn]) -> list[str]:
    if turns[0][0] == "system":
        turns = [("user", f"{turns[0][1]}\n\n{turns[1][1]}"), *turns[2:]]
    text = "<bos>"
    for role, content in turns:
        name, body = (
            ("model", mark(content + "<end_of_turn>"))
            if role == "assistant"
            else (role, f"{content}<end_of_turn>")
        )
        text += f"<start_of_turn>{name}\n{body}\n"
    return [text]


def brackets_with_a_space() -> Any:
    """Mistral 7B v0.1: no generation prompt, a space before the answer, system turns dropped."""
    return make(
        ["<s>", "</s>"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        style="fallback",
        bos=True,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )


def by_hand_brackets(turns: Sequence[Turn]) -> list[str]:
    if turns[0][0] == "system":
        turns = [("user", f"{turns[0][1]}\n\n{turns[1][1]}"), *turns[2:]]
    return ["<s>" + "".join(f"[INST] {c} [/INST]" if r == "user" else mark(f" {c}</s>") for r, c in turns)]


def system_on_the_last_question() -> Any:
    """Mistral v0.3: the system turn stands before the last question, and only while nothing follows it."""
    return make(
        ["<s>", "</s>", "[INST]", "[/INST]"],
        "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}"
        "{% else %}{% set turns = messages %}{% endif %}{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}"
        "{% if loop.last and system is defined %}[INST] {{ system }}\n\n{{ m.content }}[/INST]"
        "{% else %}[INST] {{ m.content }}[/INST]{% endif %}"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        style="bytes",
        bos_token="<s>",
        eos_token="</s>",
        thoughts=THINK,
    )


def by_hand_last_question(turns: Sequence[Turn]) -> list[str]:
    def write(some: Sequence[Turn]) -> str:
        system, some = (some[0][1] + "\n\n", some[1:]) if some[0][0] == "system" else ("", some)
        *before, (_, question), (_, answer) = some
        text = "<s>" + "".join(f"[INST] {c}[/INST]" if r == "user" else f" {c}</s>" for r, c in before)
        return f"{text}[INST] {system}{question}[/INST]{mark(f' {answer}</s>')}"

    if turns[0][0] == "system":
        return one_each(write)(turns)
    return ["<s>" + "".join(f"[INST] {c}[/INST]" if r == "user" else mark(f" {c}</s>") for r, c in turns)]


def end_of_the_whole_behind_the_last_turn() -> Any:
    """Phi-3 and Phi-4: <|end|> closes turns and swallows the white space behind it, another the whole."""
    tokenizer = make(
        ["<s>", "<|endoftext|>"],
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        style="fallback",
        bos_token="<s>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        thoughts=THINK,
    )
    from tokenizers import AddedToken

    names = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
    tokenizer.add_tokens([AddedToken(n, rstrip=True, special=True) for n in names], special_tokens=True)
    return tokenizer


def by_hand_phi(role: str, content: str, i: int) -> str:
    body = mark(content + "<|end|>") if role == "assistant" else content + "<|end|>"
    return f"<|{role}|>\n{body}\n"


def roles_in_marks() -> Any:
    """Granite: <|start_of_role|>…<|end_of_role|>, one end of text for everything; no bos."""
    return make(
        ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"],
        "{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}",
        style="bytes",
        bos_token="<|end_of_text|>",
        eos_token="<|end_of_text|>",
        pad_token="<|end_of_text|>",
        thoughts=THINK,
    )


def by_hand_granite(role: str, content: str, i: int) -> str:
    body = content + "<|end_of_text|>"
    return f"<|start_of_role|>{role}<|end_of_role|>{mark(body) if role == 'assistant' else body}\n"


def tokens_for_turn_and_role() -> Any:
    """Cohere: a token opens the turn, another says whose it is."""
    return make(
        [
            "<BOS_TOKEN>",
            "<EOS_TOKEN>",
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
        ],
        "{{ bos_token }}{% for m in messages %}<|START_OF_TURN_TOKEN|>{{ {'user': '<|USER_TOKEN|>', "
        "'assistant': '<|CHATBOT_TOKEN|>', 'system': '<|SYSTEM_TOKEN|>'}[m.role] }}{{ m.content.strip() }}"
        "<|END_OF_TURN_TOKEN|>{% endfor %}"
        "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}",
        style="lines",
        bos_token="<BOS_TOKEN>",
        eos_token="<|END_OF_TURN_TOKEN|>",
        thoughts=THINK,
    )


def by_hand_cohere(role: str, content: str, i: int) -> str:
    name = {"user": "<|USER_TOKEN|>", "assistant": "<|CHATBOT_TOKEN|>", "system": "<|SYSTEM_TOKEN|>"}[role]
    body = content + "<|END_OF_TURN_TOKEN|>"
    return f"<|START_OF_TURN_TOKEN|>{name}{mark(body) if role == 'assistant' else body}"


def end_where_the_conversation_ends() -> Any:
    """Only the last answer is closed; what follows an earlier one is the next user's own token."""
    return make(
        ["<eos>", "<|user|>", "<|assistant|>", "<|system|>"],
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}",
        style="bytes",
        eos_token="<eos>",
        thoughts=THINK,
    )


def by_hand_unclosed(turns: Sequence[Turn]) -> str:
    *before, (_, answer) = turns
    return "".join(f"<|{r}|>{c}" for r, c in before) + f"<|assistant|>{mark(answer + '<eos>')}"


def line_breaks_between_turns() -> Any:
    """OLMo: the end of text closes answers, a line break follows all but the last."""
    return make(
        ["<|endoftext|>"],
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% if not loop.last %}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}\n<|assistant|>\n{% endif %}",
        style="lines",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
    )


def by_hand_olmo(turns: Sequence[Turn]) -> list[str]:
    return [
        "<|endoftext|>"
        + "\n".join(f"<|{r}|>\n{mark(c + '<|endoftext|>') if r == 'assistant' else c}" for r, c in turns)
    ]


def plain_words() -> Any:
    """Vicuna: no role tokens at all."""
    return make(
        ["<s>", "</s>"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} "
        "{% elif m.role == 'user' %}USER: {{ m.content }} {% else %}ASSISTANT: {{ m.content }}</s>{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        style="bytes",
        bos_token="<s>",
        eos_token="</s>",
    )


def by_hand_vicuna(role: str, content: str, i: int) -> str:
    return {
        "system": f"{content} ",
        "user": f"USER: {content} ",
        "assistant": f"ASSISTANT:{mark(f' {content}</s>')}",
    }[role]


SHAPES = {
    "SmolLM2": Shape(
        chatml_whose_bos_opens_every_turn, by_hand_chatml("<|im_start|>system\nHelp.<|im_end|>\n")
    ),
    "ChatML without generation prompt": Shape(no_generation_prompt, by_hand_chatml()),
    "Qwen3": Shape(thoughts_of_earlier_turns_go, by_hand_qwen3(opened=False)),
    "Qwen3.5": Shape(thought_begun_by_the_prompt, by_hand_qwen3(opened=True)),
    "DeepSeek-R1": Shape(thought_that_the_template_cannot_write, one_each(by_hand_r1)),
    "gpt-oss": Shape(another_end_for_the_last_turn, one_each(by_hand_harmony)),
    "Llama 3": Shape(headers_and_trimmed_contents, whole(by_hand_headers, "<|begin_of_text|>")),
    "Gemma": Shape(system_folded_into_the_question, by_hand_gemma),
    "Mistral v0.1": Shape(brackets_with_a_space, by_hand_brackets),
    "Mistral v0.3": Shape(system_on_the_last_question, by_hand_last_question),
    "Phi": Shape(end_of_the_whole_behind_the_last_turn, whole(by_hand_phi)),
    "Granite": Shape(roles_in_marks, whole(by_hand_granite)),
    "Cohere": Shape(tokens_for_turn_and_role, whole(by_hand_cohere, "<BOS_TOKEN>")),
    "end of the conversation alone": Shape(end_where_the_conversation_ends, one_each(by_hand_unclosed)),
    "OLMo": Shape(line_breaks_between_turns, by_hand_olmo),
    "Vicuna": Shape(plain_words, whole(by_hand_vicuna, "<s>")),
}
