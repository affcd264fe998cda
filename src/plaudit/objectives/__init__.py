"""The mathematics of learning from preferences, as pure functions.

Every function is unreduced unless its name says otherwise: it returns one number per pair, token or
ranking, and the engine does the one reduction there is. Hyperparameters are keyword-only. A wrong
shape is a ValueError, a mask that is not boolean a TypeError; nothing broadcasts silently.

Shapes: B rows (responses padded on the right), T tokens, P pairs, R responses, K responses of one
ranking, V vocabulary. Log-probs and KL are in nats.
"""

from plaudit.objectives.advantages import gae, shaped_rewards, whiten
from plaudit.objectives.direct import (
    EXPONENT_BOUND,
    apo_down,
    apo_zero,
    beyond_bound,
    divergence_reward,
    dpo,
    hinge_dpo,
    ipo,
    kto,
    log_odds,
    robust_dpo,
    sppo_hard,
)
from plaudit.objectives.groups import (
    best_of_n_kl,
    best_of_n_mean,
    cispo_loss,
    group_advantages,
    leave_one_out,
    rewards_to_go,
    tie_tolerance,
    zero_variance,
)
from plaudit.objectives.kl import (
    K3_BOUND,
    AdaptiveKL,
    FixedKL,
    KLController,
    exact_kl,
    kl_k1,
    kl_k2,
    kl_k3,
    kl_k3_ratio,
    kl_penalty,
)
from plaudit.objectives.policy import clipped_policy_loss, clipped_value_loss, entropy_from_logits
from plaudit.objectives.preference import all_pairs, bradley_terry, centering, length_normalize, pair_weights
from plaudit.objectives.ranking import EXACT_TIES, plackett_luce, plackett_luce_batch
from plaudit.objectives.shaping import overlong, relative_sigmoid
from plaudit.objectives.statistics import explained_variance, masked_mean

__all__ = [
    "EXACT_TIES",
    "EXPONENT_BOUND",
    "K3_BOUND",
    "AdaptiveKL",
    "FixedKL",
    "KLController",
    "all_pairs",
    "apo_down",
    "apo_zero",
    "best_of_n_kl",
    "best_of_n_mean",
    "beyond_bound",
    "bradley_terry",
    "centering",
    "cispo_loss",
    "clipped_policy_loss",
    "clipped_value_loss",
    "divergence_reward",
    "dpo",
    "entropy_from_logits",
    "exact_kl",
    "explained_variance",
    "gae",
    "group_advantages",
    "hinge_dpo",
    "ipo",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "kl_k3_ratio",
    "kl_penalty",
    "kto",
    "leave_one_out",
    "length_normalize",
    "log_odds",
    "masked_mean",
    "overlong",
    "pair_weights",
    "plackett_luce",
    "plackett_luce_batch",
    "relative_sigmoid",
    "rewards_to_go",
    "robust_dpo",
    "shaped_rewards",
    "sppo_hard",
    "tie_tolerance",
    "whiten",
    "zero_variance",
]
