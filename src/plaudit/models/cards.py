"""Model cards: the README.md of a saved model, with the code that loads it in plain transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from plaudit.data.rendering.chat_template import end_of_turn_id

POLICY = """\
---
library_name: transformers
pipeline_tag: text-generation
{base}tags: [plaudit]
---

# {title}

{summary}

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
messages = [{{"role": "user", "content": "What is the capital of France?"}}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**prompt, max_new_tokens=64)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
```
"""

REWARD = """\
---
library_name: transformers
pipeline_tag: text-classification
tags: [plaudit, reward-model]
---

# {title}

{summary}

The score of an answer is read at its last token, the one that ends the turn: the chat template's text is cut behind
it (a line break that the template writes there would be another last token). {normal}

```python
{code}
```
"""

_START = """\
import torch
from transformers import {auto}, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {auto}.from_pretrained(folder)
{head}messages = [
    {{"role": "user", "content": "What is the capital of France?"}},
    {{"role": "assistant", "content": "Paris."}},
]
text = tokenizer.apply_chat_template(messages, tokenize=False)
end = {end}
text = text[: text.rindex(end) + len(end)]
ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
with torch.no_grad():
    {score}
print(score)"""

_HEAD = """\
from safetensors.torch import load_file

weight = load_file(f"{folder}/reward_head.safetensors")["score.weight"]
"""
_POOLED = {"last": "[:, -1]", "mean": ".mean(1)"}


def policy_card(title: str, summary: str, base: str | None = None) -> str:
    """The card of a policy: what it is, and how plain transformers answers with it."""
    return POLICY.format(title=title, summary=summary, base=_base(base))


def reward_card(
    title: str,
    summary: str,
    *,
    end: str,
    pooling: str,
    classifier: bool,
    normal: tuple[float, float] | None = None,
    length_power: float = 0.0,
) -> str:
    """The card of a reward model: how an answer is rendered, and code that gives plaudit's raw score.

    ``end`` is the text of the token that ends a turn; ``classifier`` says that `AutoModelForSequenceClassification`
    loads it.
    """
    if classifier:
        auto, head, score = (
            "AutoModelForSequenceClassification",
            "",
            "score = model(input_ids=ids).logits[0, 0].item()",
        )
    else:
        auto, head = "AutoModel", _HEAD
        score = f"score = (model(input_ids=ids).last_hidden_state{_POOLED[pooling]} @ weight.T).item()"
    code = _START.format(auto=auto, head=head, end=json.dumps(end, ensure_ascii=False), score=score)
    words = ["It is the raw score"]
    if length_power:
        words.append(f"to be divided by (tokens of the answer)^{length_power:g}")
    if normal is not None:
        words.append(
            f"in RL it is (score − {normal[0]:.6g}) / {normal[1]:.6g}, so that reference answers score 0 ± 1"
        )
    return REWARD.format(title=title, summary=summary, normal=_sentence(words), code=code)


def _sentence(words: Sequence[str]) -> str:
    return "; ".join(words) + "."


def _base(base: str | None) -> str:
    """The hub's own line for the model that this one came from, where that is one of the hub."""
    return f"base_model: {base}\n" if base else ""


def card_of_reward(model: Any, title: str, summary: str) -> Callable[[bool], str]:
    """The card of this reward model (``models.reward_model``), for either layout on disk."""
    end = str(model.tokenizer.convert_ids_to_tokens(end_of_turn_id(model.tokenizer)))
    normal = (model.mean, model.std) if model.mean is not None and model.std is not None else None
    return lambda classifier: reward_card(
        title,
        summary,
        end=end,
        pooling=model.pooling,
        classifier=classifier,
        normal=normal,
        length_power=model.length_power,
    )
