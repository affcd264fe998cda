"""Finds and reads a model's files: a local folder, or a hub name if the user gives one; safetensors only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING
from transformers.utils.logging import disable_progress_bar

from plaudit.data.rendering.chat_template import choose_template, ensure_template
from plaudit.errors import UserError
from plaudit.models import gguf
from plaudit.models.dropout import without_dropout
from plaudit.models.weight_files import all_there, check_weights
from plaudit.runs.locate import locate

# transformers' progress bars would be drawn over plaudit's.
disable_progress_bar()

# Any of these is a tokenizer: of the library tokenizers, of SentencePiece, or the vocabulary of an older one.
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "*.model", "vocab.*", "*.tiktoken", "tekken.json")
TOKENIZER = ["*.json", "*.txt", "*.model", "*.jinja"]
WANTED = [*TOKENIZER, "*.safetensors"]
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def resolve(
    path: str | Path,
    *,
    revision: str | None = None,
    local_only: bool = False,
    kind: str = "policy",
    wanted: Sequence[str] = WANTED,
) -> Path:
    """The folder that holds the model, however it is named (``plaudit.runs.locate``).

    A ``.gguf`` file is converted, once; only what can be nothing but a hub name is fetched, and never a ``Path``.
    """
    found = locate(path, kind)
    if found.hub is not None:
        if local_only or isinstance(path, Path):
            raise UserError(f"there is no model folder {path}", remedy="check the path")
        return _download(found.hub, revision or found.revision, wanted)
    return gguf.converted(found.folder) if _is_gguf(found.folder) else found.folder


def dequantize(path: str | Path) -> None:
    """Convert what is named, where it is a ``.gguf`` file that no earlier command has converted."""
    if _is_gguf(file := locate(path).folder):
        gguf.converted(file)


def _is_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf" and path.is_file()


def fetched(path: str | Path, revision: str | None = None, kind: str = "policy") -> Path | None:
    """The folder of the model without the network: None for one of the hub that no earlier command has fetched.

    Of a ``.gguf`` file it holds what the file says of its model: the weights wait until they are loaded.
    """
    found = locate(path, kind)
    if found.hub is None:
        return gguf.described(found.folder) if _is_gguf(found.folder) else found.folder
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(found.hub, "config.json", revision=revision or found.revision)
    folder = Path(config).parent if isinstance(config, str) else None
    # What an earlier download left unfinished is fetched anew when it is loaded.
    return folder if folder is not None and all_there(folder) else None


def resolve_tokenizer(path: str | Path, *, revision: str | None = None) -> Path:
    """The folder that holds the model's tokenizer; of the hub no weights are fetched for it."""
    folder = Path(path).expanduser()
    if any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return folder
    if _is_gguf(found := locate(path).folder):
        return gguf.described(found)
    return resolve(path, revision=revision, wanted=TOKENIZER)


def _download(name: str, revision: str | None, wanted: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"there is no folder {name}, and no model of that name could be loaded from the hub "
            f"({type(error).__name__})",
            remedy="check the name, the revision and the network, or give a local folder",
        ) from error


def read_config(folder: Path, *, weights: bool = True) -> Any:
    """The model's config with every dropout at 0; UserError for a folder that holds no loadable model.

    Without ``weights`` a folder that holds none at all will do: what is planned needs none.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no model: config.json is missing")
    if not any(folder.glob("*.safetensors")) and not gguf.is_described(folder):
        pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
        if pickles:
            raise UserError(
                f"{folder} holds weights only as pickles ({', '.join(pickles[:3])}), which can run any code",
                remedy="convert them to safetensors, or use a model that has them",
            )
        if weights:
            raise UserError(
                f"{folder} holds no weights: there is no .safetensors file",
                remedy="copy or download the model's weights into the folder",
            )
    config = read_architecture(folder)
    check_weights(folder)
    return without_dropout(config)


def has_weights(folder: Path) -> bool:
    """Whether any file of weights lies in a model's folder, or in the file that it was read from."""
    there = any(any(folder.glob(pattern)) for pattern in ("*.safetensors", *PICKLES))
    return there or gguf.is_described(folder)


