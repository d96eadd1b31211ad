"""The fast learner against the plain one, in fp32, on every architecture that it takes."""

import math
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
import transformers

from trainer.examples.batches import Example
from trainer.learners import fused, kernel_pieces, lora
from trainer.learners.fused import FusedLearner, Step
from trainer.learners.peft_learner import PeftLearner
from trainer.learners.prefixes import ON_CPU, ON_GPU, forest
from trainer.profiles import Hyperparameters

RATHER = Hyperparameters(rank=8, alpha=16, learning_rate=1e-3, warmup_steps=1, seed=3)
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS = {
    "llama": transformers.LlamaConfig(**SHAPE, rope_theta=5000.0),
    "llama-3.1": transformers.LlamaConfig(
        **SHAPE,
        tie_word_embeddings=True,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 5000.0,
        },
    ),
    "mistral": transformers.MistralConfig(**SHAPE, sliding_window=None),
    "qwen2": transformers.Qwen2Config(**SHAPE),
    "qwen3": transformers.Qwen3Config(**SHAPE, head_dim=16),
}
DEVICES = ["cpu", "cpu without a compiler", *(["cuda"] if torch.cuda.is_available() else [])]
EXAMPLES = [
    Example(tokens=(1, 2, 3, 4, 5, 6), answer_start=4),
    Example(tokens=(1, 2, 3, 9, 8), answer_start=3),
    Example(tokens=(1, 2, 3, 4, 7, 7, 2, 50), answer_start=5),
    Example(tokens=(11, 2, 3, 4, 5), answer_start=4),
    Example(tokens=(1, 2, 3, 4, 5, 6), answer_start=4),
    Example(tokens=(1, 2, 9, 9, 5), answer_start=3, likely=(((9, 0.6), (4, 0.3), (0, 0.1)), ((5, 1.0),))),
]


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    if request.param == "cpu without a compiler":
        for module in (kernel_pieces, lora):
            monkeypatch.setattr(module, "kernels", lambda _: None)
    return request.param.split()[0]


@pytest.fixture(params=CONFIGS)
def model(request, device):
    torch.manual_seed(0)
    config = CONFIGS[request.param]
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, weight in model.named_parameters():
        if "norm" in name or "bias" in name:  # ones and zeros would hide what is forgotten
            torch.nn.init.normal_(weight.data, mean=1.0, std=0.3)
    return model.to(device)


def set_to(adapter, values) -> None:
    """The PEFT adapter's weights, as a fused adapter has them."""
    for name, value in adapter.model.state_dict().items():
        if "lora" in name:
            value.copy_(values[name.replace(".default", "")])


def test_loss_and_gradients_are_those_of_autograd(model):
    with FusedLearner(model).adapter(RATHER) as fused:
        fused.lora.weights.uniform_(-0.1, 0.1)  # B is zero where a training begins, which would hide A's gradients
        with PeftLearner(model).adapter(RATHER) as plain:
            set_to(plain, fused.lora.by_name(fused.lora.weights))
            assert fused.loss(EXAMPLES) == pytest.approx(plain.loss(EXAMPLES), rel=1e-5)
            (gradients, expected), (ours, got) = plain.gradients(EXAMPLES), fused.gradients(EXAMPLES)
    assert got == pytest.approx(expected, rel=1e-5)
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


def test_a_loss_in_several_passes_is_that_in_one_and_leaves_no_gradient(model, monkeypatch):
    with FusedLearner(model).adapter(RATHER) as adapter:
        adapter.lora.weights.uniform_(-0.1, 0.1)
        whole = adapter.loss(EXAMPLES)
        monkeypatch.setattr(fused, "PASS_TOKENS", 8)
        assert adapter.loss(EXAMPLES) == pytest.approx(whole, rel=1e-5)
        assert not adapter.lora.gradients.any()


