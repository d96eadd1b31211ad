"""Smaller ranks: nearest to the trained weights, chosen by the loss, and loaded by others."""

import copy
import dataclasses
import json

import peft
import pytest
import torch
from torch.testing import assert_close

from lift.errors import InvalidOption
from trainer import base_model
from trainer.jobs.publish import write_adapter
from trainer.jobs.shrink import shrink
from trainer.learners.decomposition import decomposed, rank_of, shrunk
from trainer.learners.fused import FusedLearner
from trainer.learners.peft_learner import PeftLearner
from trainer.learners.shared import SharedLearner
from trainer.profiles import Hyperparameters

LAYER = "base_model.model.model.layers.0.mlp.up_proj"
A, B = f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight"
TRAINED = Hyperparameters(rank=32, alpha=64, learning_rate=5e-3, batch_size=4, seed=1)


def random_weights(rank, true_rank, d_in=48, d_out=96, dtype=torch.float32):
    """Weights of one layer whose B A has that rank."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(true_rank, rank, generator=generator)
    a = torch.randn(rank, d_in, generator=generator)
    b = torch.randn(d_out, true_rank, generator=generator) @ mixed
    return {A: a.to(dtype), B: b.to(dtype)}


def delta(weights, layer=LAYER):
    return weights[f"{layer}.lora_B.weight"].float() @ weights[f"{layer}.lora_A.weight"].float()


def best_approximation(dense, rank):
    u, s, v_t = torch.linalg.svd(dense, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v_t[:rank]


@pytest.fixture(params=["peft", "peft in fp32", "fused", "shared"])
def learner(request, base, model_folder):
    if request.param == "peft in fp32":
        return PeftLearner(base_model.load(str(model_folder), "cpu", threads=1, dtype="float32").model)
    if request.param == "peft":
        return PeftLearner(base.model)
    fused = FusedLearner(base.model)
    return fused if request.param == "fused" else SharedLearner(fused)


@pytest.fixture
def examples(encoder):
    return [encoder.encode(f"How many {thing} are there?", str(7 * count)) for count, thing in enumerate("abcdefgh")]


def test_nothing_is_lost_where_the_change_has_no_higher_rank():
    weights = random_weights(rank=32, true_rank=8)
    assert_close(delta(shrunk(weights, 8)), delta(weights), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("rank", [1, 8, 16, 31])
def test_what_is_kept_is_the_best_approximation_of_that_rank(rank):
    weights = random_weights(rank=32, true_rank=32)
    smaller = shrunk(weights, rank)
    assert (smaller[A].shape, smaller[B].shape) == ((rank, 48), (96, rank))
    assert_close(delta(smaller), best_approximation(delta(weights), rank), rtol=1e-4, atol=1e-2)


def test_bf16_weights_stay_bf16_and_as_near_as_it_allows():
    weights = random_weights(rank=32, true_rank=8, dtype=torch.bfloat16)
    smaller = shrunk(weights, 8)
    assert {weight.dtype for weight in smaller.values()} == {torch.bfloat16}
    best = best_approximation(delta(weights), 8)
    assert torch.linalg.norm(delta(smaller) - best) < 0.01 * torch.linalg.norm(best)


def test_a_layer_narrower_than_the_rank_is_filled_up_with_zeros():
    weights = random_weights(rank=32, true_rank=4, d_in=12, d_out=4)
    smaller = shrunk(weights, 16)
    assert (smaller[A].shape, smaller[B].shape) == ((16, 12), (4, 16))
    assert_close(delta(smaller), delta(weights), rtol=1e-4, atol=1e-3)
    assert not smaller[A][4:].any()


def test_decomposing_takes_one_core_and_leaves_other_threads_theirs(monkeypatch):
    def observed(a, b):
        threads.append((torch.ones(300, 300) @ torch.ones(300, 300), torch.get_num_threads())[1])

    threads, before = [], torch.get_num_threads()
    monkeypatch.setattr("trainer.learners.decomposition.Components.of", observed)
    torch.set_num_threads(2)
    try:
        decomposed(random_weights(rank=8, true_rank=8))
        assert (threads, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("rank", [0, 33, 64])
def test_a_rank_above_the_trained_one_is_refused(rank):
    with pytest.raises(InvalidOption, match="from 1 to 32"):
        shrunk(random_weights(rank=32, true_rank=32), rank)


def test_a_loss_with_other_weights_leaves_the_adapter_as_it_was(learner, examples):
    with learner.adapter(TRAINED) as adapter:
        adapter.step(examples)
        before, trained = adapter.weights(), adapter.loss(examples)
        nothing = {name: torch.zeros_like(weight) for name, weight in before.items()}
        untrained, own = adapter.loss_with(nothing, examples), adapter.loss_with(before, examples)
        assert adapter.loss(examples) == pytest.approx(trained)
        assert own == pytest.approx(trained, rel=1e-3)  # in bf16, as weights are published
        assert adapter.step(examples) == pytest.approx(own, rel=1e-2)
    assert untrained > own
    with learner.adapter(TRAINED) as adapter:
        assert adapter.step(examples) == pytest.approx(untrained, rel=1e-2)
        assert all(torch.equal(before[name], weight) for name, weight in adapter.weights().items())


def trained_and_shrunk(learner, examples, epsilon, steps=12):
    chosen = dataclasses.replace(TRAINED, shrink_epsilon=epsilon)
    with learner.adapter(chosen) as adapter:
        for _ in range(steps):
            adapter.step(examples)
        weights = adapter.weights()
        smaller = shrink(adapter, examples, chosen)
        return weights, smaller, adapter.loss_with(weights, examples)


def test_the_smallest_rank_is_chosen_where_the_loss_may_rise(learner, examples):
    _, smaller, _ = trained_and_shrunk(learner, examples, epsilon=10.0)
    assert rank_of(smaller) == 8


@pytest.mark.parametrize("epsilon", [0.0, 1e-9])
def test_a_document_whose_loss_would_rise_keeps_its_rank(learner, examples, epsilon):
    weights, smaller, _ = trained_and_shrunk(learner, examples, epsilon, steps=3)
    assert rank_of(smaller) == 32
    assert all(torch.equal(weights[name], weight) for name, weight in smaller.items())


def test_weights_that_are_no_numbers_are_left_to_validation(base, examples):
    chosen = dataclasses.replace(TRAINED, shrink_epsilon=1.0)
    with PeftLearner(base.model).adapter(chosen) as adapter:
        weights = {name: weight.fill_(torch.nan) for name, weight in adapter.weights().items()}
        adapter.weights = lambda: weights
        assert shrink(adapter, examples, chosen) is weights


@pytest.fixture
def published(base, examples, tmp_path):
    """Folders of one training at its own rank and shrunk to 16, and the layers' weights."""
    weights, _, _ = trained_and_shrunk(FusedLearner(base.model), examples, 0.0)
    both = {32: weights, 16: shrunk(weights, 16)}
    for rank, of_rank in both.items():
        (tmp_path / str(rank)).mkdir()
        write_adapter(tmp_path / str(rank), of_rank, base_model="tiny", scaling=TRAINED.scaling)
    return tmp_path, both


