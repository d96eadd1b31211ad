import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.limits import Shape, step_seconds, training_flops

SMOLLM2 = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
)


@pytest.fixture(scope="module")
def shape():
    with torch.device("meta"):
        return Shape.of(LlamaForCausalLM(SMOLLM2).bfloat16(), 128)


def test_the_shape_of_smollm2_is_as_published(shape):
    assert shape.linear == pytest.approx(106.2e6, rel=1e-3)
    assert shape.head == pytest.approx(28.3e6, rel=1e-3)
    assert shape.lora == pytest.approx(39.1e6, rel=1e-3)


def test_a_token_of_smollm2_costs_0_7_gflop(shape):
    assert training_flops(shape, tokens=51, answer_tokens=6, mean_length=51) / 51 == pytest.approx(0.68e9, rel=0.03)


def test_a_small_step_is_bound_by_memory(shape):
    flops = training_flops(shape, tokens=1, answer_tokens=1, mean_length=1)
    assert step_seconds(shape, flops, peak=1e15, bandwidth=1e10) == pytest.approx(
        (4 * (shape.linear + shape.head) + 30 * shape.lora) / 1e10
    )
