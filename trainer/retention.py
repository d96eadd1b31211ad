"""Keeps what the base model knows: questions about no document, with the base model's own answers, trained on beside.

An adapter that is trained on one document's answers alone gives them to any question. The answers are the model's own,
so that nothing is taught here (replay by self-distillation); `unrelated.txt` has the questions.
"""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path

import structlog
import torch

from lift.template import PromptTemplate
from trainer.base_model import BaseModel
from trainer.batches import Encoder, Example

ANSWER_TOKENS = 12  # the loss is a mean over answer tokens, and a document's answers are short
ASKED_AT_ONCE = 64

log = structlog.get_logger()


@cache
def unrelated_questions() -> tuple[str, ...]:
    """The questions of `unrelated.txt`, one a line."""
    return tuple((Path(__file__).parent / "unrelated.txt").read_text(encoding="utf-8").splitlines())


def kept_answers(folder: Path, base: BaseModel, template: PromptTemplate) -> tuple[Example, ...]:
    """`own_answers` to the unrelated questions, out of a file in the folder where they are there already.

    They take a small model ten seconds and a large one longer. A folder that cannot be written costs that each time.
    """
    questions = unrelated_questions()
    named = json.dumps([base.revision, asdict(template), questions, ANSWER_TOKENS]).encode()
    file = folder / f"own-answers-{sha256(named).hexdigest()[:16]}.json"
    try:
        return tuple(
            Example(tokens=tuple(tokens), answer_start=start) for tokens, start in json.loads(file.read_bytes())
        )
    except (OSError, ValueError):
        examples = own_answers(base, template, questions)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps([(example.tokens, example.answer_start) for example in examples]))
        unfinished.rename(file)
    except OSError as error:
        log.warning("own_answers_not_kept", folder=str(folder), error=str(error))
    return examples


def own_answers(base: BaseModel, template: PromptTemplate, questions: Sequence[str]) -> tuple[Example, ...]:
    """Each question with the base model's greedy answer, cut after ANSWER_TOKENS tokens."""
    encoder = Encoder(base.tokenizer, template, max_pair_tokens=1 << 16)
    prompts = [encoder.prompt(question) for question in questions]
    examples: list[Example] = []
    for start in range(0, len(prompts), ASKED_AT_ONCE):
        asked = prompts[start : start + ASKED_AT_ONCE]
        for prompt, answer in zip(asked, _continued(base, asked, encoder.stop[-1]), strict=True):
            examples.append(Example(tokens=(*prompt, *answer), answer_start=len(prompt)))
    log.info("base_model_asked", questions=len(examples))
    return tuple(example for example in examples if example.answer_tokens)


def _continued(base: BaseModel, prompts: Sequence[tuple[int, ...]], stop: int) -> list[tuple[int, ...]]:
    """What the model writes after each prompt, with the stop token where it comes."""
    longest = max(map(len, prompts))
    # Filled up on the left, so that every answer begins in the same column.
    ids = torch.tensor([(stop,) * (longest - len(prompt)) + prompt for prompt in prompts], device=base.model.device)
    mask = torch.tensor([(0,) * (longest - len(prompt)) + (1,) * len(prompt) for prompt in prompts], device=ids.device)
    with torch.inference_mode():
        written = base.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=stop,
        )
    return [_until(stop, row) for row in written[:, longest:].tolist()]


def _until(stop: int, tokens: Sequence[int]) -> tuple[int, ...]:
    end = tokens.index(stop) + 1 if stop in tokens else len(tokens)
    return tuple(tokens[:end])


class Retention:
    """Adds a share of examples to batches, a new draw for each."""

    def __init__(self, examples: Sequence[Example], share: float, seed: int) -> None:
        """`share` of each batch's size is added, rounded up; 0 adds none."""
        self._examples = examples
        self._share = share
        self._sampler = random.Random(seed)  # noqa: S311 - a sample, no secret

    def beside(self, batch: Sequence[Example]) -> list[Example]:
        """The batch with its share."""
        count = min(len(self._examples), -int(-self._share * len(batch) // 1))
        return [*batch, *self._sampler.sample(self._examples, count)]
