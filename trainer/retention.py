"""Keeps what the base model knows: questions about no document, with the base model's own answers, trained on beside.

An adapter that is trained on one document's answers alone gives them to any question. The answers are the model's own,
and so are the chances that it gave to each token, so that nothing is taught here (replay by self-distillation);
`unrelated.txt` has the questions.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import structlog
import torch

from lift.kept import file_of, remembered
from lift.template import PromptTemplate
from trainer.base_model import BaseModel
from trainer.examples.batches import Encoder, Example
from trainer.examples.continuation import continued
from trainer.examples.expectations import LIKELY_TOKENS, likeliest

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
    made_of = [base.revision, asdict(template), questions, ANSWER_TOKENS, LIKELY_TOKENS]
    file = file_of(folder, "own-answers.json", made_of)
    examples, _ = remembered(file, _read, lambda: own_answers(base, template, questions), _write)
    return examples


def _read(file: Path) -> tuple[Example, ...]:
    """OSError; ValueError: it is no such file."""
    try:
        return tuple(Example.parsed(example) for example in json.loads(file.read_bytes()))
    except (TypeError, KeyError) as error:
        raise ValueError(str(file)) from error


def _write(examples: Sequence[Example], file: Path) -> None:
    file.write_text(json.dumps([asdict(example) for example in examples]))


def own_answers(base: BaseModel, template: PromptTemplate, questions: Sequence[str]) -> tuple[Example, ...]:
    """Each question with the base model's greedy answer, cut after ANSWER_TOKENS tokens, and what it thought likely."""
    encoder = Encoder(base.tokenizer, template, max_pair_tokens=1 << 16)
    prompts = [encoder.prompt(question) for question in questions]
    examples: list[Example] = []
    for start in range(0, len(prompts), ASKED_AT_ONCE):
        examples += _answered(base, prompts[start : start + ASKED_AT_ONCE], encoder.stop[-1])
    log.info("base_model_asked", questions=len(examples))
    return tuple(examples)


def _answered(base: BaseModel, prompts: Sequence[tuple[int, ...]], stop: int) -> Iterator[Example]:
    """Each prompt with what the model writes after it, the stop token where it comes included."""
    written, logits = continued(base, prompts, stop, ANSWER_TOKENS, with_logits=True)
    for row, prompt in enumerate(prompts):
        answer = _until(stop, written[row].tolist())
        likely = likeliest(torch.stack([of_token[row] for of_token in logits[: len(answer)]]))
        yield Example(tokens=(*prompt, *answer), answer_start=len(prompt), likely=tuple(likely))


def _until(stop: int, tokens: Sequence[int]) -> tuple[int, ...]:
    end = tokens.index(stop) + 1 if stop in tokens else len(tokens)
    return tuple(tokens[:end])
