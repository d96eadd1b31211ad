"""`python -m benchmarks`, which `lift bench` becomes."""

import json
import sys
from typing import Annotated

import typer

app = typer.Typer(name="lift bench", no_args_is_help=True, add_completion=False)


@app.callback()
def bench() -> None:
    """Speed, each as a ratio to rivals and to the limit in one run."""


@app.command()
def train(
    model: Annotated[
        str, typer.Option(help="Base model; default: the embedded one, prepared in the state folder.")
    ] = "",
    *,
    rank: Annotated[int, typer.Option(help="LoRA rank.")] = 128,
    pairs: Annotated[int, typer.Option(help="Pairs per optimizer step of our learner.")] = 128,
    repeats: Annotated[int, typer.Option(help="Interleaved sessions of each contestant.")] = 3,
    examples: Annotated[int, typer.Option(help="Pairs that a session trains on.")] = 512,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Training: useful tokens a second beside the limit, PEFT, Hugging Face's Trainer and TRL."""
    from benchmarks.train import bench_train
    from trainer.base_model import embedded

    result = bench_train(model or str(embedded()), rank=rank, pairs=pairs, repeats=repeats, examples=examples, say=_say)
    print(json.dumps(result) if as_json else json.dumps(result, indent=2))  # noqa: T201


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    app()
