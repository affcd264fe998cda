"""The public names: what type checkers and editors see. At run time each is imported when it is first used."""

from plaudit.advice import (
    Advice as Advice,
)
from plaudit.advice import (
    Recommendation as Recommendation,
)
from plaudit.advice import (
    Situation as Situation,
)
from plaudit.advice import (
    advise as advise,
)
from plaudit.advice import (
    describe_situation as describe_situation,
)
from plaudit.config import (
    KL as KL,
)
from plaudit.config import (
    Config as Config,
)
from plaudit.config import (
    Cpo as Cpo,
)
from plaudit.config import (
    Dpo as Dpo,
)
from plaudit.config import (
    Evaluate as Evaluate,
)
from plaudit.config import (
    Grpo as Grpo,
)
from plaudit.config import (
    Kto as Kto,
)
from plaudit.config import (
    Lora as Lora,
)
from plaudit.config import (
    OnlineDpo as OnlineDpo,
)
from plaudit.config import (
    Orpo as Orpo,
)
from plaudit.config import (
    Ppo as Ppo,
)
from plaudit.config import (
    Pretrain as Pretrain,
)
from plaudit.config import (
    Pretrained as Pretrained,
)
from plaudit.config import (
    Rank as Rank,
)
from plaudit.config import (
    Reinforce as Reinforce,
)
from plaudit.config import (
    Rejection as Rejection,
)
from plaudit.config import (
    RewardSettings as RewardSettings,
)
from plaudit.config import (
    Rloo as Rloo,
)
from plaudit.config import (
    Scratch as Scratch,
)
from plaudit.config import (
    Section as Section,
)
from plaudit.config import (
    Sft as Sft,
)
from plaudit.config import (
    Simpo as Simpo,
)
from plaudit.config import (
    load_recipe as load_recipe,
)
from plaudit.data.checks.check import CheckReport as CheckReport
from plaudit.data.readers.convert import convert_to_file as convert_to_file
from plaudit.data.readers.read import read as read
from plaudit.data.readers.record_kinds import join_pairs as join_pairs
from plaudit.data.records import (
    Comparisons as Comparisons,
)
from plaudit.data.records import (
    Demonstration as Demonstration,
)
from plaudit.data.records import (
    Labelled as Labelled,
)
from plaudit.data.records import (
    Message as Message,
)
from plaudit.data.records import (
    Outcome as Outcome,
)
from plaudit.data.records import (
    Prompt as Prompt,
)
from plaudit.data.records import (
    Ranking as Ranking,
)
from plaudit.data.records import (
    Rated as Rated,
)
from plaudit.data.records import (
    Response as Response,
)
from plaudit.data.records.writers import write_jsonl as write_jsonl
from plaudit.data.rendering.renderer import Renderer as Renderer
from plaudit.data.splits import split as split
from plaudit.errors import Problem as Problem
from plaudit.errors import UserError as UserError
from plaudit.errors import Waiting as Waiting
from plaudit.extend import estimator as estimator
from plaudit.extend import preference_loss as preference_loss
from plaudit.feedback.projects import (
    export_judgements as export_judgements,
)
from plaudit.feedback.projects import (
    project_quality as project_quality,
)
from plaudit.feedback.projects import (
    set_up_project as set_up_project,
)
from plaudit.generation.chat import (
    Conversation as Conversation,
)
from plaudit.generation.chat import (
    load_chat_model as load_chat_model,
)
from plaudit.generation.chat import (
    sample as sample,
)
from plaudit.methods.train import (
    pretrain as pretrain,
)
from plaudit.methods.train import (
    reward_model as reward_model,
)
from plaudit.methods.train import (
    sft as sft,
)
from plaudit.methods.train import (
    store_normalisation as store_normalisation,
)
from plaudit.methods.train_direct import (
    cpo as cpo,
)
from plaudit.methods.train_direct import (
    dpo as dpo,
)
from plaudit.methods.train_direct import (
    kto as kto,
)
from plaudit.methods.train_direct import (
    orpo as orpo,
)
from plaudit.methods.train_direct import (
    simpo as simpo,
)
from plaudit.methods.train_online import (
    grpo as grpo,
)
from plaudit.methods.train_online import (
    online_dpo as online_dpo,
)
from plaudit.methods.train_online import (
    ppo as ppo,
)
from plaudit.methods.train_online import (
    reinforce as reinforce,
)
from plaudit.methods.train_online import (
    rejection as rejection,
)
from plaudit.methods.train_online import (
    rloo as rloo,
)
from plaudit.models.critic import Critic as Critic
from plaudit.models.policy import (
    Policy as Policy,
)
from plaudit.models.policy import (
    build_policy as build_policy,
)
from plaudit.models.policy import (
    load_policy as load_policy,
)
from plaudit.models.policy import (
    save_policy as save_policy,
)
from plaudit.models.reward_model import (
    RewardModel as RewardModel,
)
from plaudit.models.reward_model import (
    load_reward_model as load_reward_model,
)
from plaudit.models.reward_model import (
    save_reward_model as save_reward_model,
)
from plaudit.models.tokenizers import train_bpe as train_bpe
from plaudit.pipeline.checking import check as check
from plaudit.pipeline.comparison.run import compare as compare
from plaudit.pipeline.demo import demo as demo
from plaudit.pipeline.results import evaluate as evaluate
from plaudit.pipeline.results import write_report as write_report
from plaudit.pipeline.run import resume as resume
from plaudit.pipeline.run import run as run
from plaudit.pipeline.single import run_method as run_method
from plaudit.protocols import (
    ChatModel as ChatModel,
)
from plaudit.protocols import (
    Judge as Judge,
)
from plaudit.protocols import (
    World as World,
)
from plaudit.registry import (
    JudgeKind as JudgeKind,
)
from plaudit.registry import (
    Method as Method,
)
from plaudit.registry import (
    StepKind as StepKind,
)
from plaudit.registry import (
    WorldKind as WorldKind,
)
from plaudit.rewards import (
    EnsembleReward as EnsembleReward,
)
from plaudit.rewards import (
    FunctionReward as FunctionReward,
)
from plaudit.rewards import (
    ModelReward as ModelReward,
)
from plaudit.rewards import (
    Reward as Reward,
)
from plaudit.rewards import (
    RewardOutput as RewardOutput,
)
from plaudit.rewards import (
    Sample as Sample,
)
from plaudit.rewards import (
    SumReward as SumReward,
)
from plaudit.rollout.native import NativeSampler as NativeSampler
from plaudit.rollout.protocol import (
    Request as Request,
)
from plaudit.rollout.protocol import (
    Sampled as Sampled,
)
from plaudit.rollout.protocol import (
    Sampler as Sampler,
)
from plaudit.rollout.protocol import (
    SamplingSettings as SamplingSettings,
)
from plaudit.rollout.transformers_backend import TransformersSampler as TransformersSampler
from plaudit.runs import RunFolder as RunFolder

__version__: str
