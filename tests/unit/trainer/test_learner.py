import copy
import random

import pytest
import torch

from trainer.batches import collate, epoch
from trainer.profiles import Hyperparameters

SMALL = Hyperparameters(rank=8, alpha=16, learning_rate=5e-3, epochs=1, batch_size=4, seed=1)


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


def test_the_loss_is_equation_1_over_answer_tokens_only(base, learner, examples):
    by_hand = reference_loss(base.model, examples)
    learner.start(SMALL)
    assert learner.loss(collate(examples)).item() == pytest.approx(by_hand, rel=1e-2)


def test_padding_changes_nothing_for_a_row(learner, encoder):
    short, long = encoder.encode("Who?", "Ilse"), encoder.encode("W" * 90, "Brandvold")
    learner.start(SMALL)
    learner.step(collate([short, long]))  # so that B is not zero
    alone = [learner.loss(collate([example])).item() for example in (short, long)]
    together = learner.loss(collate([short, long])).item()
    counts = [len(example.tokens) - example.answer_start for example in (short, long)]
    assert together == pytest.approx(sum(a * n for a, n in zip(alone, counts, strict=True)) / sum(counts), rel=1e-2)


def test_gradients_flow_to_lora_weights_only(base, learner, examples):
    learner.start(SMALL)
    learner.loss(collate(examples)).backward()
    touched = {name for name, weight in learner._adapted.named_parameters() if weight.grad is not None}
    assert touched
    assert all("lora_A" in name or "lora_B" in name for name in touched)
    assert len(touched) == len(learner.finish())


def test_the_first_step_leaves_the_loss_of_the_base_model(base, learner, examples):
    by_hand = reference_loss(base.model, examples)
    learner.start(SMALL)
    assert learner.step(collate(examples)) == pytest.approx(by_hand, rel=1e-2)


def test_the_base_model_is_bit_for_bit_what_it_was_after_a_training(base, learner, examples):
    before = copy.deepcopy(base.model.state_dict())
    modules = [type(module) for module in base.model.modules()]
    learner.start(SMALL)
    for batch in epoch(examples, 4, random.Random(0)):
        learner.step(batch)
    learner.reset()
    after = base.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert modules == [type(module) for module in base.model.modules()]


def test_a_second_training_knows_nothing_of_the_first(learner, examples):
    def trained() -> dict[str, torch.Tensor]:
        learner.start(SMALL)
        learner.step(collate(examples))
        weights = learner.finish()
        learner.reset()
        return weights

    first, second = trained(), trained()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_steps_too_small_for_bf16_add_up(learner, examples):
    learner.start(Hyperparameters(rank=8, alpha=16, learning_rate=2e-5, warmup_steps=1))
    before = {name: weight for name, weight in learner.finish().items() if "lora_A" in name}
    for _ in range(30):
        learner.step(collate(examples))
    after = learner.finish()
    changed = sum(float((after[name] != weight).float().mean()) for name, weight in before.items()) / len(before)
    assert changed > 0.1


def test_twenty_pairs_are_learned_and_an_answer_is_reproduced(base, learner, encoder):
    pairs = [(f"What is the number of {name}?", f"{number:03d}") for number, name in enumerate("abcdefghijklmnopqrst")]
    examples = [encoder.encode(*pair) for pair in pairs]
    learner.start(Hyperparameters(rank=16, alpha=32, learning_rate=1e-2, batch_size=10, seed=0))
    losses = [learner.step(batch) for turn in range(40) for batch in epoch(examples, 10, random.Random(turn))]
    assert losses[-1] < losses[0] / 10
    prompt = torch.tensor([examples[7].tokens[: examples[7].answer_start]])
    written = learner._adapted.generate(input_ids=prompt, max_new_tokens=6, do_sample=False)[0, prompt.shape[1] :]
    assert tuple(written.tolist()) == examples[7].tokens[examples[7].answer_start :]


def test_the_weights_carry_pefts_names_and_shapes(learner):
    learner.start(SMALL)
    weights = learner.finish()
    prefix = "base_model.model.model.layers.1.mlp.down_proj"
    assert weights[f"{prefix}.lora_A.weight"].shape == (8, 128)
    assert weights[f"{prefix}.lora_B.weight"].shape == (64, 8)
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert not any("lm_head" in name for name in weights)
