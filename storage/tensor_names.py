"""Names of an adapter's tensors, as PEFT has them: A [rank, inputs] and B [outputs, rank] of each adapted layer."""

_MODEL, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def a_of(layer: str) -> str:
    """The A of a linear layer, which the base model calls so: model.layers.0.mlp.up_proj."""
    return f"{_MODEL}{layer}{_A}"


def b_of(layer: str) -> str:
    """Its B."""
    return f"{_MODEL}{layer}{_B}"


def is_a(name: str) -> bool:
    """Whether a tensor is an A."""
    return name.endswith(_A)


def layer_of(name: str) -> str:
    """The layer that an A or a B is of, as the base model calls it."""
    return name.removeprefix(_MODEL).removesuffix(_A).removesuffix(_B)
