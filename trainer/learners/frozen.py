"""The weights of a Llama-shaped model as the fused learner reads them: never changed, shared with the model itself."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainer.learners.tile_products import Panels

LAID_OUT_BYTES = 4 << 30  # of a larger model's weights a CPU's memory may have no room for two more orders

Turns = tuple[Tensor, Tensor]
"""Cosine and sine of each row's position, [T, 1, d] each: by them queries and keys are rotated."""


@dataclass(frozen=True, slots=True)
class Group:
    """Linear layers that read the same input, one below the other, and their W for tiles.

    weight [sum of d_out, d_in]; bias [sum of d_out]; `names` in the model and `outputs`, the d_out, are of each layer.
    """

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None
    outputs: tuple[int, ...]
    panels: Panels | None = None

    @classmethod
    def of(cls, layers: dict[str, nn.Linear], *, on_tiles: bool) -> "Group":
        """The layers' own weights; where there are several, each becomes a part of one, its values unchanged.

        `on_tiles`: laid out for them too, where there are some.
        """
        linears = list(layers.values())
        outputs = tuple(linear.out_features for linear in linears)
        weight = linears[0].weight.data
        if len(linears) > 1:
            weight = torch.cat([linear.weight.data for linear in linears])
            for linear, part in zip(linears, weight.split(outputs), strict=True):
                linear.weight.data = part
        biases = [linear.bias.data for linear in linears if linear.bias is not None]
        bias = torch.cat(biases) if biases else None
        return cls(tuple(layers), weight, bias, outputs, Panels.of(weight, outputs) if on_tiles else None)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a model of width d: d_q = heads · head_size, d_k = key_heads · head_size, d_m inside the MLP.

    qkv [d_q + 2 d_k, d]; out [d, d_q]; gate_up [2 d_m, d]; down [d, d_m]; norms [d], of each head [head_size].
    """

    qkv: Group
    out: Group
    gate_up: Group
    down: Group
    attention_norm: Tensor
    mlp_norm: Tensor
    query_norm: Tensor | None
    key_norm: Tensor | None


@dataclass(frozen=True, slots=True)
class FrozenModel:
    """The frozen model: embedding and head [V, d], norm [d].

    `rotary`: transformers' module that makes cosines and sines of positions; `groups`: heads of queries that share one
    of keys; `epsilon`: of all norms.
    """

    layers: tuple[Block, ...]
    embedding: Tensor
    norm: Tensor
    head: Tensor
    rotary: Any
    heads: int
    groups: int
    head_size: int
    epsilon: float

    @classmethod
    def of(cls, model: Any) -> "FrozenModel":
        """Of a transformers model of the one architecture (`fused`), whose memory it shares."""
        config = model.config
        bytes_ = sum(weight.nbytes for weight in model.parameters())
        group = partial(Group.of, on_tiles=bytes_ <= LAID_OUT_BYTES)
        layers = []
        for number, block in enumerate(model.model.layers):
            at, mlp, path = block.self_attn, block.mlp, f"model.layers.{number}"
            layers.append(
                Block(
                    qkv=group({f"{path}.self_attn.{n}": getattr(at, n) for n in ("q_proj", "k_proj", "v_proj")}),
                    out=group({f"{path}.self_attn.o_proj": at.o_proj}),
                    gate_up=group({f"{path}.mlp.{n}": getattr(mlp, n) for n in ("gate_proj", "up_proj")}),
                    down=group({f"{path}.mlp.down_proj": mlp.down_proj}),
                    attention_norm=block.input_layernorm.weight.data,
                    mlp_norm=block.post_attention_layernorm.weight.data,
                    query_norm=at.q_norm.weight.data if hasattr(at, "q_norm") else None,
                    key_norm=at.k_norm.weight.data if hasattr(at, "k_norm") else None,
                )
            )
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            layers=tuple(layers),
            embedding=model.get_input_embeddings().weight.data,
            norm=model.model.norm.weight.data,
            head=model.get_output_embeddings().weight.data,
            rotary=model.model.rotary_emb,
            heads=config.num_attention_heads,
            groups=config.num_attention_heads // config.num_key_value_heads,
            head_size=head_size,
            epsilon=config.rms_norm_eps,
        )

    @property
    def key_heads(self) -> int:
        """Heads of keys, and of values."""
        return self.heads // self.groups

    def turns(self, positions: Tensor) -> Turns:
        """Of positions [T]."""
        cos, sin = self.rotary(self.embedding, positions.unsqueeze(0))  # of the embedding it reads the type only
        return cos[0].unsqueeze(1), sin[0].unsqueeze(1)
