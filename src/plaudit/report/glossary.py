"""Every term of the report: one plain sentence, and the formula where there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word that a reader may not know."""

    name: str
    sentence: str
    formula: str = ""


GLOSSARY: dict[str, Term] = {
    "base": Term("Base", "The model after it has only learned to predict the next token of raw text."),
    "sft": Term(
        "SFT",
        "Supervised fine-tuning: the base model after imitating demonstrations of good answers.",
        "L = −mean over answer tokens of log π(token)",
    ),
    "ppo": Term(
        "PPO",
        "Proximal policy optimization: the SFT model after practicing against the reward model, held near its start by "
        "a KL penalty.",
        "maximize reward − β · KL",
    ),
    "perfect": Term(
        "Perfect",
        "A scripted policy that knows the truth and always gives the best answer of this world.",
    ),
    "gold": Term(
        "Gold",
        "The true quality of an answer, known only because this world was written by hand: correct, honest, "
        "safe, in the asked format, concise. No model ever trains on it.",
    ),
    "proxy": Term(
        "Proxy",
        "The reward model's score, which training tries to raise. It stands in for what people want, imperfectly.",
    ),
    "judge": Term(
        "Proxy judge",
        "A reward model trained on a disjoint split and seed. It did not train the policy, but it learned "
        "from the same kind of data, so it may share its mistakes.",
    ),
    "gap": Term(
        "Gap closed",
        "How far training moved from the mean gold of the model it started from towards that of perfect answers.",
        "(end − start) / (perfect − start)",
    ),
    "win_rate": Term(
        "Win rate",
        "How often one policy's answer beats the other's to the same prompt; a tie counts half.",
        "P(better) + ½ · P(tie)",
    ),
    "interval": Term(
        "95% interval",
        "Where the number would fall in 95 of 100 draws of the test prompts. It covers the luck of the prompts, "
        "not that of the training seed.",
        "a t-interval over prompts corrected for skewness; for shares Wilson's score interval",
    ),
    "kl": Term(
        "KL",
        "How far the policy has moved away from the model that it started from, in nats per response. 0 is not at all.",
        "mean over responses of Σ over tokens of log π(token) − log π_ref(token)",
    ),
    "kl_k3": Term(
        "KL (k3)",
        "A steadier estimate of the same distance that is never negative.",
        "Σ over tokens of (r − 1 − log r), with r = π_ref / π",
    ),
    "kl_exact": Term(
        "Exact KL",
        "The same distance on test prompts, with the whole vocabulary summed out at every token.",
        "Σ over tokens of KL(π(·|context) ‖ π_ref(·|context))",
    ),
    "kl_coef": Term(
        "KL coefficient β",
        "How strong the KL penalty is: what one nat of KL costs in reward.",
        "reward = score − β · KL",
    ),
    "score": Term("Score", "The reward model's mean score of the answers sampled in one iteration."),
    "rlhf_reward": Term("Total reward", "What is maximized: score minus the price of KL.", "score − β · KL"),
    "entropy": Term(
        "Entropy",
        "How undecided the policy is while it writes one response. Near 0 it always says the same.",
        "Σ over tokens of −Σ over vocabulary of p · log p",
    ),
    "log_prob": Term(
        "Log-prob of an answer",
        "How likely the policy finds an answer of the data. Preference losses ask only that preferred ones fall less.",
        "Σ over tokens of log π(token)",
    ),
    "implicit_reward": Term(
        "Implicit reward",
        "What an answer is worth to the policy itself, compared with where it started; accuracy is how often the "
        "preferred answer is worth more.",
        "β · (log π(answer) − log π_ref(answer))",
    ),
    "zero_variance": Term(
        "Groups without spread",
        "The share of prompts whose samples all score the same: where samples are compared with one another, they "
        "teach nothing.",
    ),
    "clip_fraction": Term(
        "Clip fraction",
        "The share of tokens whose probability moved so far in one iteration that the clip cut the gradient.",
        "share of |π / π_old − 1| > ε against the advantage",
    ),
    "approx_kl": Term("Approximate KL", "How far the policy moved within one iteration's updates."),
    "value_loss": Term("Value loss", "How wrong the critic is about the reward still to come."),
    "explained_variance": Term(
        "Explained variance",
        "How much of the returns' variation the critic foresees: 1 is all of it, 0 is no more than their mean does.",
        "1 − Var(return − value) / Var(return)",
    ),
    "length": Term(
        "Response length", "Tokens per answer. Answers that grow without getting better are a warning."
    ),
    "finished": Term("Finished", "The share of answers that ended by themselves within the length limit."),
    "accuracy": Term(
        "Reward model accuracy",
        "How often the reward model scores the preferred answer of a held-out pair higher. Ties are left out.",
    ),
    "longer_wins": Term(
        "Longer wins",
        "The accuracy of always preferring the longer answer: no model needed. A reward model must beat it.",
    ),
    "ceiling": Term(
        "Noise ceiling",
        "The accuracy that even the true order would reach, because the raters' labels are noisy.",
    ),
    "human_agreement": Term("Human agreement", "How often two people who judged the same pair agree."),
    "ece": Term(
        "ECE",
        "Expected calibration error: the mean distance between how sure the reward model is and how often it is right. "
        "On few pairs even a perfectly calibrated model shows some, by chance: read it beside that number.",
        "Σ over bins of share · |observed − stated|",
    ),
    "temperature": Term(
        "Temperature",
        "How freely tokens are drawn: at 1 as the model believes, lower favors its likeliest tokens.",
        "softmax(logits / T)",
    ),
    "sharpening": Term(
        "Sharpening",
        "Getting better by only becoming more certain of what was already likeliest. A lower temperature does it "
        "without any training, so it must not be sold as learning.",
    ),
    "over_optimisation": Term(
        "Over-optimization",
        "Raising the proxy past the point where it still means better answers: the proxy rises, gold falls.",
    ),
    "votes": Term(
        "Votes",
        "Quick two-answer judgements that pre-train the reward model before the rankings. They are labels too.",
    ),
    "rankings": Term("Rankings", "Several answers to one prompt, put in order by a rater."),
    "loss": Term(
        "Loss",
        "The surprise at the right token (nats per token), or at the preferred answer (nats per pair).",
    ),
}
