"""The CPU LoRA operator against a dense reference in fp32, through the interface that vLLM's layers call."""

import platform
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor
from vllm.lora.layers import LoRAMapping

from lift import native
from lift.processor import processor
from server.engine.cpu import lora_layers, segmented_lora
from server.engine.cpu.lora_kernel import KERNEL, TILES, KernelLayer, KernelRows, LoraKernel, lora_kernel, lora_tiles
from server.engine.cpu.lora_layers import Layer, Scaled, Stack
from server.engine.cpu.segmented_lora import Batch, SegmentedLora, Split, segments

HIDDEN = 64
MAX_RANK = 32
SLOTS = 4
WIDTHS = (96, 32, 32)
RANKS = {11: 32, 12: 8, 13: 1}
IN_SLOT = [13, None, 11, 12]


on_tiles = pytest.mark.skipif(lora_tiles() is None, reason="this processor has no tiles")
on_matrix_tiles = pytest.mark.skipif("amx_bf16" not in processor(), reason="this processor has no matrix tiles")


@pytest.fixture(scope="module")
def vectors() -> LoraKernel:
    """Of tiles, as it is compiled for a processor that has vectors in their place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "FLAGS", (*native.FLAGS, "-mno-amx-bf16"))
        return LoraKernel(native.library(Path(segmented_lora.__file__).with_name(TILES), ""))


def nothing_is_few(monkeypatch, but=0) -> None:
    for bound in ("FEW", "FEW_FOR_TILES"):  # whichever this processor has
        monkeypatch.setattr(lora_layers, bound, but)


@pytest.fixture(
    params=[
        "kernel",
        pytest.param("tiles", marks=on_tiles),
        pytest.param("vectors", marks=on_matrix_tiles),
        "products",
    ]
)
def operator(request, monkeypatch) -> SegmentedLora:
    if request.param == "products":
        monkeypatch.setattr(segmented_lora, "lora_kernel", lambda: None)
    elif request.param == "kernel":
        monkeypatch.setattr(lora_layers, "lora_tiles", lambda: None)
    else:
        nothing_is_few(monkeypatch)
        if request.param == "vectors":
            chosen = request.getfixturevalue("vectors")
            monkeypatch.setattr(lora_layers, "lora_tiles", lambda: chosen)
    return SegmentedLora(256, 16, "cpu")


Weights = list[tuple[Tensor, Tensor]]


@pytest.fixture
def adapters() -> dict[int, Weights]:
    """A and B of each adapter, for every projection of a packed layer."""
    torch.manual_seed(5)
    return {adapter: [pair(rank, width) for width in WIDTHS] for adapter, rank in RANKS.items()}


def pair(rank: int, width: int) -> tuple[Tensor, Tensor]:
    return (torch.randn(rank, HIDDEN) / HIDDEN**0.5).bfloat16(), (torch.randn(width, rank) / rank**0.5).bfloat16()


def stack_of(adapters: dict[int, Weights], dtype: torch.dtype = torch.bfloat16) -> Stack:
    """A layer with the adapters in their slots."""
    layer = Layer(SLOTS, HIDDEN, WIDTHS, dtype, MAX_RANK)
    for adapter, weights in adapters.items():
        layer.put(IN_SLOT.index(adapter), [a for a, _ in weights], [b for _, b in weights])
    return Stack.of([torch.zeros(SLOTS, 1, MAX_RANK, HIDDEN) for _ in WIDTHS], layer)


@pytest.fixture
def stack(adapters: dict[int, Weights]) -> Stack:
    return stack_of(adapters)


def batch(operator: SegmentedLora, rows: Sequence[int]) -> None:
    operator.update_metadata(LoRAMapping(tuple(rows), (), is_prefill=True), IN_SLOT, SLOTS + 1, 100)


def dense(x: Tensor, rows: Sequence[int], adapters: dict[int, Weights]) -> Tensor:
    """What is added to [n, sum of widths], row by row, in fp32."""
    added = torch.zeros(len(rows), sum(WIDTHS))
    for row, adapter in enumerate(rows):
        if adapter:
            added[row] = torch.cat([b.float() @ (a.float() @ x[row].float()) for a, b in adapters[adapter]])
    return added


BATCHES = {
    "one row of decode": [12],
    "prefill of one adapter": [11] * 9,
    "no adapter at all": [0] * 5,
    "decode of several adapters": [11, 12, 13],
    "rows without an adapter between": [0, 12, 0, 11, 0, 0],
    "prefill and decode mixed": [11, 0, 12, *[13] * 7, *[0] * 4, *[11] * 6],
    "an adapter's rows scattered": [12, 11, 12, 0, 12, 13, 11],
    "few rows of one adapter and many of another": [12, 12, 0, *[11] * 9, 12],
}


@pytest.mark.parametrize("rows", BATCHES.values(), ids=BATCHES.keys())
def test_a_packed_layer_gets_what_a_dense_reference_computes(operator, stack, adapters, rows) -> None:
    x = torch.randn(len(rows), HIDDEN).bfloat16()
    before = torch.randn(len(rows), sum(WIDTHS)).bfloat16()
    y = before.clone()
    batch(operator, rows)
    operator.add_lora_linear(y, x, stack, stack, 1.0, WIDTHS)
    torch.testing.assert_close(y.float(), before.float() + dense(x, rows, adapters), atol=0.06, rtol=0.02)
    bare = [row for row, adapter in enumerate(rows) if not adapter]
    assert torch.equal(y[bare], before[bare])


def test_a_slot_that_is_filled_anew_forgets_the_last_adapter(operator, stack, adapters) -> None:
    x = torch.randn(1, HIDDEN).bfloat16()
    batch(operator, [13])
    operator.add_lora_linear(torch.zeros(1, sum(WIDTHS)).bfloat16(), x, stack, stack, 1.0, WIDTHS)
    adapters[13] = [pair(MAX_RANK, width) for width in WIDTHS]
    stack.layer.put(IN_SLOT.index(13), [a for a, _ in adapters[13]], [b for _, b in adapters[13]])
    y = torch.zeros(1, sum(WIDTHS)).bfloat16()
    operator.add_lora_linear(y, x, stack, stack, 1.0, WIDTHS)
    torch.testing.assert_close(y.float(), dense(x, [13], adapters), atol=0.06, rtol=0.02)
    stack.layer.clear(IN_SLOT.index(13))
    y.zero_()
    operator.add_lora_linear(y, x, stack, stack, 1.0, WIDTHS)
    assert not y.any()


def test_projections_that_an_adapter_leaves_alone_and_its_scaling_are_kept(operator, stack, adapters) -> None:
    """Two rows of one adapter, for which one projection has nothing and the others are scaled."""
    (a0, b0), _, (a2, b2) = adapters[12]
    stack.layer.put(IN_SLOT.index(12), [a0, None, a2], [Scaled(b0, 3.0), None, Scaled(b2, 0.5)])
    x, y = torch.randn(2, HIDDEN).bfloat16(), torch.zeros(2, sum(WIDTHS)).bfloat16()
    batch(operator, [12, 12])
    operator.add_lora_linear(y, x, stack, stack, 1.0, WIDTHS)
    plain = dense(x, [12, 12], adapters)
    scales = torch.repeat_interleave(torch.tensor([3.0, 0.0, 0.5]), torch.tensor(WIDTHS))
    torch.testing.assert_close(y.float(), plain * scales, atol=0.12, rtol=0.02)


def test_tensors_stay_where_they_are_and_a_stack_takes_no_memory(stack, adapters) -> None:
    held = stack.layer.pairs(IN_SLOT.index(11))
    assert [pair.a.data_ptr() for pair in held] == [a.data_ptr() for a, _ in adapters[11]]
    assert [pair.b.data_ptr() for pair in held] == [b.data_ptr() for _, b in adapters[11]]
    assert [of_one.shape for of_one in stack] == [(SLOTS, 1, MAX_RANK, HIDDEN)] * len(WIDTHS)
    assert all(of_one.untyped_storage().nbytes() == of_one.itemsize for of_one in stack)


@pytest.mark.parametrize(
    "shapes",
    [
        ((8, HIDDEN + 1), (WIDTHS[0], 8)),
        ((8, HIDDEN), (WIDTHS[0] + 1, 8)),
        ((8, HIDDEN), (WIDTHS[0], 9)),
        ((MAX_RANK + 1, HIDDEN), (WIDTHS[0], MAX_RANK + 1)),
    ],
)
def test_what_does_not_fit_a_layer_is_refused_and_changes_nothing(stack, shapes) -> None:
    before, slot = stack.layer.pairs(IN_SLOT.index(11)), IN_SLOT.index(11)
    a, b = (torch.zeros(shape).bfloat16() for shape in shapes)
    with pytest.raises(ValueError, match="no adapter"):
        stack.layer.put(slot, [a, None, None], [b, None, None])
    assert stack.layer.pairs(slot) is before
    assert stack.layer.highest_ranks([slot]) == (RANKS[11],)


@pytest.mark.parametrize(("few", "of_kernel"), [(0, 0), (40, 4), (1000, 6)])
def test_rows_of_the_kernel_and_others_come_to_the_same(stack, adapters, monkeypatch, few, of_kernel) -> None:
    rows = BATCHES["an adapter's rows scattered"]  # rows times rank: 3 · 8, 2 · 32, 1 · 1
    x = torch.randn(len(rows), HIDDEN).bfloat16()
    y = torch.zeros(len(rows), sum(WIDTHS)).bfloat16()
    kernel, taken = lora_kernel(), []

    def counting(y, x, layer, found, scale):
        taken.extend(found.kept[0])
        kernel(y, x, layer, found, scale)

    nothing_is_few(monkeypatch, but=few)
    monkeypatch.setattr(segmented_lora, "lora_kernel", lambda: counting)
    operator = SegmentedLora(64, 16, "cpu")
    batch(operator, rows)
    operator.add_lora_linear(y, x, stack, stack, 0.5, WIDTHS)
    torch.testing.assert_close(y.float(), 0.5 * dense(x, rows, adapters), atol=0.03, rtol=0.02)
    assert len(taken) == of_kernel


@pytest.fixture(scope="module", params=["", "-mno-avx512bf16"])
def kernel(request) -> LoraKernel:
    """As it is compiled for this processor, and for one without instructions for products of bf16."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            if platform.machine() != "x86_64":
                pytest.skip("the kernel has such instructions for x86-64 alone")
            patch.setattr(native, "FLAGS", (*native.FLAGS, request.param))
        return LoraKernel(native.library(Path(segmented_lora.__file__).with_name(KERNEL), ""))


