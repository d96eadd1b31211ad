"""A tiny base model, made once."""

import pytest

from lift.template import PromptTemplate
from trainer import base_model
from trainer.batches import Encoder
from trainer.learner import PeftLearner
from trainer.testing import make_tiny_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def base(model_folder):
    return base_model.load(str(model_folder), "cpu", 0)


@pytest.fixture
def learner(base):
    learner = PeftLearner(base.model)
    yield learner
    learner.reset()


@pytest.fixture(scope="session")
def encoder(base):
    return Encoder(base.tokenizer, PromptTemplate.for_vocabulary(base.tokenizer.get_vocab()), 512)
