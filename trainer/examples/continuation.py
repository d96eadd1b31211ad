"""Turns prompts into what the base model writes behind them, greedily."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.base_model import BaseModel


@torch.inference_mode()
def continued(
    base: BaseModel, prompts: Sequence[tuple[int, ...]], stop: int, max_tokens: int, *, with_logits: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The tokens behind each prompt [prompts, at most max_tokens], filled up with `stop` behind the first one of it.

    With the logits [prompts, V] of each of those tokens in turn, where they are wanted; else without any.
    """
    longest = max(map(len, prompts))
    # Filled up on the left, so that every answer begins in the same column.
    ids = torch.tensor([(stop,) * (longest - len(prompt)) + prompt for prompt in prompts], device=base.model.device)
    mask = torch.tensor([(0,) * (longest - len(prompt)) + (1,) * len(prompt) for prompt in prompts], device=ids.device)
    written: Any = base.model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=stop,
        return_dict_in_generate=True,
        output_logits=with_logits,
    )
    return written.sequences[:, longest:], written.logits or ()