def read_architecture(folder: Path) -> Any:
    """The model's config as it stands; UserError for one that cannot be read, or of what is not computed here."""
    _refuse_by_facts(folder)
    with readable(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _refuse_by_facts(folder: Path) -> None:
    """UserError for what the config alone says cannot be computed: quantized weights, a family's own code."""
    with readable(folder):
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise UserError(
                f"{folder}: config.json holds no JSON object", remedy="mend it, or copy the model again"
            )
        family = facts.get("model_type")
        quantized = facts.get("quantization_config")
    if quantized:
        raise UserError(
            f"{folder}: the weights are quantized ({quantized.get('quant_method', 'unknown')}), "
            "and such weights are neither trained nor sampled here",
            remedy="use the model's unquantized weights",
        )
    if facts.get("auto_map") and family not in CONFIG_MAPPING:
        raise UserError(
            f"{folder}: a model of family {family} needs the code in its own folder, which is never run",
            remedy="use a model of a family that transformers itself knows",
        )
    if family is not None and family not in CONFIG_MAPPING:
        raise UserError(
            f"{folder}: config.json names a model of family {family!r}, which transformers {version('transformers')} "
            "does not know",
            remedy="use a model of another family, or a newer transformers: pip install -U transformers",
        )


def is_encoder(config: Any) -> bool:
    """Whether a config is that of an encoder alone: no policy, but what a reward model may start from."""
    # Encoders such as BERT have causal heads too, which few folders hold: their config says so.
    decoder = getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    both = getattr(config, "is_encoder_decoder", False)
    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not decoder and not both


def refuse_no_decoder(folder: Path, config: Any) -> None:
    """UserError where a config is of a family that has no causal language model, or is that of an encoder."""
    encoder, both = is_encoder(config), getattr(config, "is_encoder_decoder", False)
    if not (both or encoder) and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    kind = "an encoder-decoder" if both else "an encoder" if encoder else "no causal language model"
    remedy = (
        "use a decoder-only text model, of the Llama, Qwen, Gemma, Mistral, Phi or GPT-2 family for example"
    )
    if not both:
        remedy += (
            f"; a reward model may start from it: plaudit reward PREFERENCES --model {folder}, in a recipe "
            f"steps.reward.backbone: {{path: {folder}}}"
        )
    raise UserError(f"{folder}: a {config.model_type} model cannot be a policy: it is {kind}", remedy=remedy)


def check_reward_config(folder: Path, normalization: str) -> None:
    """UserError where the folder's config alone says that it holds no reward model, or none that is normalized."""
    config = read_config(folder)
    facts = getattr(config, "plaudit_reward", None)
    if facts is None and any("CausalLM" in name for name in getattr(config, "architectures", None) or ()):
        raise UserError(
            f"{folder} is a language model, not a reward model",
            remedy="train one from it: plaudit reward PREFERENCES --model " + str(folder),
        )
    if facts is None and config.num_labels != 1:
        raise UserError(
            f"{folder} is not a reward model: it has {config.num_labels} labels instead of one",
            remedy="to start a reward model from this backbone, name it as reward.backbone",
        )
    if normalization == "stored" and (facts or {}).get("std") is None:
        raise UserError(
            f"{folder} stores no mean and std, so its scores cannot be normalized",
            remedy="train it with `plaudit reward`, which stores them, or set normalisation: none in the step",
        )


def read_weights(auto: Any, folder: Path, config: Any, dtype: torch.dtype, ignore: str = "") -> Any:
    """The model with all its weights, in eval mode; UserError where some are not in the files.

    ``ignore`` is a pattern of weights that may be absent because nothing reads them.
    """
    with readable(folder):
        model, info = auto.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    lost = [k for k in info["missing_keys"] if not (ignore and re.search(ignore, k))]
    lost += [str(k[0] if isinstance(k, tuple) else k) for k in info["mismatched_keys"]]
    if lost:
        raise UserError(
            f"{folder} lacks {len(lost)} weights of a {type(model).__name__}: {', '.join(sorted(lost)[:3])}",
            remedy="use the folder of a model of this kind; weights that are missing would be random",
        )
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    # Weights read from a file lie in it at any address, and matrix kernels differ in the last bit by
    # alignment: only aligned copies compute exactly what the model computed before it was saved.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model.eval()


def read_tokenizer(folder: Path, chat_template: str | None = None) -> Any:
    """The folder's tokenizer, with one of its chat templates where that is named, or with one if it has none."""
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        raise UserError(
            f"{folder} holds no tokenizer: {' or '.join(TOKENIZERS[:2])} is missing",
            remedy="copy the tokenizer of the model into its folder",
        )
    with readable(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if chat_template is not None:
        choose_template(tokenizer, chat_template)
    ensure_template(tokenizer)
    return tokenizer


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Convert exceptions of transformers for a bad folder into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers raises many kinds, down to those of its readers
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"{folder} cannot be loaded: {reason}", remedy="mend the folder's files, or copy the model again"
        ) from error