def test_the_configuration_keeps_the_scaling(published):
    folder, _ = published
    config = json.loads((folder / "16" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (16, 32)


def test_peft_loads_it_and_its_merged_layers_are_the_best_approximation(base, published):
    folder, both = published
    fp32 = copy.deepcopy(base.model).float()
    merged = peft.PeftModel.from_pretrained(copy.deepcopy(fp32), folder / "16").merge_and_unload().state_dict()
    for name, weight in fp32.state_dict().items():
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{layer}.lora_A.weight" not in both[32]:
            continue
        best = TRAINED.scaling * best_approximation(delta(both[32], layer), 16)
        assert_close(merged[name] - weight, best, rtol=0.02, atol=0.02 * float(best.abs().max()))


def test_outputs_of_the_merged_model_are_the_adapters(base, examples, published):
    folder, _ = published
    tokens = torch.tensor([examples[0].tokens])
    logits = {}
    for rank in ("32", "16"):
        model = peft.PeftModel.from_pretrained(copy.deepcopy(base.model).float(), folder / rank)
        with torch.no_grad():
            logits[rank] = model(tokens).logits
            assert_close(model.merge_and_unload()(tokens).logits, logits[rank], rtol=1e-3, atol=1e-3)
    assert torch.linalg.norm(logits["16"] - logits["32"]) < 0.1 * torch.linalg.norm(logits["32"])
