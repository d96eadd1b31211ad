"""Turns a job's pairs into numbered chunks of the object store as they arrive, and the chunks into pairs again.

A chunk's name begins with the fencing token of the worker that wrote it, so a worker that was believed dead writes
beside its successor, never over it. A sentence is finished once its outcome is there; the pairs that go with it are
those of the worker that wrote the outcome. What there is of an unfinished sentence is left out: it is written anew.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from lift.kinds import Kind
from storage import keys
from storage.objects import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question and its answer; `kind` says how it was written."""

    question: str
    answer: str
    sentence_index: int
    kind: Kind = Kind.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A sentence is finished; `error` says why it has fewer pairs than it could."""

    sentence_index: int
    pairs: int
    error: str = ""


Entry: TypeAlias = Pair | Outcome


class Journal:
    """The journal of one job, written by the worker that holds the job with this token."""

    def __init__(self, objects: ObjectStore, tenant: str, job: str, token: int) -> None:
        self._objects = objects
        self._prefix = keys.journal(tenant, job)
        self._token = token
        self._chunks: int | None = None

    def append(self, entries: Sequence[Entry]) -> None:
        """Stores the entries as one chunk, entirely or not at all. StoreUnavailable."""
        if not entries:
            return
        own = f"{self._prefix}{self._token:010d}-"
        if self._chunks is None:
            self._chunks = sum(1 for _ in self._objects.list(own))
        lines = [json.dumps({"entry": type(entry).__name__.lower(), **asdict(entry)}) for entry in entries]
        self._objects.put(f"{own}{self._chunks:08d}.jsonl", "\n".join(lines).encode())
        self._chunks += 1

    def read(self) -> tuple[Entry, ...]:
        """What all workers wrote about finished sentences: of each its pairs, each once, then its outcome.

        A sentence that went wrong and brought no pair counts as unfinished. StoreUnavailable.
        """
        keys_in_order = sorted(self._objects.list(self._prefix))
        return _merged((self._token_in(key), self._chunk(key)) for key in keys_in_order)

    def _token_in(self, key: str) -> int:
        return int(key[len(self._prefix) :].partition("-")[0])

    def _chunk(self, key: str) -> list[Entry]:
        return [_entry(json.loads(line)) for line in self._objects.get(key).decode().splitlines()]


def _entry(stored: dict[str, Any]) -> Entry:
    if stored.pop("entry") == "outcome":
        return Outcome(**stored)
    return Pair(**{**stored, "kind": Kind(stored["kind"])})


def _merged(chunks: Iterable[tuple[int, list[Entry]]]) -> tuple[Entry, ...]:
    pairs: dict[tuple[int, int], dict[Entry, None]] = {}  # by token and sentence
    finished: dict[int, tuple[int, Outcome]] = {}
    for token, entries in chunks:
        for entry in entries:
            if isinstance(entry, Pair):
                pairs.setdefault((token, entry.sentence_index), {})[entry] = None
            elif entry.pairs or not entry.error:
                finished.setdefault(entry.sentence_index, (token, entry))
    return tuple(
        entry
        for sentence, (token, outcome) in finished.items()
        for entry in (*pairs.get((token, sentence), {}), outcome)
    )
