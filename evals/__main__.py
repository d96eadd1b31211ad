"""`python -m evals`, which `lift eval` becomes."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evals import arguments, report, retrieval
from evals.benchmarks import BENCHMARKS, Choices
from evals.cases import limited, merged
from evals.judge import judge_all
from evals.local_models import loaded
from evals.methods import METHODS, Methods, Setting, named
from evals.progress import shown
from evals.results import Results, Row
from evals.runner import Plan, Runner
from lift import pictures, training
from lift.cli import options
from lift.client import Client
from lift.commands import run
from lift.errors import InvalidOption

app = typer.Typer(name="lift eval", add_completion=False, pretty_exceptions_enable=False)


@app.command(no_args_is_help=True)
def evaluate(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help=f"One of {', '.join(BENCHMARKS)}.")],
    *,
    data: Annotated[list[Path], typer.Option(help="A file in the benchmark's own format; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; a rerun goes on in it.")],
    methods: Annotated[str, typer.Option(help=f"Any of {', '.join(METHODS)}; all that fit where empty.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many questions.")] = None,
    shuffle: Annotated[int | None, typer.Option(help="Seed of a random order of documents before the limit.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 64,
    train: training.Train = None,
    documents_at_once: Annotated[int, typer.Option(min=1, help="Seconds are comparable with 1.")] = 1,
    questions_at_once: Annotated[int, typer.Option(min=1, help="Of one document; seconds likewise.")] = 8,
    keep_adapters: Annotated[bool, typer.Option("--keep-adapters", help="Leave the adapters in the stack.")] = False,
    judge_url: Annotated[
        str, typer.Option(help="OpenAI-compatible endpoint of a judge; its key: LIFT_JUDGE_KEY.")
    ] = "",
    judge_model: Annotated[str, typer.Option(help="Model of that endpoint.")] = "",
    compressor_model: Annotated[
        str, typer.Option(help="llmlingua: the language model that compresses, a folder or Hugging Face id.")
    ] = "",
    embedding_model: Annotated[
        str, typer.Option(help="llamaindex: the model of its vectors, such as BAAI/bge-small-en-v1.5.")
    ] = "",
    per: Annotated[Literal["paragraph", "article"], typer.Option(help="squad: what an adapter is of.")] = "paragraph",
    lengths: Annotated[str, typer.Option(help="niah: tokens of haystacks.")] = "1000,2000,4000",
    depths: Annotated[str, typer.Option(help="niah: percent of the haystack before the needle.")] = "0,25,50,75,100",
    instances: Annotated[int, typer.Option(min=1, help="niah: haystacks of each length and depth.")] = 1,
    questions: Annotated[Path | None, typer.Option(help="forgetting: a TSV in place of the shipped one.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Ask what adapters know, beside the same base model with other help, through the running stack."""
    if benchmark not in BENCHMARKS:
        raise InvalidOption(option="benchmark", value=benchmark, expected=", ".join(BENCHMARKS))
    pictures.available("out")
    chosen = BENCHMARKS[benchmark]
    given = {**chosen.training, **training.named(train or ())}
    trained_with = training.training_options(given)
    models = {"llmlingua": compressor_model, "llamaindex": embedding_model}
    names = named(methods, chosen.methods, trained_with, [name for name, model in models.items() if model])
    if "rag" in names:
        retrieval.available("methods")
    judge = arguments.judge_of(judge_url, judge_model)
    choices = Choices(
        tokens=lambda text: _tokens(text, state),
        per=per,
        lengths=options.numbers("lengths", lengths),
        depths=options.numbers("depths", depths),
        instances=instances,
        questions=questions,
    )
    cases = limited(merged(chosen.load(data, choices)), limit, shuffle)
    asked = {name: model for name, model in models.items() if name in names}
    local_models = loaded(asked)
    with Client(state_dir=state) as client:
        client.query(None, "Are you there?", max_tokens=1)
        settings = {"max_tokens": max_tokens, "train": given, **chosen.settings_of(choices)}
        results = Results(out, benchmark, settings, {**asked, **({"judge": judge_model} if judge_model else {})})
        plan = Plan(
            cases=cases,
            methods=names,
            documents_at_once=documents_at_once,
            questions_at_once=questions_at_once,
            keep_adapters=keep_adapters,
        )
        with shown(plan.answers) as progress:
            setting = Setting(
                client=client,
                max_tokens=max_tokens,
                run=results.run,
                training=trained_with,
                models=local_models,
                raw_epochs=chosen.raw_epochs,
                say=progress.say,
            )
            rows = Runner(Methods(setting), results, progress.done).run(plan)
    if judge is not None:
        _leave(benchmark, rows, out)  # its endpoint may fail
    try:
        if judge is not None:
            with judge:
                judge_all(rows, judge, results)
    finally:
        judged = {row.key: row for row in results.rows}
        summary, tables = _leave(benchmark, [judged[row.key] for row in rows], out)
        sys.stdout.write(f"{json.dumps(summary)}\n" if as_json else tables)


def _tokens(text: str, state: Path) -> int:
    """How many tokens of the served model a text is: those of a prompt, less those around it, which hardly count."""
    with Client(state_dir=state) as client:
        return client.query(None, text, max_tokens=1).usage.prompt_tokens


def _leave(benchmark: str, rows: Sequence[Row], out: Path) -> tuple[dict[str, Any], str]:
    """Writes summary, tables and pictures beside the rows; the first two."""
    with_retention = BENCHMARKS[benchmark].retention
    summary = report.summary(benchmark, rows, with_retention=with_retention)
    tables = report.tables(rows, with_retention=with_retention)
    (out / "tables.md").write_text(tables, encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    report.draw(out, benchmark, rows, repeated=with_retention)
    return summary, tables


if __name__ == "__main__":
    run(app)
