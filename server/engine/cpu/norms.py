"""Gives vLLM's norms on CPUs the kernels that it has compiled for CPUs, and offers to GPUs alone.

Without them a norm is ten PyTorch operators, and a model of 30 layers calls 61 norms for each token.
"""

from typing import Any

import torch
from torch import Tensor
from vllm import _custom_ops, ir
from vllm.config.kernel import IrOpPriorityConfig
from vllm.platforms import current_platform

PROVIDER = "lift_cpu"


def register() -> None:
    """Makes the kernels the CPU platform's first choice; repeated calls change nothing."""
    if PROVIDER in ir.ops.rms_norm.impls:
        return
    ir.ops.rms_norm.register_impl(PROVIDER, supports_args=_fit)(rms_norm)
    ir.ops.fused_add_rms_norm.register_impl(PROVIDER, supports_args=_fit_added, inplace=True)(fused_add_rms_norm)
    type(current_platform).get_default_ir_op_priority = classmethod(lambda *_: _priority())


def rms_norm(
    x: Tensor,
    weight: Tensor | None,
    epsilon: float,
    variance_size: int | None = None,  # noqa: ARG001 - vLLM's operators have it
) -> Tensor:
    """x [n, d] / sqrt(mean of x² + epsilon) · weight [d]; the arguments are vLLM's."""
    normed = torch.empty_like(x)
    _custom_ops.rms_norm(normed, x, weight, epsilon)
    return normed


def fused_add_rms_norm(
    x: Tensor,
    x_residual: Tensor,
    weight: Tensor | None,
    epsilon: float,
    variance_size: int | None = None,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    """The norm of x + x_residual, and that sum, in the memory of both."""
    _custom_ops.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual


def _fit(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:  # noqa: ARG001
    return variance_size is None and weight is not None and weight.dtype == x.dtype and x.is_contiguous()


def _fit_added(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> bool:
    return _fit(x, weight, epsilon, variance_size) and _fit(x_residual, weight, epsilon)


def _priority() -> Any:
    chosen = IrOpPriorityConfig.with_default(["native"])
    chosen.rms_norm = chosen.fused_add_rms_norm = [PROVIDER, "native"]
    return chosen
