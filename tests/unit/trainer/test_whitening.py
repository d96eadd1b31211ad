"""Directions that the base model's inputs share, and adapters that keep off them."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from lift.errors import InvalidOption
from trainer import base_model
from trainer.learners.fused import FusedLearner
from trainer.learners.peft_learner import PeftLearner
from trainer.learners.spectra import KeptSpectra, Spectrum, spectra
from trainer.learners.whitening import Whitener
from trainer.profiles import Hyperparameters

LAYER = "model.layers.0.mlp.down_proj"
WHITENED = Hyperparameters(rank=8, alpha=16, learning_rate=1e-3, warmup_steps=1, seed=3, whitening=30.0)


@pytest.fixture(scope="module")
def examples(encoder):
    questions = [f"How many {thing} are there in {place}?" for thing in "abcdefgh" for place in ("Oslo", "a box")]
    return [encoder.encode(question, str(7 * count)) for count, question in enumerate(questions)]


@pytest.fixture(scope="module")
def found(base, examples):
    return spectra(base, examples)


@pytest.fixture(params=["peft", "fused"])
def learner(request, base, found, tmp_path):
    def kept():
        return KeptSpectra(found, tmp_path / "unused")

    return (PeftLearner if request.param == "peft" else FusedLearner)(base.model, kept)


def inputs_of(base, examples, layer):
    """What the layer reads on each token of the examples, one example at a time."""
    rows = []
    hook = base.model.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0][0]))
    with torch.inference_mode():
        for example in examples:
            base.model(torch.tensor([example.tokens]))
    hook.remove()
    return torch.cat(rows).float()


def test_directions_are_the_strongest_of_each_layers_inputs(base, examples, found):
    rows = inputs_of(base, examples, LAYER)
    energies, directions = torch.linalg.eigh(rows.t() @ rows)
    expected = (energies.flip(0) / energies.mean())[:8]
    assert_close(found[LAYER].energies[:8], expected, rtol=0.05, atol=1e-3)
    alike = (found[LAYER].directions[:, 0] @ directions[:, -1]).abs()
    assert alike == pytest.approx(1, abs=1e-2)


def test_every_linear_layer_but_the_head_is_heard_and_shares_what_it_reads(base, found):
    linears = {name for name, part in base.model.named_modules() if isinstance(part, torch.nn.Linear)}
    assert found.keys() == linears - {"lm_head"}
    own = found["model.layers.1.self_attn.q_proj"]
    assert own is found["model.layers.1.self_attn.v_proj"]
    assert own is not found["model.layers.0.self_attn.q_proj"]
    assert own is not found["model.layers.1.self_attn.o_proj"]


def test_what_a_whitener_does_is_its_matrix():
    torch.manual_seed(0)
    spectrum, a = Spectrum.of(torch.randn(300, 40) * torch.logspace(1, -2, 40)), torch.randn(5, 40)
    whitener = Whitener.of(spectrum, 10.0, a)
    matrix = whitener(torch.eye(40))
    assert_close(whitener(a), a @ matrix)
    assert_close(matrix, matrix.t())
    assert torch.linalg.norm(matrix) == pytest.approx(40**0.5, rel=1e-4)
    gains = spectrum.directions.t() @ matrix @ spectrum.directions
    expected = (1 + 10 * spectrum.energies).rsqrt()
    assert_close(gains.diag() / gains.diag()[-1], expected / expected[-1], rtol=1e-3, atol=1e-4)


def test_an_adapter_disturbs_what_is_unlike_its_examples_less(base, learner, examples):
    def disturbed(hyperparameters):
        with learner.adapter(hyperparameters) as adapter:
            for _ in range(100):
                adapter.step(examples[:4])
            loss, weights = adapter.loss(examples[:4]), adapter.weights()
        change = weights[f"base_model.model.{LAYER}.lora_B.weight"].float() @ (
            weights[f"base_model.model.{LAYER}.lora_A.weight"].float()
        )
        return loss, (rows @ change.t()).norm().item()

    rows = inputs_of(base, examples[8:], LAYER)
    plain, whitened = disturbed(replace(WHITENED, whitening=0.0)), disturbed(WHITENED)
    assert plain[0] < 0.05
    assert whitened[0] < 0.05
    assert whitened[1] < plain[1] * 0.7


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_both_learners_take_the_same_steps(model_folder, examples, found, tmp_path, dtype):
    """From the same A', the losses of later steps agree, which those of steps without whiteners do not."""
    base = base_model.load(str(model_folder), "cpu", threads=1, dtype=dtype)

    def losses(kind, whitening):
        learner = kind(base.model, lambda: KeptSpectra(found, tmp_path / "unused"))
        with learner.adapter(replace(WHITENED, whitening=whitening)) as adapter:
            if kind is PeftLearner:
                with torch.no_grad():
                    torch._foreach_copy_(adapter._masters, _masters_of_a_fused_adapter(base, found, whitening, adapter))
                adapter._take_over()
            return [adapter.step(examples) for _ in range(5)]

    ours, theirs = losses(FusedLearner, 30.0), losses(PeftLearner, 30.0)
    assert ours == pytest.approx(theirs, rel=1e-2)
    assert losses(FusedLearner, 0.0) != pytest.approx(theirs, rel=1e-2)


def _masters_of_a_fused_adapter(base, found, whitening, plain):
    with FusedLearner(base.model, lambda: KeptSpectra(found, None)).adapter(
        replace(WHITENED, whitening=whitening)
    ) as fused:
        named = fused.lora.by_name(fused.lora._masters)
        wanted = [name for name, weight in plain.model.named_parameters() if weight.requires_grad]
        return [named[name.replace(".default", "")].clone() for name in wanted]


def test_spectra_are_kept_in_a_folder_for_the_next_process(base, examples, tmp_path, monkeypatch):
    first = KeptSpectra.of(tmp_path / "cache", base, examples)
    monkeypatch.setattr("trainer.learners.spectra.spectra", lambda *_: pytest.fail("made again"))
    for again in (KeptSpectra.of(tmp_path / "cache", base, examples), KeptSpectra.read(first.file)):
        assert again.spectra.keys() == first.spectra.keys()
        for name, spectrum in first.spectra.items():
            assert torch.equal(again.spectra[name].directions, spectrum.directions)
            assert torch.equal(again.spectra[name].energies, spectrum.energies)


def test_a_folder_that_cannot_be_written_or_a_broken_file_costs_time_only(base, examples, tmp_path):
    (tmp_path / "file").touch()
    elsewhere = KeptSpectra.of(tmp_path / "file" / "cache", base, examples)
    assert KeptSpectra.read(elsewhere.file).spectra.keys() == elsewhere.spectra.keys()
    kept = KeptSpectra.of(tmp_path, base, examples)
    kept.file.write_bytes(b"not a file of tensors")
    with pytest.raises(ValueError, match="spectra-"):
        KeptSpectra.read(kept.file)
    assert KeptSpectra.of(tmp_path, base, examples).spectra.keys() == kept.spectra.keys()
    assert KeptSpectra.read(kept.file).spectra.keys() == kept.spectra.keys()


@pytest.mark.parametrize("kind", [PeftLearner, FusedLearner])
def test_without_spectra_there_is_no_whitening(base, kind):
    with pytest.raises(InvalidOption, match="whitening"), kind(base.model).adapter(WHITENED):
        pass
