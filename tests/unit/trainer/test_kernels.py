"""The kernels against torch's own operators, and what happens where they cannot be compiled."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor
from torch.testing import assert_close

from trainer.examples.batches import Example
from trainer.learners import layout
from trainer.learners.compiled import KERNELS
from trainer.learners.kernel_pieces import KernelPieces, pieces
from trainer.learners.kernels import SOURCE, kernels
from trainer.learners.lora import Lora
from trainer.learners.pieces import TorchPieces
from trainer.learners.prefixes import ON_CPU, forest
from trainer.profiles import Hyperparameters

HEADS, KEY_HEADS, SIZE, WIDTH, VOCABULARY = 6, 2, 32, 96, 300
EXAMPLES = [
    Example(tokens=(1, 2, 3, 4, 5, 6), answer_start=4),
    Example(tokens=(1, 2, 3, 9, 8), answer_start=3),
    Example(tokens=(1, 2, 3, 4, *range(20, 60)), answer_start=5),
    Example(tokens=(11, 2, 3, 4, 5), answer_start=4),
]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # torch rounds between its operators


@pytest.fixture(params=["float32", "bfloat16", "bfloat16 without tiles"])
def dtype(request, monkeypatch):
    """Tiles are those of a processor that has them; on another one the two of bf16 are the same."""
    name, *without = request.param.split()
    if without:
        monkeypatch.setattr(layout, "tiles", lambda _: None)
    return getattr(torch, name)


def close(ours: Tensor, torchs: Tensor) -> None:
    """The same but for rounding, which the norm of the difference shows."""
    assert ours.dtype == torchs.dtype
    assert ours.shape == torchs.shape
    error = (ours.double() - torchs.double()).norm() / torchs.double().norm().clamp(min=1e-6)
    assert error < TOLERANCES[ours.dtype], error


@dataclass
class Both:
    """The pieces of one pass, by kernels and by torch."""

    ours: KernelPieces
    torchs: TorchPieces
    nodes: int
    of_examples: int
    dtype: torch.dtype

    def random(self, *shape) -> Tensor:
        return torch.randn(shape).to(self.dtype)

    def agree(self, piece, *inputs: Tensor) -> None:
        """What both make of the inputs, and the gradients of a random weighting by those that are to have one."""
        made = []
        for pieces_ in (self.ours, self.torchs):
            own = [each.detach().clone().requires_grad_(each.requires_grad) for each in inputs]
            results = piece(pieces_, *own)
            results = results if isinstance(results, tuple) else (results,)
            torch.manual_seed(1)
            sum((result * torch.randn_like(result)).sum() for result in results).backward()
            made.append([*results, *(each.grad for each in own if each.requires_grad)])
        for ours, torchs in zip(*made, strict=True):
            close(ours, torchs)


@pytest.fixture
def both(dtype):
    torch.manual_seed(0)
    of_examples = forest([(EXAMPLES[:3], 0.5), (EXAMPLES[3:], 1.0)])
    grown = of_examples.padded(ON_CPU)
    angles = grown.positions[:, None, None] * torch.rand(SIZE // 2).repeat(2)
    turns = angles.cos().to(dtype), angles.sin().to(dtype)
    base = SimpleNamespace(
        heads=HEADS,
        key_heads=KEY_HEADS,
        groups=HEADS // KEY_HEADS,
        head_size=SIZE,
        epsilon=1e-5,
        embedding=torch.zeros(1, dtype=dtype),
    )
    found = kernels(dtype)
    assert found is not None, "this machine has no C++ compiler"
    ours, torchs = KernelPieces(found, base, grown, turns), TorchPieces(base, grown, turns)
    return Both(ours, torchs, len(grown.tokens), len(of_examples.tokens), dtype)


def test_norms(both):
    weight = both.random(WIDTH)
    x, more = (both.random(both.nodes, WIDTH).requires_grad_() for _ in range(2))
    both.agree(lambda pieces_, x: pieces_.norm(x, weight), x)
    both.agree(lambda pieces_, x, more: pieces_.add_norm(x, more, weight), x, more)


def test_where_nobody_reads_the_sum_the_norm_has_its_gradient_all_the_same(both):
    weight = both.random(WIDTH)
    x, more = (both.random(both.nodes, WIDTH).requires_grad_() for _ in range(2))
    both.agree(lambda pieces_, x, more: pieces_.add_norm(x, more, weight)[1], x, more)


def test_gates(both):
    both.agree(lambda pieces_, gate_up: pieces_.gated(gate_up), both.random(both.nodes, 2 * WIDTH).requires_grad_())


@pytest.mark.parametrize("extreme", [-1e4, -90.0, 90.0, 1e4])
def test_gates_at_their_ends(both, extreme):
    gate_up = torch.full((1, 2 * 40), extreme).to(both.dtype).requires_grad_()
    both.agree(lambda pieces_, gate_up: pieces_.gated(gate_up), gate_up)


@pytest.mark.parametrize("normed", [False, True])
def test_attention(both, normed):
    norms = (both.random(SIZE), both.random(SIZE)) if normed else (None, None)
    block = SimpleNamespace(query_norm=norms[0], key_norm=norms[1])
    qkv = both.random(both.nodes, (HEADS + 2 * KEY_HEADS) * SIZE).requires_grad_()
    both.agree(lambda pieces_, qkv: pieces_.attention(qkv, block)[: both.of_examples], qkv)


def test_on_tiles_a_sequence_has_its_own_places_alone(both):
    laid_out = both.ours._layout
    own = [
        *(len(example.tokens) for example in EXAMPLES[:-1]),
        len(EXAMPLES[-1].tokens) + 1,
    ]  # the last one's is of no node
    wanted = own if laid_out.tiles else [48] * len(EXAMPLES)
    assert laid_out.starts.diff().tolist() == wanted
    assert len(laid_out.nodes) == sum(wanted)


def test_a_nan_stays_in_its_tree(both):
    qkv = both.random(both.nodes, (HEADS + 2 * KEY_HEADS) * SIZE)
    own = both.ours._layout.sequences[both.ours._layout.places] == 3  # the second adapter's only sequence
    qkv[~own] = torch.nan
    qkv.requires_grad_()
    attended = both.ours.attention(qkv, SimpleNamespace(query_norm=None, key_norm=None))
    attended[own].sum().backward()
    assert attended[own].isfinite().all()
    assert attended[~own].isnan().all()
    assert qkv.grad[own].isfinite().all()


def test_divergence_from_one_token_and_from_chances(both):
    targets = torch.randint(0, VOCABULARY, (50, 3))
    targets[:10, 1] = targets[:10, 0]  # twice the same
    chances = torch.rand(50, 3)
    chances[5:30, 1:] = 0
    chances[49] = 0  # counts for nothing
    logits, made = both.random(50, VOCABULARY) * 5, []
    for pieces_ in (both.ours, both.torchs):
        losses = torch.empty(50)
        made.append((pieces_.divergence(logits.clone(), targets, chances, losses), losses))
    close(made[0][0], made[1][0])
    assert_close(made[0][1], made[1][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_updates(dtype, decay, monkeypatch):
    weight = torch.zeros(8, 8, dtype=dtype)
    group = SimpleNamespace(names=("layer",), weight=weight, outputs=(8,))
    layer = SimpleNamespace(qkv=group, out=group, gate_up=group, down=group)
    base = SimpleNamespace(layers=[layer, layer], embedding=weight)
    chosen = Hyperparameters(
        rank=4, alpha=8, learning_rate=1e-2, layerwise_decay=decay, warmup_steps=1, clip_norm=0.5, seed=3
    )

    def updated():
        own = Lora(base, chosen, {})
        for seed in range(3):
            own.gradients.copy_(torch.randn(own.gradients.shape, generator=torch.Generator().manual_seed(seed)))
            own.update(1.0)
        return own.weights

    ours = updated()
    monkeypatch.setattr("trainer.learners.lora.kernels", lambda _: None)
    assert_close(ours, updated(), rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)


def test_only_contiguous_rows_are_taken():
    run = kernels(torch.float32)
    with pytest.raises(ValueError, match="strides"):
        run("gated", torch.zeros(4, 8).t(), torch.zeros(8, 2), 8, 2)


def test_a_model_of_another_kind_of_number_has_torchs_pieces():
    grown = forest([(EXAMPLES, 1.0)])
    base = SimpleNamespace(embedding=torch.zeros(1, dtype=torch.float64), head_size=SIZE, groups=1)
    assert isinstance(pieces(base, grown, (torch.zeros(1), torch.zeros(1))), TorchPieces)


@pytest.fixture
def asked_anew():
    kernels.cache_clear()
    yield
    kernels.cache_clear()


def test_what_is_missing_is_said_once_and_torch_does_the_work(asked_anew, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.delenv(KERNELS, raising=False)
    with capture_logs() as logged:
        assert kernels(torch.float32) is None
        assert kernels(torch.float32) is None
    assert [(entry["event"], entry["file"]) for entry in logged] == [("kernels_missing", SOURCE.name)]
    assert "/nowhere/c++" in logged[0]["error"]


def test_what_is_compiled_is_kept_where_the_environment_says(asked_anew, monkeypatch, tmp_path):
    monkeypatch.setenv(KERNELS, str(tmp_path))
    assert kernels(torch.float32) is not None
    assert len(list(tmp_path.iterdir())) == 1
