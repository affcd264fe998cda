"""The public names: what type checkers and editors see. At run time each is imported when it is first used."""

from plaudit.advice import (
    Advice as Advice,
    Recommendation as Recommendation,
    Situation as Situation,
    advise as advise,
    describe_situation as describe_situation,
)
from plaudit.audit.answers import AnswerSet as AnswerSet
from plaudit.audit.detect import detect as detect, detectors_of as detectors_of
from plaudit.audit.forecast import Forecast as Forecast, forecast as forecast
from plaudit.audit.naming import PropertyChange as PropertyChange
from plaudit.audit.power import Power as Power, measure_power as measure_power
from plaudit.config import (
    KL as KL,
    Config as Config,
    Cpo as Cpo,
    Dpo as Dpo,
    Evaluate as Evaluate,
    Grpo as Grpo,
    Kto as Kto,
    Lora as Lora,
    OnlineDpo as OnlineDpo,
    Orpo as Orpo,
    Ppo as Ppo,
    Pretrain as Pretrain,
    Pretrained as Pretrained,
    Rank as Rank,
    Reinforce as Reinforce,
    Rejection as Rejection,
    RewardSettings as RewardSettings,
    Rloo as Rloo,
    Scratch as Scratch,
    Section as Section,
    Sft as Sft,
    Simpo as Simpo,
    load_recipe as load_recipe,
)
from plaudit.data.checks.check import CheckReport as CheckReport
from plaudit.data.readers.convert import convert_to_file as convert_to_file
from plaudit.data.readers.read import read as read
from plaudit.data.readers.record_kinds import join_pairs as join_pairs
from plaudit.data.records import (
    Comparisons as Comparisons,
    Demonstration as Demonstration,
    Labeled as Labeled,
    Message as Message,
    Outcome as Outcome,
    Prompt as Prompt,
    Ranking as Ranking,
    Rated as Rated,
    Response as Response,
)
from plaudit.data.records.writers import write_jsonl as write_jsonl
from plaudit.data.rendering.renderer import Renderer as Renderer
from plaudit.data.splits import split as split
from plaudit.errors import Problem as Problem, UserError as UserError, Waiting as Waiting
from plaudit.evaluation.judge_gate import Calibration as Calibration
from plaudit.extend import estimator as estimator, preference_loss as preference_loss
from plaudit.feedback.projects import (
    export_judgements as export_judgements,
    project_quality as project_quality,
    set_up_project as set_up_project,
)
from plaudit.generation.chat import (
    Conversation as Conversation,
    load_chat_model as load_chat_model,
    sample as sample,
)
from plaudit.judges.constitution import Constitution as Constitution, read_constitution as read_constitution
from plaudit.methods.train import (
    pretrain as pretrain,
    reward_model as reward_model,
    sft as sft,
    store_normalization as store_normalization,
)
from plaudit.methods.train_direct import cpo as cpo, dpo as dpo, kto as kto, orpo as orpo, simpo as simpo
from plaudit.methods.train_online import (
    grpo as grpo,
    online_dpo as online_dpo,
    ppo as ppo,
    reinforce as reinforce,
    rejection as rejection,
    rloo as rloo,
)
from plaudit.models.critic import Critic as Critic
from plaudit.models.policy import (
    Policy as Policy,
    build_policy as build_policy,
    load_policy as load_policy,
    save_policy as save_policy,
)
from plaudit.models.reward_model import (
    RewardModel as RewardModel,
    load_reward_model as load_reward_model,
    save_reward_model as save_reward_model,
)
from plaudit.models.tokenizers import train_bpe as train_bpe
from plaudit.pipeline.auditing import audit_reward as audit_reward, audit_run as audit_run
from plaudit.pipeline.checking import check as check
from plaudit.pipeline.comparison.run import compare as compare
from plaudit.pipeline.demo import demo as demo
from plaudit.pipeline.judging import (
    JudgedFile as JudgedFile,
    calibrate_judge as calibrate_judge,
    judge_file as judge_file,
)
from plaudit.pipeline.redteaming import redteam_reward as redteam_reward, redteam_run as redteam_run
from plaudit.pipeline.results import evaluate as evaluate, write_report as write_report
from plaudit.pipeline.run import resume as resume, run as run
from plaudit.pipeline.single_method import run_method as run_method
from plaudit.pipeline.suites.run_suite import evaluate_suite as evaluate_suite
from plaudit.protocols import ChatModel as ChatModel, Judge as Judge, SyntheticWorld as SyntheticWorld
from plaudit.registry import (
    DetectorKind as DetectorKind,
    JudgeKind as JudgeKind,
    Method as Method,
    StepKind as StepKind,
    WorldKind as WorldKind,
)
from plaudit.rewards import (
    EnsembleReward as EnsembleReward,
    FunctionReward as FunctionReward,
    ModelReward as ModelReward,
    Reward as Reward,
    RewardOutput as RewardOutput,
    Sample as Sample,
    SumReward as SumReward,
)
from plaudit.rollout.native import NativeSampler as NativeSampler
from plaudit.rollout.protocol import (
    Request as Request,
    Sampled as Sampled,
    Sampler as Sampler,
    SamplingSettings as SamplingSettings,
)
from plaudit.rollout.transformers_backend import TransformersSampler as TransformersSampler
from plaudit.runs import RunFolder as RunFolder
from plaudit.runtime import Runtime as Runtime

__version__: str
