"""Turns rows into what is reported: a mean with its interval for each method and score, as an object and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.intervals import Estimate, bootstrap, proportion
from evals.results import Row

SCORES = ("contains", "em", "f1", "judge")
DIGITS = 4


def estimate(rows: Sequence[Row], score: str) -> Estimate | None:
    """A score's mean; None where a row lacks it, as without a judge."""
    values = [getattr(row, score) for row in rows]
    if any(value is None for value in values):
        return None
    return bootstrap(values) if score == "f1" else proportion(values)


def seconds_per_document(rows: Sequence[Row]) -> float:
    """Mean of a document's training, where there is one, and all its answers one after the other."""
    documents = {row.document: row.document_seconds for row in rows}
    for row in rows:
        documents[row.document] = max(documents[row.document], row.document_seconds)
    return (sum(documents.values()) + sum(row.seconds for row in rows)) / len(documents) if documents else 0.0


def summary(benchmark: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The object that `--json` prints."""
    by_method = _grouped(rows, lambda row: row.method)
    return {
        "benchmark": benchmark,
        "questions": len({row.question for row in rows}),
        "documents": len({row.document for row in rows}),
        "methods": {method: _figures(of_method) for method, of_method in by_method.items()},
    }


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for score in SCORES:
        found = estimate(rows, score)
        figures[score] = None if found is None else round(found.mean, DIGITS)
        figures[f"{score}_low"] = None if found is None else round(found.low, DIGITS)
        figures[f"{score}_high"] = None if found is None else round(found.high, DIGITS)
    figures["seconds_per_document"] = round(seconds_per_document(rows), 2)
    figures["failed"] = sum(row.error is not None for row in rows)
    return figures


def retention(rows: Sequence[Row], method: str) -> Estimate:
    """The share of what the base model answers right that the method answers right as well."""
    known = {row.question for row in rows if row.method == "base" and row.contains}
    return proportion([row.contains for row in rows if row.method == method and row.question in known])


def tables(rows: Sequence[Row]) -> str:
    """Markdown: all methods, then one table for each label with the first score of each group."""
    methods = tuple(_grouped(rows, lambda row: row.method))
    parts = [_overall(rows)]
    for label in sorted({label for row in rows for label in row.labels}):
        groups = _grouped(rows, lambda row, label=label: row.labels.get(label, ""))
        lines = [_line([label, "questions", *methods]), _line(["---"] * (2 + len(methods)))]
        for group, of_group in groups.items():
            cells = [_cell(estimate([row for row in of_group if row.method == m], "contains")) for m in methods]
            lines.append(_line([group, str(len({row.question for row in of_group})), *cells]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _overall(rows: Sequence[Row]) -> str:
    lines = [_line(["method", "questions", *SCORES, "seconds a document"]), _line(["---"] * (3 + len(SCORES)))]
    for method, of_method in _grouped(rows, lambda row: row.method).items():
        cells = [_cell(estimate(of_method, score)) for score in SCORES]
        lines.append(_line([method, str(len(of_method)), *cells, f"{seconds_per_document(of_method):.1f}"]))
    return "\n".join(lines)


def _cell(found: Estimate | None) -> str:
    return "" if found is None else f"{found.mean:.1%} ({found.low:.0%} to {found.high:.0%})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _grouped(rows: Sequence[Row], key: Any) -> Mapping[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
