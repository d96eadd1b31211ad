"""How many processes make a step together where nobody says, and what is found out about the base model."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from lift.template import PromptTemplate
from trainer import workshop
from trainer.learners.fused import FusedLearner
from trainer.learners.peft_learner import PeftLearner
from trainer.profiles import Hyperparameters
from trainer.retention import own_answers
from trainer.workshop import Workshop


@pytest.fixture
def threads(monkeypatch):
    """Sets how many threads torch seems to have, and keeps what they are set to."""
    said = SimpleNamespace(now=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: said.now)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: setattr(said, "now", number))
    return said


@pytest.mark.parametrize(("found", "devices"), [(None, 2), (object(), 1)])
def test_two_cores_have_a_process_each_but_on_tiles(base, threads, monkeypatch, found, devices):
    monkeypatch.setattr(workshop, "tiles", lambda _: found)
    model = SimpleNamespace(config=base.model.config, device=torch.device("cpu"), dtype=torch.bfloat16)
    assert workshop._fast_devices(replace(base, model=model)) == devices
    assert threads.now == 2 // devices


@pytest.mark.parametrize("cores", [1, 3, 16])
def test_other_cores_share_one_process(base, threads, cores):
    threads.now = cores
    assert workshop._fast_devices(base) == 1
    assert threads.now == cores


@pytest.mark.parametrize(("model_type", "device"), [("gemma2", "cpu"), ("llama", "cuda")])
def test_a_gpu_or_a_model_of_another_kind_has_one_process(base, threads, model_type, device):
    config = SimpleNamespace(model_type=model_type, hidden_act="silu")
    other = replace(base, model=SimpleNamespace(config=config, device=torch.device(device), dtype=torch.float32))
    assert workshop._fast_devices(other) == 1
    assert threads.now == 2


@pytest.fixture
def plain(base, monkeypatch, tmp_path):
    """A workshop whose learner is the plain one, which makes adapters parts of the model; few questions are asked."""
    monkeypatch.setattr(FusedLearner, "takes", staticmethod(lambda _: False))
    monkeypatch.setattr("trainer.retention.unrelated_questions", lambda: ("Hello?", "Who?"))
    made = Workshop(base, PromptTemplate.for_vocabulary(base.tokenizer.get_vocab()), tmp_path, devices=1)
    assert isinstance(made.learner, PeftLearner)
    return made


@pytest.mark.parametrize("find_out", [Workshop.own_answers, Workshop.spectra])
def test_the_base_model_is_asked_once_no_adapter_is_a_part_of_it(plain, monkeypatch, find_out):
    adapted = []

    def asked(base, *rest):
        adapted.append(any(isinstance(module, BaseTunerLayer) for module in base.model.modules()))
        return own_answers(base, *rest)

    monkeypatch.setattr("trainer.retention.own_answers", asked)
    thread = threading.Thread(target=find_out, args=[plain])
    with plain.learner.adapter(Hyperparameters(rank=8)):
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(120)
    assert adapted == [False]
    assert not any("lora" in name or "base_layer" in name for name in plain.spectra().spectra)


def test_a_first_adapter_has_the_spectra_found_that_it_needs(plain):
    with plain.learner.adapter(Hyperparameters(rank=8, whitening=3.0)) as adapter:
        assert sum(whitener is not None for whitener in adapter._whiteners) == len(adapter._whiteners) / 2


def test_the_vocabulary_is_looked_at_once(plain):
    assert plain.vocabulary() is plain.vocabulary()
    assert len(plain.vocabulary().inverse_lengths) == plain.base.model.config.vocab_size
