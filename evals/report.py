"""Turns rows into what is reported: means with their intervals for each method, as an object, tables and pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evals.intervals import Estimate, bootstrap, proportion
from evals.plots import grouped_bars, heat_map
from evals.results import Row

K = TypeVar("K")
SCORES = ("contains", "em", "f1", "judge")
DIGITS = 4


def estimate(rows: Sequence[Row], score: str, *, repeated: bool = False) -> Estimate | None:
    """A score's mean over the rows that have it; None where none has, as without a judge.

    repeated: the same questions are asked of each document, and the interval is one over different questions.
    """
    scored = [row for row in rows if getattr(row, score) is not None]
    questions = _grouped(scored, lambda row: row.text if repeated else row.question).values()
    values = [sum(getattr(row, score) for row in of_one) / len(of_one) for of_one in questions]
    if not values:
        return None
    return bootstrap(values) if score == "f1" else proportion(values)


def seconds_per_document(rows: Sequence[Row]) -> float:
    """Mean of a document's training, where there is one, and all its answers one after the other."""
    documents = {row.document: row.document_seconds for row in rows}
    for row in rows:
        documents[row.document] = max(documents[row.document], row.document_seconds)
    return (sum(documents.values()) + sum(row.seconds for row in rows)) / len(documents) if documents else 0.0


def summary(benchmark: str, rows: Sequence[Row], *, with_retention: bool = False) -> dict[str, Any]:
    """The object that `--json` prints."""
    methods = {
        method: _figures(of_method, repeated=with_retention) for method, of_method in _grouped(rows, _method).items()
    }
    if with_retention and "base" in methods:
        for method, figures in methods.items():
            figures.update(_with_interval("retained", retention(rows, method)))
    return {
        "benchmark": benchmark,
        "questions": len({row.question for row in rows}),
        "documents": len({row.document for row in rows}),
        "methods": methods,
        "groups": {label: _groups(rows, label) for label in labels(rows)},
    }


def _groups(rows: Sequence[Row], label: str) -> dict[str, Any]:
    """The scores of each method in each group of a label."""
    return {
        group: {
            "questions": len({row.question for row in of_group}),
            "methods": {method: _scores(found) for method, found in _grouped(of_group, _method).items()},
        }
        for group, of_group in _by_label(rows, label).items()
    }


def _scores(rows: Sequence[Row], *, repeated: bool = False) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for score in SCORES:
        figures.update(_with_interval(score, estimate(rows, score, repeated=repeated)))
    return figures


def _figures(rows: Sequence[Row], *, repeated: bool) -> dict[str, Any]:
    figures = _scores(rows, repeated=repeated)
    figures["seconds_per_document"] = round(seconds_per_document(rows), 2)
    figures["unjudged"] = sum(row.undecided for row in rows)
    figures["out_of_scope"] = sum(row.out_of_scope for row in rows)
    figures["failed"] = sum(row.error is not None for row in rows)
    return figures


def _with_interval(name: str, found: Estimate | None) -> dict[str, float | None]:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    ends = {f"{name}_low": found.low, f"{name}_high": found.high}
    return {end: round(value, DIGITS) for end, value in {name: found.mean, **ends}.items()}


def retention(rows: Sequence[Row], method: str) -> Estimate:
    """The share of what the base model answers right that the method answers right as well; each question counts once.

    Where several documents' adapters are asked the same, the interval is one over the different questions.
    """
    known = {row.question for row in rows if row.method == "base" and row.contains}
    found = estimate([row for row in rows if row.method == method and row.question in known], "contains", repeated=True)
    return found or proportion([])


