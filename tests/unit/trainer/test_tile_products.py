"""Adapted linear layers and whiteners on tiles against torch's products in fp32, where the processor has tiles."""

from dataclasses import replace

import pytest
import torch
from structlog.testing import capture_logs

from lift import native
from lift.processor import processor as instructions
from trainer.learners import frozen
from trainer.learners.adapted_linear import Rows, adapted_linear
from trainer.learners.compiled import KERNELS
from trainer.learners.frozen import Group
from trainer.learners.fused import FusedLearner
from trainer.learners.lora import Adapted
from trainer.learners.tile_products import FILE, Panels
from trainer.learners.tiles import tiles
from trainer.learners.whitening import Whitener
from trainer.profiles import Hyperparameters

WIDTH, OUTPUTS = 64, (96, 32, 64)
ROWS = [slice(0, 33), slice(33, 34), slice(34, 130)]

on_tiles = pytest.mark.skipif(tiles(FILE) is None, reason="this processor has no tiles")


@pytest.fixture(scope="module", autouse=True, params=["", "-mno-amx-bf16"], ids=["as it is", "vectors"])
def processor(request):
    """This one, and this one without its matrix tiles."""
    if not request.param:
        yield
        return
    if "amx_bf16" not in instructions():
        pytest.skip("this processor has no matrix tiles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "FLAGS", (*native.FLAGS, request.param))
        tiles.cache_clear()
        yield
    tiles.cache_clear()


@pytest.fixture(autouse=True)
def two_threads():
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def random(*shape, scale=1.0):
    return (torch.randn(shape) * scale).bfloat16()


def group(*, bias):
    weight = random(sum(OUTPUTS), WIDTH, scale=WIDTH**-0.5)
    names = tuple("qkv")
    return Group(names, weight, random(sum(OUTPUTS)) if bias else None, OUTPUTS, Panels.of(weight, OUTPUTS))


def share(rows, rank, gradients):
    a, b = random(len(OUTPUTS) * rank, WIDTH, scale=WIDTH**-0.5), random(sum(OUTPUTS), rank, scale=rank**-0.5)
    return Rows(rows, Adapted(a, b), Adapted(gradients[0].expand_as(a).clone(), gradients[1].expand_as(b).clone()), 0.5)


def in_fp32(layers, shares):
    wide = [
        Rows(each.at, *(Adapted(own.a.float(), own.b.float()) for own in (each.lora, each.gradient)), each.scaling)
        for each in shares
    ]
    bias = None if layers.bias is None else layers.bias.float()
    return replace(layers, weight=layers.weight.float(), bias=bias, panels=None), wide


def close(ours, wanted):
    assert ours.dtype == torch.bfloat16
    assert (ours.float() - wanted).norm() < 5e-3 * wanted.norm()


@on_tiles
@pytest.mark.parametrize("rank", [4, 32, 48])
@pytest.mark.parametrize("bias", [False, True])
def test_several_adapters_rows_and_gradients_are_those_of_fp32(rank, bias):
    """Gradients are added to what is there; rows and ranks need be no multiples of a block."""
    layers = group(bias=bias)
    shares = [share(rows, rank, (random(1), random(1))) for rows in ROWS]
    wide_layers, wide_shares = in_fp32(layers, shares)
    x, dy = random(ROWS[-1].stop, WIDTH).requires_grad_(), random(ROWS[-1].stop, sum(OUTPUTS))
    wide_x = x.detach().float().requires_grad_()
    y, wanted = adapted_linear(x, layers, shares), adapted_linear(wide_x, wide_layers, wide_shares)
    assert type(y.grad_fn) is not type(wanted.grad_fn)
    y.backward(dy)
    wanted.backward(dy.float())
    close(y, wanted)
    close(x.grad, wide_x.grad)
    for ours, theirs in zip(shares, wide_shares, strict=True):
        close(ours.gradient.a, theirs.gradient.a)
        close(ours.gradient.b, theirs.gradient.b)


@on_tiles
def test_many_rows_are_gone_through_in_chunks():
    weight = random(64, 3072, scale=3072**-0.5)
    layers = Group(("down",), weight, None, (64,), Panels.of(weight, (64,)))
    a, b = random(8, 3072, scale=3072**-0.5), random(64, 8)
    shares = [Rows(slice(0, 700), Adapted(a, b), Adapted(torch.zeros_like(a), torch.zeros_like(b)), 1.0)]
    wide_layers, wide_shares = in_fp32(layers, shares)
    x = random(700, 3072)
    close(adapted_linear(x, layers, shares), adapted_linear(x.float(), wide_layers, wide_shares))


@on_tiles
def test_a_nan_spoils_its_own_adapter_alone():
    layers, shares = group(bias=False), [share(rows, 8, (torch.zeros(1), torch.zeros(1))) for rows in ROWS]
    shares[0].lora.a.fill_(torch.nan)
    x = random(ROWS[-1].stop, WIDTH).requires_grad_()
    y = adapted_linear(x, layers, shares)
    y.sum().backward()
    of_others = [y[33:], x.grad[33:], *(part for each in shares[1:] for part in (each.gradient.a, each.gradient.b))]
    assert all(each.isfinite().all() for each in of_others)
    assert y[:33].isnan().all()


@on_tiles
@pytest.mark.parametrize(("rows", "width", "count"), [(96, 576, 144), (33, 64, 16), (1, 64, 5)])
def test_whiteners_take_the_same_from_every_row(rows, width, count):
    directions, losses = torch.linalg.qr(torch.randn(width, count))[0], torch.rand(count)
    whitener, a = Whitener(directions, losses, 1.3), random(rows, width)
    ours = whitener.to(torch.bfloat16)
    assert ours.on_tiles
    close(ours(a), whitener(a.float()))


@on_tiles
def test_a_model_that_memory_may_have_no_room_for_trains_as_well_without(base, encoder, monkeypatch):
    examples = [
        encoder.encode(f"How many {thing} are there?", str(7 * count)) for count, thing in enumerate("abcdefgh")
    ]

    def trained():
        learner = FusedLearner(base.model)
        with learner.adapter(Hyperparameters(rank=8, learning_rate=1e-3, warmup_steps=1)) as adapter:
            return learner._base.layers[0].qkv.panels, [adapter.step(examples) for _ in range(8)]

    panels, losses = trained()
    assert panels
    monkeypatch.setattr(frozen, "LAID_OUT_BYTES", 1000)
    none, expected = trained()
    assert none is None
    assert losses == pytest.approx(expected, rel=5e-2)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("weight", "outputs"),
    [
        (torch.zeros(64, 64), (64,)),
        (torch.zeros(64, 48, dtype=torch.bfloat16), (64,)),
        (torch.zeros(64, 64, dtype=torch.bfloat16), (48, 16)),
    ],
    ids=["numbers of fp32", "an input of 48", "outputs of 48 and 16"],
)
def test_what_does_not_fit_has_no_panels(weight, outputs):
    assert Panels.of(weight, outputs) is None


def test_what_cannot_be_compiled_is_said_once(monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.delenv(KERNELS, raising=False)
    tiles.cache_clear()
    try:
        with capture_logs() as logged:
            assert tiles(FILE) is None
            assert tiles(FILE) is None
    finally:
        tiles.cache_clear()
    assert [(entry["event"], entry["file"]) for entry in logged] == [("kernels_missing", FILE)]