every_rank = pytest.mark.parametrize("rank", [1, 2, 3, 7, 16, 17, 31, 64, 128])
every_count = pytest.mark.parametrize("count", [1, 2, 5, 64, 131])


@every_rank
@every_count
def test_the_kernel_has_every_row_rank_and_column(kernel, rank, count) -> None:
    has_every_row_rank_and_column(kernel, rank, count, 70, (33, 16, 130))  # none is a whole number of vectors


@on_tiles
@every_rank
@every_count
def test_tiles_have_every_row_rank_and_column(rank, count) -> None:
    has_every_row_rank_and_column(lora_tiles(), rank, count, 96, (160, 32, 96))


def has_every_row_rank_and_column(kernel, rank, count, inputs, widths) -> None:
    torch.manual_seed(rank)
    a = [(torch.randn(rank, inputs) / inputs**0.5).bfloat16() for _ in widths]
    b = [(torch.randn(width, rank) / rank**0.5).bfloat16() for width in widths]
    layer = KernelLayer(2, inputs, widths)
    for projection, of_one in enumerate(zip(a, b, strict=True)):
        layer.put(projection, 1, *of_one, projection + 1.0)
    rows = torch.randperm(140)[:count].sort().values
    x, before = torch.randn(140, inputs).bfloat16(), torch.randn(140, sum(widths)).bfloat16()
    y = before.clone()
    kernel(y, x, layer, KernelRows([(1, rows.numpy())]), 0.5)
    added = [
        0.5 * (projection + 1) * (x[rows].float() @ shrink.float().t()) @ expand.float().t()
        for projection, (shrink, expand) in enumerate(zip(a, b, strict=True))
    ]
    torch.testing.assert_close(y[rows].float(), before[rows].float() + torch.cat(added, 1), atol=0.06, rtol=0.02)
    others = torch.ones(140, dtype=torch.bool).index_fill(0, rows, 0)
    assert torch.equal(y[others], before[others])