def tables(rows: Sequence[Row], *, with_retention: bool = False) -> str:
    """Markdown: all methods, what they retain, then a table for each label with the keyword score of each group."""
    methods = tuple(_grouped(rows, _method))
    parts = [_overall(rows, repeated=with_retention)]
    if with_retention and "base" in methods:
        known = {row.text for row in rows if row.method == "base" and row.contains}
        kept = [_line([method, str(len(known)), _cell(retention(rows, method))]) for method in methods]
        head = ["method", "different questions that base answers right", "of these still right"]
        parts.append("\n".join([_line(head), _line(["---"] * 3), *kept]))
    for label in labels(rows):
        lines = [_line([label, "questions", *methods]), _line(["---"] * (2 + len(methods)))]
        for group, of_group in _by_label(rows, label).items():
            found = by_method(of_group, "contains")
            cells = [_cell(found.get(method)) for method in methods]
            lines.append(_line([group, str(len({row.question for row in of_group})), *cells]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def draw(folder: Path, benchmark: str, rows: Sequence[Row], *, repeated: bool = False) -> None:
    """Pictures of scores, one for each label, and where two labels are numbers each method's heat map of them.

    InvalidOption, OSError.
    """
    scores = {score: found for score in SCORES if (found := by_method(rows, score, repeated=repeated))}
    grouped_bars(folder / "scores.svg", f"{benchmark}: {len({row.question for row in rows})} questions", scores)
    for label in labels(rows):
        groups = {group: by_method(of_group, "contains") for group, of_group in _by_label(rows, label).items()}
        grouped_bars(folder / f"by-{label}.svg", f"{benchmark}: keywords by {label}", groups)
    numbers = [label for label in labels(rows) if all(row.labels.get(label, "").isdecimal() for row in rows)]
    if len(numbers) == 2:
        for method, of_method in _grouped(rows, _method).items():
            shares = _shares(of_method, *numbers)
            heat_map(folder / f"heat-{method}.svg", f"{benchmark}: {method}", shares, *numbers)


def _shares(rows: Sequence[Row], down: str, across: str) -> dict[tuple[str, str], float]:
    """The keyword score of each pair of groups."""
    cells = _grouped(rows, lambda row: (row.labels[down], row.labels[across]))
    return {cell: proportion([row.contains for row in of_cell]).mean for cell, of_cell in cells.items()}


def labels(rows: Sequence[Row]) -> list[str]:
    """The names of the labels that rows have."""
    return sorted({label for row in rows for label in row.labels})


def by_method(rows: Sequence[Row], score: str, *, repeated: bool = False) -> dict[str, Estimate]:
    """Each method's estimate, where it has that score."""
    groups = _grouped(rows, _method)
    return {
        method: found
        for method, of_method in groups.items()
        if (found := estimate(of_method, score, repeated=repeated))
    }


def _by_label(rows: Sequence[Row], label: str) -> Mapping[str, list[Row]]:
    """The rows that have a label, by what it says."""
    return _grouped([row for row in rows if label in row.labels], lambda row: row.labels[label])


def _method(row: Row) -> str:
    return row.method


def _overall(rows: Sequence[Row], *, repeated: bool) -> str:
    head = ["method", "questions", *SCORES, "answered by the base model, out of scope", "seconds a document"]
    lines = [_line(head), _line(["---"] * len(head))]
    for method, of_method in _grouped(rows, _method).items():
        cells = [_cell(estimate(of_method, score, repeated=repeated)) for score in SCORES]
        judged = sum(row.judge is not None for row in of_method)
        if 0 < judged < len(of_method):
            cells[SCORES.index("judge")] += f" of {judged}"
        left = str(sum(row.out_of_scope for row in of_method))
        lines.append(_line([method, str(len(of_method)), *cells, left, f"{seconds_per_document(of_method):.1f}"]))
    return "\n".join(lines)


def _cell(found: Estimate | None) -> str:
    return "" if found is None else f"{found.mean:.1%} ({found.low:.0%} to {found.high:.0%})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _grouped(rows: Sequence[Row], key: Callable[[Row], K]) -> Mapping[K, list[Row]]:
    groups: dict[K, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
