"""The rows of an evaluation in its output folder: appended as they come, read back by a rerun."""

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from evals import rows
from evals.errors import DataMalformed, OutputTaken

ROWS = "results.jsonl"
RUN = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question as one method answered it. `error` says why there is no answer, which counts as a wrong one.

    seconds: of the answer; document_seconds: of what came before the first answer, such as training. out_of_scope: the
    adapter was asked, and the base model answered, since the question was taken for one about something else. judge: 1
    for right, 0 for wrong, None without a verdict; undecided: because the judge that was asked gave none.
    """

    question: str
    method: str
    document: str
    title: str
    text: str
    references: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    contains: float = 0.0
    em: float = 0.0
    f1: float = 0.0
    judge: float | None = None
    undecided: bool = False
    seconds: float = 0.0
    document_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    adapter: str | None = None
    out_of_scope: bool = False
    error: str | None = None

    @classmethod
    def parsed(cls, value: Mapping[str, Any]) -> Self:
        """A row that was written as JSON (`asdict`)."""
        return cls(**{**value, "references": tuple(value["references"])})

    @property
    def key(self) -> tuple[str, str]:
        """Of several rows with one key the last counts."""
        return self.question, self.method


class Results:
    """The output folder of one evaluation; safe to use from several threads."""

    def __init__(
        self, folder: Path, benchmark: str, settings: Mapping[str, Any], models: Mapping[str, str] | None = None
    ) -> None:
        """Begins a folder or goes on in it. `models`: by option, those of methods and judge, which may be added later.

        OutputTaken: it holds another benchmark, or was begun with other settings or models. OSError: it cannot be
        written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.run = _entered(folder, benchmark, settings, models or {})
        self._path = folder / ROWS
        self._rows = {row.key: row for row in rows.read(self._path, Row.parsed)}
        self._lock = threading.Lock()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, each question's last for each method."""
        with self._lock:
            return tuple(self._rows.values())

    def has(self, question: str, method: str) -> bool:
        """Whether that was answered; what failed is to be tried again."""
        row = self._rows.get((question, method))
        return row is not None and row.error is None

    def add(self, row: Row) -> None:
        """Appends a row."""
        with self._lock:
            rows.append(self._path, row)
            self._rows[row.key] = row


def _entered(folder: Path, benchmark: str, settings: Mapping[str, Any], models: Mapping[str, str]) -> str:
    """The name of the run in this folder, new where it is empty."""
    file = folder / RUN
    run, known = f"eval-{secrets.token_hex(4)}", {}
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            run, was, before, known = str(found["run"]), found["benchmark"], found["settings"], found.get("models", {})
        except (ValueError, KeyError, TypeError) as error:
            raise DataMalformed(file=str(file), problem="it is not what an evaluation leaves there") from error
        if was != benchmark:
            raise OutputTaken(out=str(folder), benchmark=str(was))
        for name, value in {**settings, **models}.items():
            first = {**models, **known, **before}.get(name)  # a model that is named for the first time is the first one
            if value != first:
                raise OutputTaken(out=str(folder), **{name: str(first)}, wanted=str(value))
    content = {"benchmark": benchmark, "run": run, "settings": settings, "models": {**known, **models}}
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return run
