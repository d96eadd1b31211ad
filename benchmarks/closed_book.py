"""Asks a base model questions with LoRA weights added to its own, in this process and without a document."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from storage.tensor_names import a_of, b_of, is_a, layer_of
from trainer.examples.continuation import continued
from trainer.examples.expectations import losses
from trainer.learners.padding import padded
from trainer.workshop import Workshop

ASKED_AT_ONCE = 32


def answers(workshop: Workshop, questions: Sequence[str], max_tokens: int) -> list[str]:
    """What the model says to each question, greedily, at most `max_tokens` tokens."""
    said: list[str] = []
    for start in range(0, len(questions), ASKED_AT_ONCE):
        said += _answered(workshop, questions[start : start + ASKED_AT_ONCE], max_tokens)
    return said


def chances(workshop: Workshop, question: str, replies: Sequence[str]) -> list[float]:
    """Of each reply, none empty: the probability that the model says it, and no more, to the question."""
    if not replies:
        return []
    encoder, model = workshop.encoder(max_pair_tokens=1 << 16), workshop.base.model
    examples = [example for reply in replies if (example := encoder.encode(question, reply))]
    batch = padded(examples)
    with torch.inference_mode():
        logits = model(input_ids=batch.input_ids.to(model.device), use_cache=False).logits[batch.rows, batch.columns]
        of_tokens = losses(logits.cpu(), batch.targets, batch.chances)
    return [float((-of_reply.sum()).exp()) for of_reply in of_tokens.split([each.answer_tokens for each in examples])]


@contextmanager
def merged(workshop: Workshop, weights: Mapping[str, Tensor], scaling: float) -> Iterator[None]:
    """Each adapted layer's W is W + s B A for the length of the block; bf16, so rounded once more than when served."""
    own: list[tuple[Tensor, Tensor]] = []
    try:
        with torch.no_grad():
            for name in (layer_of(name) for name in weights if is_a(name)):
                layer = workshop.base.model.get_submodule(name).weight
                own.append((layer, layer.clone()))
                layer += (scaling * weights[b_of(name)].float() @ weights[a_of(name)].float()).to(layer)
        yield
    finally:
        for layer, before in own:
            layer.data.copy_(before)


def _answered(workshop: Workshop, questions: Sequence[str], max_tokens: int) -> Iterator[str]:
    base, encoder = workshop.base, workshop.encoder(max_pair_tokens=1 << 16)
    prompts = [encoder.prompt(question) for question in questions]
    written, _ = continued(base, prompts, encoder.stop[-1], max_tokens)
    for row in written:
        yield base.tokenizer.decode(row, skip_special_tokens=True).strip()
