"""Turns settings into what stays warm between jobs: base model, learner, template, and what is known of the base."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import structlog
import torch

from lift.errors import InvalidOption
from lift.settings import Settings
from lift.template import PromptTemplate
from trainer import base_model
from trainer.base_model import BaseModel
from trainer.examples.abstention import abstentions
from trainer.examples.batches import Encoder, Example
from trainer.examples.beside import Portion
from trainer.learners import tile_products
from trainer.learners.compiled import keep_kernels
from trainer.learners.fused import FusedLearner
from trainer.learners.learner import Learner
from trainer.learners.parallel import ParallelLearner, Worker
from trainer.learners.peft_learner import PeftLearner
from trainer.learners.primer import Primer
from trainer.learners.shared import SharedLearner
from trainer.learners.spectra import KeptSpectra
from trainer.learners.tiles import tiles
from trainer.profiles import Hyperparameters
from trainer.retention import kept_answers, unrelated_questions
from trainer.vocabulary import Vocabulary

log = structlog.get_logger()

APART = 2  # cores with a process each; more were not measured


class Workshop:
    """The base model, what trains on it, and the template of its prompts.

    `learner` is for jobs in several threads, `unshared` the same one for who computes in a thread of their own.
    """

    def __init__(
        self, base: BaseModel, template: PromptTemplate, folder: Path, devices: int, primer: Primer | None = None
    ) -> None:
        """`folder` keeps what is found out about the base model. InvalidOption: more devices than the learner takes."""
        self.base = base
        self.template = template
        self.primer = primer
        self._folder = folder
        self._finding_out = threading.RLock()
        self._own_answers: tuple[Example, ...] = ()
        self._spectra: KeptSpectra | None = None
        self._vocabulary: Vocabulary | None = None
        self.unshared = unshared_learner(base, devices, self.spectra)
        self.learner: Learner = (
            SharedLearner(self.unshared) if isinstance(self.unshared, FusedLearner) else self.unshared
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings name. BaseModelMissing; PrimerRejected; InvalidOption: too many devices."""
        model, trainer = settings.model, settings.trainer
        base = base_model.load(model.base_model, trainer.device, trainer.threads, model.dtype)
        keep_kernels(settings.state_dir.resolve() / "cache" / "kernels")
        template = (
            PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
            if model.template == "auto"
            else PromptTemplate.named(model.template)
        )
        primer = Primer.read(Path(trainer.primer), base.folder) if trainer.primer else None
        devices = trainer.devices or _fast_devices(base)
        return cls(base, template, settings.state_dir / "cache", devices, primer)

    def own_answers(self) -> tuple[Example, ...]:
        """What the base model says to unrelated questions; it is asked once."""
        with self._finding_out:
            if not self._own_answers:
                with self.learner.unadapted():
                    self._own_answers = kept_answers(self._folder, self.base, self.template)
            return self._own_answers

    def spectra(self) -> KeptSpectra:
        """What directions the base model's inputs have while it answers those; looked at once."""
        with self._finding_out:
            if self._spectra is None:
                answers = self.own_answers()
                with self.learner.unadapted():
                    self._spectra = KeptSpectra.of(self._folder, self.base, answers)
            return self._spectra

    def vocabulary(self) -> Vocabulary:
        """What directions the base model's tokens and the unrelated questions have; looked at once."""
        with self._finding_out:
            if self._vocabulary is None:
                self._vocabulary = Vocabulary.of(self.base, unrelated_questions())
            return self._vocabulary

    def beside(self, chosen: Hyperparameters) -> list[Portion]:
        """What an adapter is trained on besides its document; found out in an `unadapted` block of the learner."""
        portions = []
        if chosen.retained_share:
            portions.append(Portion(examples=self.own_answers(), share=chosen.retained_share))
        if chosen.abstained_share:
            portions.append(
                Portion(examples=abstentions(self.encoder(chosen.max_pair_tokens)), share=chosen.abstained_share)
            )
        return portions

    def encoder(self, max_pair_tokens: int) -> Encoder:
        """Tokenises pairs of at most so many tokens with the model's tokenizer and template."""
        return Encoder(self.base.tokenizer, self.template, max_pair_tokens)


def _fast_devices(base: BaseModel) -> int:
    """How many processes make a step where nobody says: on two cores one each, which compute without waiting.

    Two threads of one process wait for each other at each of a step's five thousand pieces of work; on tiles these are
    far fewer (docs/why.md).
    """
    two_cores = base.model.device.type == "cpu" and torch.get_num_threads() == APART
    on_tiles = base.model.dtype == torch.bfloat16 and tiles(tile_products.FILE)
    if not two_cores or on_tiles or not FusedLearner.takes(base.model.config):
        return 1
    torch.set_num_threads(1)
    return APART


def unshared_learner(
    base: BaseModel, devices: int = 1, spectra: Callable[[], KeptSpectra] | None = None
) -> FusedLearner | PeftLearner:
    """The fast learner for the models that it takes, the plain one for all others. InvalidOption: too many devices."""
    learner: FusedLearner | PeftLearner
    model_type = base.model.config.model_type
    if not FusedLearner.takes(base.model.config):
        if devices > 1:
            raise InvalidOption(option="trainer.devices", value=devices, expected=f"1 for a model of type {model_type}")
        learner = PeftLearner(base.model, spectra)
    elif devices > 1:
        learner = ParallelLearner(base.model, Worker.beside(base, devices), spectra)
    else:
        learner = FusedLearner(base.model, spectra)
    log.info("learner_chosen", learner=type(learner).__name__, model_type=model_type, devices=devices)
    return learner
