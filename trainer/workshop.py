"""Turns settings into what stays warm between jobs: base model, learner, and the template of prompts."""

from dataclasses import dataclass
from typing import Self

import structlog

from lift.errors import InvalidOption
from lift.settings import Settings
from lift.template import PromptTemplate
from trainer import base_model
from trainer.base_model import BaseModel
from trainer.batches import Encoder
from trainer.fused import FusedLearner
from trainer.learner import Learner
from trainer.parallel import ParallelLearner, Worker
from trainer.peft_learner import PeftLearner
from trainer.shared import SharedLearner

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """The base model, what is trained on it, and the template of its prompts."""

    base: BaseModel
    learner: Learner
    template: PromptTemplate

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings name. BaseModelMissing; InvalidOption: more devices than the learner takes."""
        model, trainer = settings.model, settings.trainer
        base = base_model.load(model.base_model, trainer.device, trainer.threads, model.dtype)
        template = (
            PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
            if model.template == "auto"
            else PromptTemplate.named(model.template)
        )
        return cls(base=base, learner=_learner(base, trainer.devices), template=template)

    def encoder(self, max_pair_tokens: int) -> Encoder:
        """Tokenises pairs of at most so many tokens with the model's tokenizer and template."""
        return Encoder(self.base.tokenizer, self.template, max_pair_tokens)


def _learner(base: BaseModel, devices: int) -> Learner:
    """The fast learner for the models that it takes, the plain one for all others. InvalidOption: too many devices."""
    learner: Learner
    model_type = base.model.config.model_type
    if not FusedLearner.takes(base.model.config):
        if devices > 1:
            raise InvalidOption(option="trainer.devices", value=devices, expected=f"1 for a model of type {model_type}")
        learner = PeftLearner(base.model)
    elif devices > 1:
        learner = SharedLearner(ParallelLearner(base.model, Worker.beside(base, devices)))
    else:
        learner = SharedLearner(FusedLearner(base.model))
    log.info("learner_chosen", learner=type(learner).__name__, model_type=model_type, devices=devices)
    return learner
