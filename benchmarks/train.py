"""`lift bench train`: tokens a second of our learner, beside the limit and the loops that others would write."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant, Ours, TransformersTrainer, TrlTrainer, encoded, tokens_per_second
from benchmarks.limits import Shape, step_seconds, training_flops
from benchmarks.machine import bandwidth, peak_flops
from lift.errors import InvalidOption
from lift.template import PromptTemplate
from trainer import base_model
from trainer.batches import Encoder, Example
from trainer.fused import FusedLearner
from trainer.peft_learner import PeftLearner
from trainer.profiles import PROFILES
from trainer.whitening import KeptSpectra, spectra

PAIRS = Path(__file__).parent / "data" / "pairs.jsonl"
RIVAL_PAIRS = 16
PAPER_PAIRS = 4
SPECTRUM_PAIRS = 64


def bench_train(
    model: str, *, rank: int, pairs: int, repeats: int, examples: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Interleaved sessions of all contestants; `examples` pairs each. The result that `--json` prints.

    InvalidOption, BaseModelMissing.
    """
    _check(rank=rank, pairs=pairs, repeats=repeats, examples=examples)
    base = base_model.load(model, "cpu", threads=0)
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    hyperparameters = replace(PROFILES["embedded"], rank=rank, alpha=2.0 * rank, batch_size=pairs)
    encoder = Encoder(base.tokenizer, template, hyperparameters.max_pair_tokens)
    lines = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    data = encoded([(line["question"], line["answer"]) for line in lines[:examples]], encoder)
    shape = Shape.of(base.model, rank)
    found = KeptSpectra(spectra(base, data[:SPECTRUM_PAIRS]), Path())  # no other process looks for them in a file
    ours: Contestant = Ours("lift", FusedLearner, hyperparameters, lambda: found)
    rivals: list[Contestant] = [
        Ours("lift-peft", PeftLearner, hyperparameters, lambda: found),
        TransformersTrainer("trainer-tuned", RIVAL_PAIRS, hyperparameters, tuned=True),
        TransformersTrainer("paper-recipe", PAPER_PAIRS, hyperparameters, tuned=False),
    ]
    if find_spec("trl"):
        rivals.append(TrlTrainer("trl", RIVAL_PAIRS, hyperparameters, base.tokenizer))
    else:
        say("trl is not installed, so TRL is left out")
    rates: dict[str, list[float]] = {contestant.name: [] for contestant in (ours, *rivals)}
    peaks, widths = [], (base.model.config.hidden_size, base.model.config.intermediate_size)
    for repeat in range(repeats):
        for contestant in (ours, *rivals):
            peaks.append(peak_flops(*widths, base.model.dtype))
            rate = tokens_per_second(contestant.session(base.model, data))
            rates[contestant.name].append(rate)
            say(f"{repeat + 1}/{repeats} {contestant.name}: {rate:.0f} tokens/s, peak {peaks[-1] / 1e12:.2f} TFLOP/s")
    peak = statistics.median(peaks)
    limit = _limit(shape, data, pairs, peak)
    mine = statistics.median(rates["lift"])
    return {
        "score": round(mine / limit["by_flops"], 3),
        "score_with_memory": round(mine / limit["with_memory"], 3),
        "tokens_per_second": round(mine, 1),
        "limit_tokens_per_second": round(limit["by_flops"], 1),
        "peak_tflops": round(peak / 1e12, 3),
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "rank": rank,
        "pairs_per_step": pairs,
        "repeats": repeats,
        "spread": {name: [round(min(seen), 1), round(max(seen), 1)] for name, seen in rates.items()},
        "rivals": {name: round(mine / statistics.median(seen), 2) for name, seen in rates.items() if name != "lift"},
    }


def _check(*, rank: int, pairs: int, repeats: int, examples: int) -> None:
    """InvalidOption: a number that no run can have."""
    for name, value in (("rank", rank), ("pairs", pairs), ("repeats", repeats)):
        if value < 1:
            raise InvalidOption(option=name, value=value, expected="at least 1")
    if examples <= pairs:  # the first step is not counted
        raise InvalidOption(option="examples", value=examples, expected=f"more than {pairs}, the pairs of one step")


def _limit(shape: Shape, data: Sequence[Example], pairs: int, peak: float) -> dict[str, float]:
    """Tokens a second that the machine allows: by products alone, and with what must pass through memory."""
    tokens = sum(len(example.tokens) for example in data)
    answer_tokens = sum(example.answer_tokens for example in data)
    flops = training_flops(shape, tokens, answer_tokens, tokens / len(data))
    share = pairs / len(data)
    seconds = step_seconds(shape, flops * share, peak, bandwidth())
    return {"by_flops": tokens / (flops / peak), "with_memory": tokens * share / seconds}
