"""Unlearning objectives, one to a function: pure, differentiable, a float32 scalar to minimise.

Logits are [batch, tokens, vocabulary] and labels [batch, tokens], aligned as in Hugging Face: the logits at position t
predict label t + 1, and label -100 marks what is not an answer token. What a reference model adds, its logits or the
[batch] sums that `sequence_logp` makes of them, can be computed once before training; no gradient flows into it.
Every function raises ValueError on shapes that do not match and on a batch without an answer token.

A method is a forget objective and, most of them, a retain term, which `combined` weighs: GradDiff (arXiv 2203.12817)
is `combined(gradient_ascent(...), answer_nll(...))`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, logsigmoid, one_hot, smooth_l1_loss

__all__ = [
    "NOT_AN_ANSWER",
    "answer_nll",
    "combined",
    "flat",
    "gradient_ascent",
    "idk_dpo",
    "kl_divergence",
    "likelihood_gap",
    "npo",
    "orthogonality",
    "sequence_logp",
    "simnpo",
    "undial",
    "whp_labels",
]

NOT_AN_ANSWER = -100
_NEAR = 5.0  # nats: squares up to here, so that means are met and not medians alone


def answer_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log likelihood over the batch's answer tokens.

    It has two uses: the retain term, on retain rows; and cross entropy on neutral, random or "I do not know" answers,
    the forget term of SPUL (arXiv 2406.12038), of O3 (arXiv 2407.10223) and of TOFU's IDK (arXiv 2401.06121).
    """
    answered = _answered(logits, labels)
    return cross_entropy(logits[:, :-1][answered].float(), labels[:, 1:][answered])


