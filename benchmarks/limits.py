"""The least time that training, prefill and decoding can take, as formulas of a model's shape."""

from dataclasses import dataclass
from typing import Any, Self

LORA_UPDATE_BYTES = 30  # fp32 weight and two moments read and written, the gradient read, a bf16 copy written


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the formulas read. `linear`: weights of the linear layers but the head (N). `head`: vocabulary · width (H).

    `lora`: weights of an adapter (A), rank · Σ(d_in + d_out). `attention`: width of all heads · layers.
    `cached`: numbers that the KV cache holds for a token, 2 · width of key heads · layers. `weight_bytes`: what one
    number of the base takes; adapters and cache have its type.
    """

    linear: int
    head: int
    lora: int
    attention: int
    cached: int
    weight_bytes: int = 2

    @classmethod
    def of(cls, model: Any, rank: int) -> Self:
        """The shape of a transformers model whose linear layers but the head are adapted."""
        from trainer.base_model import adapted_layers

        head = model.get_output_embeddings()
        linears = [layer for _, layer in adapted_layers(model)]
        config = model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            linear=sum(layer.weight.numel() for layer in linears),
            head=head.weight.numel(),
            lora=rank * sum(layer.in_features + layer.out_features for layer in linears),
            attention=config.num_attention_heads * size * config.num_hidden_layers,
            cached=2 * config.num_key_value_heads * size * config.num_hidden_layers,
            weight_bytes=head.weight.element_size(),
        )


def training_flops(shape: Shape, tokens: int, answer_tokens: int, mean_length: float) -> float:
    """Forward 2N + 2A, backward 2N (by inputs only) + 4A; logits of answer tokens; attention over `mean_length` tokens.

    `tokens` are useful ones: no padding. Tokens that several pairs begin with count for each, so a learner that
    computes them once may pass the limit that follows from here.
    """
    linear = tokens * (4 * shape.linear + 6 * shape.lora)
    return linear + 4 * shape.head * answer_tokens + 7 * mean_length * shape.attention * tokens


def step_seconds(shape: Shape, flops: float, peak: float, bandwidth: float) -> float:
    """The least time of one step: products at `peak` FLOP/s or weights read twice, then the update of the adapter."""
    weights_bytes = 2 * shape.weight_bytes * (shape.linear + shape.head)
    return max(flops / peak, weights_bytes / bandwidth) + LORA_UPDATE_BYTES * shape.lora / bandwidth


def prefill_seconds(shape: Shape, prompts: int, length: int, *, adapted: bool, peak: float) -> float:
    """The least time for prompts of `length` tokens each: products alone, logits for the last token of each.

    `adapted`: every prompt has an adapter of the shape's rank.
    """
    linear = 2 * (shape.linear + adapted * shape.lora) * prompts * length
    return (linear + prompts * (2 * length**2 * shape.attention + 2 * shape.head)) / peak


def decode_seconds(shape: Shape, streams: int, length: float, *, adapters: int, peak: float, bandwidth: float) -> float:
    """The least time of one step that writes a token of each stream behind `length` tokens of cache.

    What must be read, the base once, each distinct adapter once and every cache; or the products, where they take
    longer.
    """
    numbers = shape.linear + shape.head + adapters * shape.lora + streams * length * shape.cached
    products = 2 * streams * (shape.linear + shape.head + (adapters > 0) * shape.lora)
    return max(shape.weight_bytes * numbers / bandwidth, products / peak)
