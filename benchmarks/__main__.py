"""`python -m benchmarks`, which `lift bench` becomes."""

import json
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.environment import become_role
from benchmarks.growth import of_breakeven, of_catalogue, of_load, of_pipeline, of_registered, of_serving
from benchmarks.plot import Growth, draw
from lift import logs
from lift.cli.options import DEFAULT_STATE, Device, Json, State, numbers
from lift.commands import run
from lift.pictures import checked

app = typer.Typer(name="lift bench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Model = Annotated[str, typer.Option(help="Base model; default: the embedded one, prepared in the state folder.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the figures: .png, .svg.")]


@app.callback()
def bench() -> None:
    """Speed, each as a ratio to rivals and to the limit in one run."""


@app.command()
def train(
    model: Model = "",
    *,
    shape: Annotated[str, typer.Option(help="A random model of this shape instead, such as llama-3-8b.")] = "",
    device: Device = "auto",
    profile: Annotated[str, typer.Option(help="Training profile.")] = "embedded",
    rank: Annotated[int, typer.Option(help="LoRA rank.")] = 128,
    pairs: Annotated[str, typer.Option(help="Pairs per optimizer step of our learner, each number in turn.")] = "128",
    rival_pairs: Annotated[
        str, typer.Option(help="Pairs per optimizer step of tuned rivals, of which the best counts.")
    ] = "16,64",
    rivals: Annotated[bool, typer.Option(help="Also measure what others would write.")] = True,
    repeats: Annotated[
        int, typer.Option(help="Interleaved sessions of each contestant, behind one that warms up.")
    ] = 3,
    examples: Annotated[int, typer.Option(help="Pairs that a session trains on.")] = 512,
    epochs: Annotated[int, typer.Option(help="Epochs of every session.")] = 1,
    jobs: Annotated[int, typer.Option(help="Also so many short jobs, one after the other and together.")] = 1,
    as_json: Json = False,
) -> None:
    """Training: useful tokens a second beside the limit, PEFT, Hugging Face's Trainer and TRL."""
    from benchmarks.train import Plan, bench_train
    from trainer.base_model import embedded

    def measure() -> dict[str, Any]:
        plan = Plan(
            model=model,
            shape=shape,
            device=device,
            profile=profile,
            rank=rank,
            pairs=numbers("pairs", pairs),
            rival_pairs=numbers("rival-pairs", rival_pairs),
            rivals=rivals,
            repeats=repeats,
            examples=examples,
            epochs=epochs,
            jobs=jobs,
        )
        return bench_train(plan if model else replace(plan, model=str(embedded())), _say)

    _run(measure, as_json)


@app.command()
def serve(
    model: Model = "",
    *,
    rank: Annotated[int, typer.Option(help="LoRA rank.")] = 128,
    shrunk_rank: Annotated[int, typer.Option(help="LoRA rank after shrinking.")] = 32,
    adapters: Annotated[str, typer.Option(help="Distinct adapters in a batch, each number in turn.")] = "1,8",
    streams: Annotated[str, typer.Option(help="Also so many questions at once, of an adapter each: 1,8,32.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads of each engine; 0 leaves each its own choice.")] = 0,
    repeats: Annotated[int, typer.Option(help="Interleaved measurements of each figure.")] = 3,
    rivals: Annotated[bool, typer.Option(help="Also measure stock vLLM, which takes most of the time.")] = True,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Serving: prefill, decoding and batches with no, one and many adapters, beside stock vLLM and the limit."""
    from benchmarks.serve import Plan, bench_serve
    from trainer.base_model import embedded

    def measure() -> dict[str, Any]:
        plan = Plan(
            base_model=model,
            rank=rank,
            shrunk_rank=shrunk_rank,
            adapters=numbers("adapters", adapters),
            streams=numbers("streams", streams) if streams else (),
            repeats=repeats,
            rivals=rivals,
            threads=threads,
            say=_say,
        )
        return bench_serve(plan if model else replace(plan, base_model=str(embedded())))

    _run(measure, as_json, plot, of_serving)


@app.command()
def registered(
    model: Model = "",
    *,
    rank: Annotated[int, typer.Option(help="LoRA rank.")] = 32,
    adapters: Annotated[str, typer.Option(help="Adapters loaded, each number in turn.")] = "1,16,64,256",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is the engine's choice.")] = 0,
    repeats: Annotated[int, typer.Option(help="Measurements of each stream.")] = 3,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """One engine while its adapters become more: memory, seconds of a load, tokens a second of one stream."""
    from benchmarks.registered import Plan, bench_registered
    from trainer.base_model import embedded

    def measure() -> dict[str, Any]:
        plan = Plan(
            base_model=model,
            rank=rank,
            adapters=numbers("adapters", adapters),
            threads=threads,
            repeats=repeats,
            say=_say,
        )
        return bench_registered(plan if model else replace(plan, base_model=str(embedded())))

    _run(measure, as_json, plot, of_registered)


@app.command()
def load(
    state: State = DEFAULT_STATE,
    *,
    concurrency: Annotated[str, typer.Option(help="Queries at once, each level in turn.")] = "1,2,4,8,16,32,64",
    adapter: Annotated[list[str] | None, typer.Option(help="Whom to ask; may be repeated; all that are ready.")] = None,
    repeats: Annotated[int, typer.Option(help="Interleaved measurements of each level.")] = 3,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """A running stack under concurrent queries: latency, first token, throughput; bad queries among good ones."""
    from benchmarks.load import Plan, bench_load

    def measure() -> dict[str, Any]:
        levels = numbers("concurrency", concurrency)
        return bench_load(Plan(state_dir=state, concurrency=levels, adapters=adapter or (), repeats=repeats, say=_say))

    _run(measure, as_json, plot, of_load)


@app.command()
def pipeline(
    state: State = DEFAULT_STATE,
    *,
    sentences: Annotated[str, typer.Option(help="Lengths of documents.")] = "5,25,100",
    repeats: Annotated[int, typer.Option(help="Interleaved measurements of each length.")] = 3,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """A running stack from document accepted to first answer token, beside generation and training alone."""
    from benchmarks.pipeline import Plan, bench_pipeline
    from lift.stack.folder import StateFolder

    def measure() -> dict[str, Any]:
        lengths = numbers("sentences", sentences)
        plan = Plan(state=StateFolder(state.resolve()), sentences=lengths, repeats=repeats, say=_say)
        return bench_pipeline(plan)

    _run(measure, as_json, plot, of_pipeline)


@app.command()
def catalogue(
    adapters: Annotated[str, typer.Option(help="Adapters in the catalogue.")] = "100,1000,10000,100000",
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """A gateway's calls while its catalogue grows; starts what it needs, without engine and store."""
    from benchmarks.catalogue import Plan, bench_catalogue

    _run(lambda: bench_catalogue(Plan(adapters=numbers("adapters", adapters), say=_say)), as_json, plot, of_catalogue)


@app.command()
def breakeven(
    state: State = DEFAULT_STATE,
    *,
    sentences: Annotated[str, typer.Option(help="Lengths of documents.")] = "25,100",
    concurrency: Annotated[str, typer.Option(help="Questions at once, each level in turn.")] = "1,8",
    repeats: Annotated[int, typer.Option(help="Interleaved measurements of each level.")] = 3,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """A running stack's adapters beside long context and retrieval: after how many questions each has cost more."""
    from benchmarks.breakeven import Plan, bench_breakeven

    def measure() -> dict[str, Any]:
        lengths, levels = numbers("sentences", sentences), numbers("concurrency", concurrency)
        plan = Plan(state_dir=state, sentences=lengths, concurrency=levels, repeats=repeats, say=_say)
        return bench_breakeven(plan)

    _run(measure, as_json, plot, of_breakeven)


@app.command()
def recipes(
    state: State = DEFAULT_STATE,
    *,
    data: Annotated[list[Path], typer.Option(help="A document, with its questions beside it as FILE.tsv.")],
    out: Annotated[Path, typer.Option(help="Folder of the pairs and results; a rerun goes on in it.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE,…", help="Values of a training option to try.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Training options against each other on the same pairs: questions answered, knowledge kept, seconds."""
    from benchmarks.recipes import Plan, bench_recipes
    from lift.stack.folder import StateFolder

    named = (each.partition("=") for each in values or ())
    given = {name: tuple(text.split(",")) for name, _, text in named}
    folder = StateFolder(state.resolve())
    _run(lambda: bench_recipes(Plan(state=folder, data=data, values=given, out=out, say=_say)), as_json)


def _run(
    measure: Callable[[], dict[str, Any]],
    as_json: bool,
    plot: Path | None = None,
    growth: Callable[[dict[str, Any]], Growth] | None = None,
) -> None:
    """Prints what was measured, then draws it; what libraries print on the way goes to stderr."""
    if plot is not None:
        checked(plot, "plot")
    with redirect_stdout(sys.stderr):
        result = measure()
    print(json.dumps(result) if as_json else json.dumps(result, indent=2), flush=True)  # noqa: T201
    if plot is not None and growth is not None:
        with redirect_stdout(sys.stderr):
            draw(plot, growth(result))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def main() -> None:
    """Runs one benchmark."""
    run(app)


if __name__ == "__main__":
    become_role(next(iter(sys.argv[1:]), ""))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that engines are stopped with it
    logs.configure(level="WARNING", as_json=False, role="bench")
    main()
