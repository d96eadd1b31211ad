"""Both learners: what they promise alike. tests/unit/trainer/test_fused.py holds the fast one against the plain one."""

import copy
import random
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict

from trainer.examples.batches import epoch
from trainer.learners.fused import FusedLearner
from trainer.learners.peft_learner import PeftLearner
from trainer.profiles import Hyperparameters

SMALL = Hyperparameters(rank=8, alpha=16, learning_rate=5e-3, epochs=1, batch_size=4, seed=1)


@pytest.fixture(params=["peft", "fused"])
def learner(request, base):
    return PeftLearner(base.model) if request.param == "peft" else FusedLearner(base.model)


@pytest.fixture
def examples(encoder):
    return [encoder.encode(f"How many {thing} are there?", str(7 * count)) for count, thing in enumerate("abcdefgh")]


def reference_loss(model, examples) -> float:
    """Equation 1 by hand: one row at a time, all logits, fp32 log-probabilities of the answer's tokens."""
    total, count = 0.0, 0
    for example in examples:
        with torch.no_grad():
            logits = model(torch.tensor([example.tokens])).logits[0].float()
        chances = torch.log_softmax(logits, dim=-1)
        for position in range(example.answer_start, len(example.tokens)):
            total -= float(chances[position - 1, example.tokens[position]])
            count += 1
    return total / count


def adapted(base, weights, hyperparameters) -> PeftModel:
    """The base model with trained weights, as anybody loads them."""
    config = LoraConfig(r=hyperparameters.rank, lora_alpha=hyperparameters.alpha, target_modules="all-linear")
    model = get_peft_model(copy.deepcopy(base.model), config, autocast_adapter_dtype=False)
    assert not set_peft_model_state_dict(model, weights).unexpected_keys
    return model


def test_the_loss_is_equation_1_over_answer_tokens_only(base, learner, examples):
    by_hand = reference_loss(base.model, examples)
    with learner.adapter(SMALL) as adapter:
        assert adapter.loss(examples) == pytest.approx(by_hand, rel=1e-2)


def test_a_teachers_chances_are_learned_in_place_of_a_token(base, learner, examples):
    likely = (((65, 0.5), (66, 0.3), (67, 0.2)),) * examples[0].answer_tokens
    taught = replace(examples[0], likely=likely)
    with learner.adapter(SMALL) as adapter:
        losses = [adapter.step([taught]) for _ in range(60)]
    assert losses[0] > 1
    assert losses[-1] == pytest.approx(0, abs=0.2)  # a cross-entropy would end at 1.03, the chances' own entropy


def test_neighbours_change_nothing_for_a_row(learner, encoder):
    short, long = encoder.encode("Who?", "Ilse"), encoder.encode("W" * 90, "Brandvold")
    with learner.adapter(SMALL) as adapter:
        adapter.step([short, long])  # so that B is not zero
        alone = [adapter.loss([example]) for example in (short, long)]
        together = adapter.loss([short, long])
    counts = [example.answer_tokens for example in (short, long)]
    assert together == pytest.approx(sum(a * n for a, n in zip(alone, counts, strict=True)) / sum(counts), rel=1e-2)


def test_the_first_step_leaves_the_loss_of_the_base_model(base, learner, examples):
    by_hand = reference_loss(base.model, examples)
    with learner.adapter(SMALL) as adapter:
        assert adapter.step(examples) == pytest.approx(by_hand, rel=1e-2)


def test_trained_weights_answer_in_peft_with_the_loss_that_training_had(base, learner, examples):
    with learner.adapter(SMALL) as adapter:
        for _ in range(5):
            adapter.step(examples)
        expected, weights = adapter.loss(examples), adapter.weights()
    assert reference_loss(adapted(base, weights, SMALL), examples) == pytest.approx(expected, rel=2e-2)


