"""Finds what an adapter is about: the numbers of `storage/scope.py`, from its questions and from unrelated ones.

An adapter forgets, however it is trained: a fifth of the general questions that its base model answers (docs/why.md).
Which questions are about its documents is easily told by their words. Logistic regression does it, on the mean of a
question's token embeddings, each of them a unit vector from the vocabulary's centre. A linear function of a mean is the
mean of that function, so all that is kept of it is one number a token.

A short document has few questions, and what a person asks about it has words that none of them has. So where the bound
lies is found out by unrelated questions that the regression has not seen: it lies as low as these allow.
"""

from collections.abc import Callable, Sequence
from math import log

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from trainer.jobs.material import RAW
from trainer.jobs.training import Training
from trainer.profiles import Hyperparameters
from trainer.vocabulary import Vocabulary

LEAST_QUESTIONS = 16  # of a document; fewer do not say what it is about
FOLDS = 5  # of the unrelated questions, each scored by what was found without it
LET_IN = 0.05  # of the unrelated questions, at most, may be taken for the document's so that more of its own are
DECAY = 1e-3  # of the regression's weights
ITERATIONS = 200


def scope_of(training: Training, vocabulary: Callable[[], Vocabulary], chosen: Hyperparameters) -> Tensor | None:
    """Scores [vocabulary size], fp32; None where the adapter is to answer everything, or has hardly any questions.

    `vocabulary` gives that of the base model, where it is wanted.
    """
    questions = sum(pair.kind != RAW for pair in training.pairs)
    if not chosen.scope or chosen.abstained_share or questions < LEAST_QUESTIONS:
        return None
    inside = [pair.answer if pair.kind == RAW else pair.question for pair in training.pairs]
    return scores(vocabulary(), inside, chosen.scope)


def scores(vocabulary: Vocabulary, inside: Sequence[str], least: float) -> Tensor | None:
    """One for each token: a question whose tokens have a mean above 0 is taken for one of `inside`.

    It is as likely as `least` to be one, or likelier than all but `LET_IN` of the unrelated questions. None where a
    token's embedding is no number.
    """
    if not vocabulary.is_finite:
        return None
    ours, others = vocabulary.means(inside), vocabulary.outside
    weights, bias = _regression(ours, others)
    bias = bias - min(log(least / (1 - least)), float(_logits_unseen(ours, others).quantile(1 - LET_IN)))
    return vocabulary.scores(weights, bias).cpu()


def _logits_unseen(ours: Tensor, others: Tensor) -> Tensor:
    """Of each of the others [n, width], the logit [n] that it has by a regression that was not shown it."""
    fold = torch.arange(len(others), device=others.device) % FOLDS
    logits = others.new_empty(len(others))
    for held_out in (fold == number for number in range(FOLDS)):
        weights, bias = _regression(ours, others[~held_out])
        logits[held_out] = others[held_out] @ weights + bias
    return logits


def _regression(ours: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [width] and bias that tell ours [n, width] from others [m, width]; both count the same in all."""
    inputs = torch.cat([ours, others])
    wanted = torch.cat([ours.new_ones(len(ours)), others.new_zeros(len(others))])
    middle, spread = inputs.mean(0), inputs.std()
    scaled = (inputs - middle) / spread
    share = wanted.mean()
    counts = torch.where(wanted > 0, 0.5 / share, 0.5 / (1 - share))
    weights = torch.zeros(inputs.shape[1], device=inputs.device, requires_grad=True)
    bias = torch.zeros((), device=inputs.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(scaled @ weights + bias, wanted, weight=counts)
        loss = loss + DECAY / 2 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = weights.detach() / spread
    return found, bias.detach() - middle @ found
