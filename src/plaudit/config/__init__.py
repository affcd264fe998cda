"""Typed run configuration: the sections of a recipe, with vetted defaults. Free of torch.

An unknown key is an error with a suggestion, and all errors of a recipe are reported at once.
"""

from plaudit.config.base import Fraction, Lora, PolicySource, Positive, Pretrained, Scratch, Section, Training
from plaudit.config.kl import KL, KL_STEP, KlEstimator, KlPlace
from plaudit.config.load import apply_override, leave_out, load_recipe, read_yaml, validate
from plaudit.config.methods import Cpo, Dpo, Kto, Orpo, Pairwise, Referenced, Rejection, Sft, Simpo
from plaudit.config.online import Clipped, Group, Grpo, Online, OnlineDpo, Ppo, Reinforce, Rloo
from plaudit.config.recipe import ROLES, Config, Data, DataSource, Meaning
from plaudit.config.scoring import RewardPart, Scoring
from plaudit.config.sections import Base, Enough, Evaluate, JudgeSpec, Pretrain, Rank, RewardSettings
from plaudit.config.steps import RecipeStep
from plaudit.config.text import text_of

__all__ = [
    "KL",
    "KL_STEP",
    "ROLES",
    "Base",
    "Clipped",
    "Config",
    "Cpo",
    "Data",
    "DataSource",
    "Dpo",
    "Enough",
    "Evaluate",
    "Fraction",
    "Group",
    "Grpo",
    "JudgeSpec",
    "KlEstimator",
    "KlPlace",
    "Kto",
    "Lora",
    "Meaning",
    "Online",
    "OnlineDpo",
    "Orpo",
    "Pairwise",
    "PolicySource",
    "Positive",
    "Ppo",
    "Pretrain",
    "Pretrained",
    "Rank",
    "RecipeStep",
    "Referenced",
    "Reinforce",
    "Rejection",
    "RewardPart",
    "RewardSettings",
    "Rloo",
    "Scoring",
    "Scratch",
    "Section",
    "Sft",
    "Simpo",
    "Training",
    "apply_override",
    "leave_out",
    "load_recipe",
    "read_yaml",
    "text_of",
    "validate",
]
