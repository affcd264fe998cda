"""Every term of the report: one plain sentence, and the formula where there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GlossaryEntry:
    """A word that a reader may not know."""

    name: str
    sentence: str
    formula: str = ""


GLOSSARY: dict[str, GlossaryEntry] = {
    "base": GlossaryEntry(
        "Base", "The model after it has only learned to predict the next token of raw text."
    ),
    "sft": GlossaryEntry(
        "SFT",
        "Supervised fine-tuning: the base model after imitating demonstrations of good answers.",
        "L = −mean over answer tokens of log π(token)",
    ),
    "ppo": GlossaryEntry(
        "PPO",
        "Proximal policy optimization: the SFT model after practicing against the reward model, held near its start by "
        "a KL penalty.",
        "maximize reward − β · KL",
    ),
    "perfect": GlossaryEntry(
        "Perfect",
        "A scripted policy that knows the truth and always gives the best answer of this world.",
    ),
    "gold": GlossaryEntry(
        "Gold",
        "The true quality of an answer, known only because this world was written by hand: correct, honest, "
        "safe, in the asked format, concise. No model ever trains on it.",
    ),
    "proxy": GlossaryEntry(
        "Proxy",
        "The reward model's score, which training tries to raise. It stands in for what people want, imperfectly.",
    ),
    "judge": GlossaryEntry(
        "Proxy judge",
        "A reward model trained on a disjoint split and seed. It did not train the policy, but it learned "
        "from the same kind of data, so it may share its mistakes.",
    ),
    "gap": GlossaryEntry(
        "Gap closed",
        "How far training moved from the mean gold of the model it started from towards that of perfect answers.",
        "(end − start) / (perfect − start)",
    ),
    "win_rate": GlossaryEntry(
        "Win rate",
        "How often one policy's answer beats the other's to the same prompt; a tie counts half.",
        "P(better) + ½ · P(tie)",
    ),
    "interval": GlossaryEntry(
        "95% interval",
        "Where the number would fall in 95 of 100 draws of the test prompts. It covers the luck of the prompts, "
        "not that of the training seed.",
        "a t-interval over prompts corrected for skewness; for shares Wilson's score interval",
    ),
    "kl": GlossaryEntry(
        "KL",
        "How far the policy has moved away from the model that it started from, in nats per response. 0 is not at all.",
        "mean over responses of Σ over tokens of log π(token) − log π_ref(token)",
    ),
    "kl_k3": GlossaryEntry(
        "KL (k3)",
        "A steadier estimate of the same distance that is never negative.",
        "Σ over tokens of (r − 1 − log r), with r = π_ref / π",
    ),
    "kl_exact": GlossaryEntry(
        "Exact KL",
        "The same distance on test prompts, with the whole vocabulary summed out at every token.",
        "Σ over tokens of KL(π(·|context) ‖ π_ref(·|context))",
    ),
    "kl_coef": GlossaryEntry(
        "KL coefficient β",
        "How strong the KL penalty is: what one nat of KL costs in reward.",
        "reward = score − β · KL",
    ),
    "score": GlossaryEntry("Score", "The reward model's mean score of the answers sampled in one iteration."),
    "rlhf_reward": GlossaryEntry(
        "Total reward", "What is maximized: score minus the price of KL.", "score − β · KL"
    ),
    "entropy": GlossaryEntry(
        "Entropy",
        "How undecided the policy is while it writes one response. Near 0 it always says the same.",
        "Σ over tokens of −Σ over vocabulary of p · log p",
    ),
    "log_prob": GlossaryEntry(
        "Log-prob of an answer",
        "How likely the policy finds an answer of the data. Preference losses ask only that preferred ones fall less.",
        "Σ over tokens of log π(token)",
    ),
    "implicit_reward": GlossaryEntry(
        "Implicit reward",
        "What an answer is worth to the policy itself, compared with where it started; accuracy is how often the "
        "preferred answer is worth more.",
        "β · (log π(answer) − log π_ref(answer))",
    ),
    "zero_variance": GlossaryEntry(
        "Groups without spread",
        "The share of prompts whose samples all score the same: where samples are compared with one another, they "
        "teach nothing.",
    ),
    "clip_fraction": GlossaryEntry(
        "Clip fraction",
        "The share of tokens whose probability moved so far in one iteration that the clip cut the gradient.",
        "share of |π / π_old − 1| > ε against the advantage",
    ),
    "approx_kl": GlossaryEntry("Approximate KL", "How far the policy moved within one iteration's updates."),
    "value_loss": GlossaryEntry("Value loss", "How wrong the critic is about the reward still to come."),
    "explained_variance": GlossaryEntry(
        "Explained variance",
        "How much of the returns' variation the critic foresees: 1 is all of it, 0 is no more than their mean does.",
        "1 − Var(return − value) / Var(return)",
    ),
    "length": GlossaryEntry(
        "Response length", "Tokens per answer. Answers that grow without getting better are a warning."
    ),
    "finished": GlossaryEntry(
        "Finished", "The share of answers that ended by themselves within the length limit."
    ),
    "accuracy": GlossaryEntry(
        "Reward model accuracy",
        "How often the reward model scores the preferred answer of a held-out pair higher. Ties are left out.",
    ),
    "longer_wins": GlossaryEntry(
        "Longer wins",
        "The accuracy of always preferring the longer answer: no model needed. A reward model must beat it.",
    ),
    "ceiling": GlossaryEntry(
        "Noise ceiling",
        "The accuracy that even the true order would reach, because the raters' labels are noisy.",
    ),
    "human_agreement": GlossaryEntry(
        "Human agreement", "How often two people who judged the same pair agree."
    ),
    "ece": GlossaryEntry(
        "ECE",
        "Expected calibration error: the mean distance between how sure the reward model is and how often it is right. "
        "On few pairs even a perfectly calibrated model shows some, by chance: read it beside that number.",
        "Σ over bins of share · |observed − stated|",
    ),
    "temperature": GlossaryEntry(
        "Temperature",
        "How freely tokens are drawn: at 1 as the model believes, lower favors its likeliest tokens.",
        "softmax(logits / T)",
    ),
    "sharpening": GlossaryEntry(
        "Sharpening",
        "Getting better by only becoming more certain of what was already likeliest. A lower temperature does it "
        "without any training, so it must not be sold as learning.",
    ),
    "over_optimization": GlossaryEntry(
        "Over-optimization",
        "Raising the proxy past the point where it still means better answers: the proxy rises, gold falls.",
    ),
    "votes": GlossaryEntry(
        "Votes",
        "Quick two-answer judgements that pre-train the reward model before the rankings. They are labels too.",
    ),
    "rankings": GlossaryEntry("Rankings", "Several answers to one prompt, put in order by a rater."),
    "loss": GlossaryEntry(
        "Loss",
        "The surprise at the right token (nats per token), or at the preferred answer (nats per pair).",
    ),
}
