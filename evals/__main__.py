"""`python -m evals`, which `lift eval` becomes."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from evals import report
from evals.benchmarks import BENCHMARKS
from evals.cases import limited
from evals.judge import Judge
from evals.methods import Methods, Setting, named
from evals.progress import shown
from evals.results import Results, Row
from evals.runner import Plan, Runner
from lift.cli import options
from lift.cli.running import run
from lift.client import Client
from lift.errors import InvalidOption
from lift.values import TrainingOptions

app = typer.Typer(name="lift eval", add_completion=False, pretty_exceptions_enable=False)


@app.command(no_args_is_help=True)
def evaluate(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help=f"One of {', '.join(BENCHMARKS)}.")],
    *,
    data: Annotated[list[Path], typer.Option(help="A file in the benchmark's own format; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; a rerun goes on in it.")],
    methods: Annotated[str, typer.Option(help="Any of base, icl, rag, lift, lift+icl.")] = "base,icl,rag,lift,lift+icl",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many questions.")] = None,
    shuffle: Annotated[int | None, typer.Option(help="Seed of a random order of documents before the limit.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 64,
    train: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A training option of adapters.")
    ] = None,
    documents_at_once: Annotated[int, typer.Option(min=1, help="Seconds are comparable with 1.")] = 1,
    keep_adapters: Annotated[bool, typer.Option("--keep-adapters", help="Leave the adapters in the stack.")] = False,
    judge_url: Annotated[
        str, typer.Option(help="OpenAI-compatible endpoint of a judge; its key: LIFT_JUDGE_KEY.")
    ] = "",
    judge_model: Annotated[str, typer.Option(help="Model of that endpoint.")] = "",
    state: options.State = options.DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Ask what adapters know, beside the same base model with other help, through the running stack."""
    if benchmark not in BENCHMARKS:
        raise InvalidOption(option="benchmark", value=benchmark, expected=", ".join(BENCHMARKS))
    chosen = named(methods, BENCHMARKS[benchmark].methods)
    training = _training(train or ())
    judge = _judge(judge_url, judge_model)
    cases = limited(BENCHMARKS[benchmark].load(data), limit, shuffle)
    with Client(state_dir=state) as client:
        client.query(None, "Are you there?", max_tokens=1)
        results = Results(out, benchmark, {"max_tokens": max_tokens, "train": sorted(train or ())})
        setting = Setting(client=client, max_tokens=max_tokens, run=results.run, training=training)
        plan = Plan(cases=cases, methods=chosen, documents_at_once=documents_at_once, keep_adapters=keep_adapters)
        with shown(plan.answers) as done:
            rows = Runner(Methods(setting), results, done).run(plan)
    if judge is not None:
        rows = _judged(rows, judge, results)
    _leave(benchmark, rows, out, as_json)


def _training(given: Sequence[str]) -> TrainingOptions | None:
    """NAME=VALUE settings as training options. InvalidOption."""
    kinds = {field.name: field.type for field in fields(TrainingOptions)}
    found: dict[str, Any] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        kind = next((kind for kind in (int, float, str) if kinds.get(name) == kind | None), None)
        if kind is None:
            raise InvalidOption(option="train", value=name, expected=", ".join(kinds))
        try:
            found[name] = kind(value)
        except ValueError as error:
            raise InvalidOption(option=f"train {name}", value=value, expected=kind.__name__) from error
    return TrainingOptions(**found) if found else None


def _judge(url: str, model: str) -> Judge | None:
    if bool(url) != bool(model):
        raise InvalidOption(option="judge-model" if url else "judge-url", expected="both or none")
    return Judge(url=url, model=model, key=os.environ.get("LIFT_JUDGE_KEY", "")) if url else None


def _judged(rows: Sequence[Row], judge: Judge, results: Results) -> tuple[Row, ...]:
    """The rows with the judge's verdicts, of which those that are there already are kept."""
    found = []
    for row in rows:
        judged = row if row.judge is not None else replace(row, judge=judge.score(row))
        if judged is not row:
            results.add(judged)
        found.append(judged)
    return tuple(found)


def _leave(benchmark: str, rows: Sequence[Row], out: Path, as_json: bool) -> None:
    """Writes the tables and the summary beside the rows, and prints one of them."""
    summary = report.summary(benchmark, rows)
    tables = report.tables(rows)
    (out / "tables.md").write_text(tables, encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{json.dumps(summary)}\n" if as_json else tables)


if __name__ == "__main__":
    run(app)