def test_padding_changes_neither_losses_nor_gradients(model, device):
    learner = FusedLearner(model)
    grown = forest([(EXAMPLES, 0.5)])
    found = []
    for laid_out in (grown, grown.padded(ON_CPU), grown.padded(ON_GPU)):
        with learner.adapter(RATHER) as adapter:
            adapter.lora.weights.uniform_(-0.1, 0.1, generator=torch.Generator(device).manual_seed(0))
            here = laid_out.to(torch.device(device))
            losses = fused._learn(learner._base, [adapter.lora], here, learner._base.turns(here.positions))
            found.append((losses[grown.tree_answers[0]], adapter.lora.gradients))
    for losses, gradients in found[1:]:
        torch.testing.assert_close(losses, found[0][0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gradients, found[0][1], rtol=1e-4, atol=1e-7)


def test_recorded_passes_train_as_those_that_are_not(model, device, monkeypatch):
    if device == "cpu":
        pytest.skip("passes are recorded on GPUs")

    def trained(tokens):
        monkeypatch.setattr(fused, "RECORDED_TOKENS", tokens)
        learner = FusedLearner(model)
        with learner.adapter(RATHER) as one, learner.adapter(replace(RATHER, seed=9)) as other:
            losses = [each.step(EXAMPLES[: 4 + step % 3]) for step in range(9) for each in (one, other)]
            return losses, one.weights() | {f"other.{name}": weight for name, weight in other.weights().items()}

    (losses, weights), (expected, wanted) = trained(1000), trained(0)
    assert losses == pytest.approx(expected, rel=1e-3)
    for name, weight in wanted.items():
        torch.testing.assert_close(weights[name], weight, rtol=2e-2, atol=1e-4, msg=name)


def test_a_step_in_parts_is_the_step(model, monkeypatch):
    def trained(part_tokens):
        monkeypatch.setattr("trainer.learners.fused.PASS_TOKENS", part_tokens)
        with FusedLearner(model).adapter(RATHER) as adapter:
            losses = [adapter.step(EXAMPLES) for _ in range(3)]
            return losses, adapter.weights()

    whole, parts = trained(1000), trained(7)
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    for name, weight in whole[1].items():
        torch.testing.assert_close(parts[1][name], weight, rtol=2e-2, atol=1e-4, msg=name)


def test_adapters_trained_together_are_as_if_each_had_been_alone(model):
    learner = FusedLearner(model)
    kinds = [RATHER, replace(RATHER, rank=16, alpha=8.0, learning_rate=3e-3), replace(RATHER, seed=9, clip_norm=0.01)]
    shares = [EXAMPLES, EXAMPLES[1:3], EXAMPLES[::-1]]
    alone = []
    for kind, examples in zip(kinds, shares, strict=True):
        with learner.adapter(kind) as adapter:
            alone.append(([adapter.step(examples) for _ in range(3)], adapter.weights()))
    with ExitStack() as stack:
        adapters = [stack.enter_context(learner.adapter(kind)) for kind in kinds]
        losses = [
            learner.step([Step(adapter, examples) for adapter, examples in zip(adapters, shares, strict=True)])
            for _ in range(3)
        ]
        for number, (expected, weights) in enumerate(alone):
            assert [of_step[number] for of_step in losses] == pytest.approx(expected, rel=1e-4)
            for name, weight in adapters[number].weights().items():
                torch.testing.assert_close(weight, weights[name], rtol=2e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize("well_first", [True, False])
def test_an_adapter_that_diverges_spoils_no_other(model, well_first):
    learner = FusedLearner(model)
    with learner.adapter(RATHER) as well, learner.adapter(RATHER) as ill, learner.adapter(RATHER) as alone:
        ill.lora.weights.fill_(torch.nan)
        both = [Step(well, EXAMPLES), Step(ill, EXAMPLES)][:: 1 if well_first else -1]
        losses = [learner.step(both)[:: 1 if well_first else -1] for _ in range(2)]
        assert [loss for loss, _ in losses] == pytest.approx([alone.step(EXAMPLES) for _ in range(2)], rel=1e-4)
        assert all(math.isnan(loss) for _, loss in losses)
        assert all(weight.isfinite().all() for weight in well.weights().values())


@pytest.mark.parametrize(
    ("config", "taken"),
    [
        (CONFIGS["llama"], True),
        (CONFIGS["qwen3"], True),
        (transformers.MistralConfig(**SHAPE, sliding_window=8), False),
        (transformers.LlamaConfig(**SHAPE, hidden_act="gelu"), False),
        (transformers.GemmaConfig(**SHAPE), False),
    ],
)
def test_only_the_one_architecture_is_taken(config, taken):
    assert FusedLearner.takes(config) is taken