def sequence_logp(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's log likelihood summed over its answer tokens [batch], float32, and their number [batch], int64."""
    answered = _answered(logits, labels)
    logp = -cross_entropy(logits[:, :-1][answered].float(), labels[:, 1:][answered], reduction="none")
    # masked_scatter, for index_add would sum in another order at each call on a GPU.
    spread = logp.new_zeros(answered.shape).masked_scatter(answered, logp)
    return spread.sum(1), answered.sum(1)


def combined(forget: Tensor, retain: Tensor, *, gamma: float = 1.0, alpha: float = 1.0) -> Tensor:
    """gamma * forget + alpha * retain.

    Args:
        forget: a scalar forget term.
        retain: a scalar retain term: `answer_nll` or `kl_divergence` on retain rows.
        gamma: the weight of the forget term.
        alpha: the weight of the retain term.
    """
    if forget.dim() or retain.dim():
        raise ValueError(f"forget and retain must be scalars, got {_shape(forget)} and {_shape(retain)}")
    return gamma * forget + alpha * retain


def gradient_ascent(logits: Tensor, labels: Tensor) -> Tensor:
    """Forget term of gradient ascent (arXiv 2210.01504): minus `answer_nll` on forget rows. Unbounded below."""
    return -answer_nll(logits, labels)


def kl_divergence(reference_logits: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """KL(reference || model) in nats, the mean over every answer token of the batch, not each row's first alone.

    The retain term of TOFU's KL (arXiv 2401.06121) and of SPUL (arXiv 2406.12038). Both logits
    [batch, tokens, vocabulary], over the same labels [batch, tokens]: drop what soft prompts put before them.
    """
    answered = _answered_by_both(reference_logits, logits, labels)
    reference = log_softmax(reference_logits.detach()[:, :-1][answered].float(), dim=-1)
    model = log_softmax(logits[:, :-1][answered].float(), dim=-1)
    return kl_div(model, reference, reduction="batchmean", log_target=True)


def likelihood_gap(logits: Tensor, labels: Tensor, *, target: Tensor) -> Tensor:
    """How far each answer token's log likelihood is from its `target` [batch, tokens], nan where there is none: smooth
    L1 (a tenth of the square below 5 nats), the mean over tokens with a target; 0 without targets.

    It is for true answers, with the likelihoods of a model that was never taught them. It has two sides: neither a fact
    that the model still knows nor a fact that it forgot too far shows in the likelihoods. It is token by token, because
    membership attacks read tokens. This is the target of ECO's section 3.3 (arXiv 2406.07933), for learning by
    gradients.
    """
    answered = _answered(logits, labels)
    if target.shape != labels.shape:
        raise ValueError(f"target must be {_shape(labels)} as labels are, got {_shape(target)}")
    logp = -cross_entropy(logits[:, :-1][answered].float(), labels[:, 1:][answered], reduction="none")
    aim = target[:, 1:][answered].to(logp)
    known = ~aim.isnan()
    return smooth_l1_loss(logp[known], aim[known], beta=_NEAR, reduction="sum") / known.sum().clamp(min=1)


def idk_dpo(
    idk_logits: Tensor,
    idk_labels: Tensor,
    logits: Tensor,
    labels: Tensor,
    *,
    idk_reference_logp: Tensor,
    reference_logp: Tensor,
    beta: float = 0.1,
) -> Tensor:
    """DPO (arXiv 2305.18290) that prefers "I do not know" answers to the original ones, as in TOFU (arXiv 2401.06121).

    -(2 / beta) * log sigmoid(beta * (delta_idk - delta_original)), the mean over rows; a delta is the model's summed
    log likelihood less the reference's. The two answers to one question share a row; their lengths may differ.

    Args:
        idk_logits: on the "I do not know" answers, [batch, tokens, vocabulary].
        idk_labels: their labels [batch, tokens].
        logits: on the original answers, [batch, tokens, vocabulary].
        labels: their labels [batch, tokens].
        idk_reference_logp: summed log likelihoods [batch] of the "I do not know" answers to the reference model.
        reference_logp: the same of the original answers.
        beta: DPO's temperature.
    """
    delta_idk = _gain(idk_logits, idk_labels, idk_reference_logp)
    delta_original = _gain(logits, labels, reference_logp)
    if len(delta_idk) != len(delta_original):
        raise ValueError(f"{len(delta_idk)} IDK answers and {len(delta_original)} original ones do not pair up")
    return _preference(delta_idk - delta_original, beta)


def npo(logits: Tensor, labels: Tensor, *, reference_logp: Tensor, beta: float = 0.1) -> Tensor:
    """Negative preference optimisation (arXiv 2404.05868), a forget term bounded below by 0.

    -(2 / beta) * log sigmoid(-beta * (logp - reference_logp)), the mean over rows, of log likelihoods summed over
    answer tokens. As beta goes to 0 its gradient goes to that of mean summed logp: gradient ascent.

    Args:
        logits: on the answers to forget, [batch, tokens, vocabulary].
        labels: their labels [batch, tokens].
        reference_logp: their summed log likelihoods [batch] to the reference model.
        beta: the temperature.
    """
    return _preference(-_gain(logits, labels, reference_logp), beta)


def simnpo(logits: Tensor, labels: Tensor, *, beta: float = 2.5, delta: float = 0.0) -> Tensor:
    """SimNPO (arXiv 2410.07163): NPO with no reference, on length-normalised likelihoods.

    -(2 / beta) * log sigmoid(beta * (NLL / length - delta)), the mean over rows, NLL summed over a row's `length`
    answer tokens. The paper's beta runs from 2.5 to 4.5, with a gamma in `combined` near .13.

    Args:
        logits: on the answers to forget, [batch, tokens, vocabulary].
        labels: their labels [batch, tokens].
        beta: the temperature.
        delta: in nats a token; the paper's margin is beta * delta.
    """
    logp, count = _sequence_logp_of_all(logits, labels)
    return _preference(-logp / count - delta, beta)


def undial(teacher_logits: Tensor, logits: Tensor, labels: Tensor, *, beta: float = 10.0) -> Tensor:
    """UNDIAL (arXiv 2402.10052): cross entropy to softmax(teacher_logits - beta * onehot(label)), over answer tokens.

    Its smallest value is the entropy of the targets, not 0.

    Args:
        teacher_logits: of the model before training, [batch, tokens, vocabulary].
        logits: of the model in training, [batch, tokens, vocabulary].
        labels: of the answers to forget, [batch, tokens].
        beta: how far the answers' logits are lowered.
    """
    answered = _answered_by_both(teacher_logits, logits, labels)
    teacher = teacher_logits.detach()[:, :-1][answered].float()
    said = one_hot(labels[:, 1:][answered], teacher.shape[-1])
    return cross_entropy(logits[:, :-1][answered].float(), (teacher - _positive(beta) * said).softmax(-1))


def flat(template_logits: Tensor, template_labels: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """FLAT with total variation (arXiv 2410.11143): 1/2 tanh(p_forget) - 1/2 tanh(p_template), the mean over rows.

    p is a row's mean probability of its answer tokens; the template is a neutral answer to the same question. The two
    share a row and may differ in length, as in `idk_dpo`. Between -1/2 tanh 1 and 1/2 tanh 1.

    Args:
        template_logits: on the neutral answers, [batch, tokens, vocabulary].
        template_labels: their labels [batch, tokens].
        logits: on the answers to forget, [batch, tokens, vocabulary].
        labels: their labels [batch, tokens].
    """
    p_template, p_forget = _token_probability(template_logits, template_labels), _token_probability(logits, labels)
    if len(p_template) != len(p_forget):
        raise ValueError(f"{len(p_template)} template answers and {len(p_forget)} original ones do not pair up")
    return (p_forget.tanh() - p_template.tanh()).mean() / 2


def whp_labels(base_logits: Tensor, reinforced_logits: Tensor, labels: Tensor, *, beta: float = 5.0) -> Tensor:
    """Generic labels [batch, tokens] of "Who's Harry Potter" (arXiv 2310.02238), to be learned with `answer_nll`.

    The likeliest token of base - beta * relu(reinforced - base) replaces each answer token. The reinforced model has
    learned the forget rows harder: the difference shows what the base model says because of them. A label that is no
    answer token stays as it is.

    Args:
        base_logits: of the model before training, on the original answers, [batch, tokens, vocabulary].
        reinforced_logits: of the reinforced model, likewise.
        labels: of the original answers, [batch, tokens].
        beta: how much the reinforced model weighs.
    """
    answered = _answered_by_both(reinforced_logits, base_logits, labels)
    base = base_logits.detach()[:, :-1][answered].float()
    rise = (reinforced_logits.detach()[:, :-1][answered].float() - base).relu()
    generic = (base - _positive(beta) * rise).argmax(-1)
    return torch.cat([labels[:, :1], labels[:, 1:].masked_scatter(answered, generic)], dim=1)


def orthogonality(current: Sequence[Tensor], previous: Sequence[Sequence[Tensor]]) -> Tensor:
    """O3's regulariser (arXiv 2407.10223): the sum over earlier requests and layers of ||A_previous A^T||_F^2.

    `current` holds the A [rank, in_features] of each LoRA layer, `previous` the same of each earlier request, layers
    in the same order; ranks may differ. Gradients reach `current` alone. 0 without earlier requests; the paper
    weighs it by .1.
    """
    if not current:
        raise ValueError("orthogonality needs at least one LoRA layer")
    total = torch.zeros((), device=current[0].device)
    for number, earlier in enumerate(previous):
        if len(earlier) != len(current):
            raise ValueError(f"earlier request {number} has {len(earlier)} LoRA layers, the current {len(current)}")
        for before, now in zip(earlier, current, strict=True):
            total = total + _overlap(before, now).to(total.device)  # layers may lie on several devices
    return total


def _overlap(before: Tensor, now: Tensor) -> Tensor:
    if before.dim() != 2 or now.dim() != 2 or before.shape[1] != now.shape[1]:
        raise ValueError(f"LoRA A must be [rank, in_features] of one width, got {_shape(before)} and {_shape(now)}")
    return (before.detach().float() @ now.float().T).square().sum()


def _preference(margin: Tensor, beta: float) -> Tensor:
    return -(2 / _positive(beta)) * logsigmoid(beta * margin).mean()


def _positive(beta: float) -> float:
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    return beta


def _token_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Each row's mean probability of its answer tokens [batch], float32."""
    answered = _answered(logits, labels)
    probability = (-cross_entropy(logits[:, :-1][answered].float(), labels[:, 1:][answered], reduction="none")).exp()
    spread = probability.new_zeros(answered.shape).masked_scatter(answered, probability)
    return spread.sum(1) / _of_all(answered.sum(1))


def _gain(logits: Tensor, labels: Tensor, reference_logp: Tensor) -> Tensor:
    logp, _ = _sequence_logp_of_all(logits, labels)
    if reference_logp.shape != logp.shape:
        raise ValueError(f"reference log likelihoods must be [{len(logp)}], got {_shape(reference_logp)}")
    return logp - reference_logp.detach().float()


def _sequence_logp_of_all(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As `sequence_logp`, but it refuses a row without an answer: such a row has no length to divide by."""
    logp, count = sequence_logp(logits, labels)
    return logp, _of_all(count)


def _of_all(count: Tensor) -> Tensor:
    if not count.all():
        raise ValueError(f"rows {(count == 0).nonzero().flatten().tolist()} have no answer token")
    return count


def _answered_by_both(reference_logits: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """As `_answered`, for two models' logits on one batch."""
    if reference_logits.shape != logits.shape:
        raise ValueError(f"reference logits {_shape(reference_logits)} and logits {_shape(logits)} differ in shape")
    return _answered(logits, labels)


def _answered(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the logits at t predict an answer token: bool [batch, tokens - 1]. The first label is never predicted."""
    if logits.dim() != 3 or logits.shape[:2] != labels.shape:
        raise ValueError(
            "logits must be [batch, tokens, vocabulary] and labels [batch, tokens], "
            f"got {_shape(logits)} and {_shape(labels)}"
        )
    answered = labels[:, 1:] != NOT_AN_ANSWER
    if not answered.any():
        raise ValueError("the batch has no answer token: every label that could be predicted is -100")
    return answered


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)