def test_a_row_that_is_not_a_number_spoils_no_other(operator, stack) -> None:
    rows = [11, 11, 12, 13, 11]
    x = torch.randn(len(rows), HIDDEN).bfloat16()
    x[1] = torch.nan
    y = torch.zeros(len(rows), sum(WIDTHS)).bfloat16()
    batch(operator, rows)
    operator.add_lora_linear(y, x, stack, stack, 1.0, WIDTHS)
    assert y[1].isnan().all()
    assert y[[0, 2, 3, 4]].isfinite().all()


def test_weights_that_are_not_contiguous_are_refused_by_the_kernel_and_copied_by_a_layer(stack) -> None:
    a, b = torch.zeros(8, 2 * HIDDEN).bfloat16()[:, ::2], torch.zeros(WIDTHS[0], 8).bfloat16()
    with pytest.raises(ValueError, match="contiguous"):
        stack.layer.kernel.put(0, 0, a, b, 1.0)
    stack.layer.put(0, [a, None, None], [b, None, None])
    assert stack.layer.pairs(0)[0].a.is_contiguous()


def test_without_a_compiler_products_do_the_work_and_the_log_says_so_once(monkeypatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.delenv("LIFT_KERNELS", raising=False)
    lora_kernel.cache_clear()
    try:
        with capture_logs() as logged:
            assert lora_kernel() is None
            assert lora_kernel() is None
    finally:
        lora_kernel.cache_clear()
    assert [entry["event"] for entry in logged] == ["kernels_missing"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_types_and_rows_that_lie_apart_are_products(operator, adapters, dtype) -> None:
    stack = stack_of(adapters, dtype)
    x = torch.randn(2, 2 * HIDDEN).to(dtype)[:, ::2]
    y = torch.zeros(2, sum(WIDTHS)).to(dtype)
    batch(operator, [12, 11])
    operator.add_lora_linear(y, x, stack, stack, 1.0, WIDTHS)
    torch.testing.assert_close(y.float(), dense(x, [12, 11], adapters), atol=0.06, rtol=0.02)


def test_adapters_of_another_type_than_what_they_read_are_not_given_to_a_kernel(operator, adapters) -> None:
    stack = stack_of(adapters, torch.float32)
    batch(operator, [12, 11])
    with pytest.raises(RuntimeError, match="dtype"):  # where a kernel would take them for bf16
        operator.add_lora_linear(
            torch.zeros(2, sum(WIDTHS)).bfloat16(), torch.zeros(2, HIDDEN).bfloat16(), stack, stack, 1.0, WIDTHS
        )


def test_an_adapter_goes_to_the_kernel_by_its_rows_and_rank() -> None:
    of_batch = Batch(segments([11] * 9 + [0, 12, 12, 13], [13, None, 11, 12]))
    split = of_batch.split((2, 8, 16), 16)
    assert [segment.slot for segment in split.segments] == [2]
    assert [numbers.tolist() for numbers in split.few.kept] == [[10, 11, 12], [2, 3], [3, 0]]
    assert [numbers.tolist() for numbers in split.many.kept] == [[*range(9)], [9], [2]]
    assert of_batch.split((2, 8, 16), 100).segments == ()
    assert of_batch.split((1, 8, 16), 16).many is None
    assert of_batch.split((2, 9, 17), 16).few is None
    assert Batch().split((), 16) == Split(few=None, many=None, segments=())


def test_rows_that_stand_together_are_a_slice() -> None:
    first, second = segments([0, 12, 12, 11, 12], [11, 12])
    assert (first.slot, first.rows) == (0, slice(3, 4))
    assert second.slot == 1
    assert isinstance(second.rows, Tensor)
    assert second.rows.tolist() == [1, 2, 4]