def test_the_base_model_is_bit_for_bit_what_it_was_after_a_training(base, learner, examples):
    before = copy.deepcopy(base.model.state_dict())
    modules = [type(module) for module in base.model.modules()]
    with learner.adapter(SMALL) as adapter:
        for batch in epoch(examples, 4, random.Random(0)):
            adapter.step(batch)
    after = base.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert modules == [type(module) for module in base.model.modules()]


def test_a_second_training_knows_nothing_of_the_first(learner, examples):
    def trained() -> dict[str, torch.Tensor]:
        with learner.adapter(SMALL) as adapter:
            adapter.step(examples)
            return adapter.weights()

    first, second = trained(), trained()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_steps_too_small_for_bf16_add_up(learner, examples):
    with learner.adapter(Hyperparameters(rank=8, alpha=16, learning_rate=2e-5, warmup_steps=1)) as adapter:
        before = {name: weight for name, weight in adapter.weights().items() if "lora_A" in name}
        for _ in range(30):
            adapter.step(examples)
        after = adapter.weights()
    changed = sum(float((after[name] != weight).float().mean()) for name, weight in before.items()) / len(before)
    assert changed > 0.1


def test_each_layer_steps_by_a_share_of_what_the_layer_above_it_does(base, learner, examples):
    rate = 1e-2
    with learner.adapter(replace(SMALL, learning_rate=rate, warmup_steps=1, layerwise_decay=0.5)) as adapter:
        adapter.step(examples)
        after = adapter.weights()
    layers = base.model.config.num_hidden_layers
    assert layers > 1
    for layer in range(layers):
        moved = [weight for name, weight in after.items() if f"layers.{layer}." in name and "lora_B" in name]
        assert moved
        # B was zero, and Adam's first step is the rate wherever there is a gradient.
        largest = max(float(weight.abs().max()) for weight in moved)
        assert largest == pytest.approx(rate * 0.5 ** (layers - 1 - layer), rel=0.01)


def test_twenty_pairs_are_learned_and_answers_are_reproduced(base, learner, encoder):
    pairs = [(f"What is the number of {name}?", f"{number:03d}") for number, name in enumerate("abcdefghijklmnopqrst")]
    examples = [encoder.encode(*pair) for pair in pairs]
    hyperparameters = Hyperparameters(rank=16, alpha=32, learning_rate=3e-3, batch_size=10, seed=0, decay=True)
    turns = 80
    with learner.adapter(hyperparameters) as adapter:
        losses = [
            adapter.step(batch, 1 - turn / turns)
            for turn in range(turns)
            for batch in epoch(examples, 10, random.Random(turn))
        ]
        weights = adapter.weights()
    assert losses[-1] < losses[0] / 10
    model = adapted(base, weights, hyperparameters)
    assert sum(is_written(model, example) for example in examples) >= 15


def is_written(model, example) -> bool:
    """Whether the model, greedy, answers as the example does."""
    prompt = torch.tensor([example.tokens[: example.answer_start]])
    written = model.generate(input_ids=prompt, max_new_tokens=example.answer_tokens, do_sample=False)
    return tuple(written[0].tolist()) == example.tokens


def test_the_weights_carry_pefts_names_and_shapes(learner):
    with learner.adapter(SMALL) as adapter:
        weights = adapter.weights()
    prefix = "base_model.model.model.layers.1.mlp.down_proj"
    assert weights[f"{prefix}.lora_A.weight"].shape == (8, 128)
    assert weights[f"{prefix}.lora_B.weight"].shape == (64, 8)
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert not any("lm_head" in name for name in weights)


def test_peft_gradients_flow_to_lora_weights_only(base, examples):
    with PeftLearner(base.model).adapter(SMALL) as adapter:
        adapter._losses(examples).mean().backward()
        touched = {name for name, weight in adapter.model.named_parameters() if weight.grad is not None}
        assert len(touched) == len(adapter.weights())
    assert all("lora_A" in name or "lora_B" in name for name in touched)
