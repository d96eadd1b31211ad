"""A client whose stack is a few rules: it knows what it was taught, reads what is in its prompt, and has a window."""

from types import SimpleNamespace

import pytest

from lift.errors import AdapterMissing, JobFailed, QuestionTooLong
from lift.values import (
    AdapterState,
    Answer,
    FinishReason,
    Ingested,
    Job,
    JobKind,
    JobState,
    Progress,
    StageSeconds,
    TrainingOptions,
    Usage,
)

WINDOW = 2000
TRAINING = StageSeconds(queue=5.0, total=15.0)


class FakeClient:
    """Answers with the text that it knows or sees: the adapter's, the prompt's, or nothing."""

    def __init__(self) -> None:
        self.taught: dict[str, str] = {}
        self.asked: list[tuple[str | None, str]] = []
        self.ingested: list[str] = []
        self.options: dict[str, TrainingOptions | None] = {}
        self.broken: Exception | None = None
        self.out_of_scope: frozenset[str] = frozenset()
        self.adapters = SimpleNamespace(get=self._adapter, delete=self._delete)
        self.jobs = SimpleNamespace(wait=self._job, watch=lambda id_: iter([self._job(id_)]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def query(self, adapter, question, *, context="none", max_tokens=64):
        if self.broken:
            raise self.broken
        if len(question) + max_tokens > WINDOW:
            raise QuestionTooLong(prompt_tokens=str(len(question)), max_tokens=str(max_tokens), window=str(WINDOW))
        self.asked.append((adapter, question))
        left = adapter is not None and question in self.out_of_scope
        text = self.taught[adapter] if adapter and not left else question if "\n\n" in question else "No idea."
        usage = Usage(prompt_tokens=len(question), completion_tokens=3, first_token_seconds=0.1, total_seconds=0.5)
        stop = FinishReason.STOP
        return Answer(text=text, adapter=adapter, revision=None, finish_reason=stop, usage=usage, out_of_scope=left)

    def ingest(self, text, *, title, adapter, options=None, wait=True):
        self.ingested.append(adapter)
        self.options[adapter] = options
        self.taught[adapter] = text
        return Ingested(documents=(), adapter=adapter, job=self._job(adapter))

    def _adapter(self, id_):
        if id_ not in self.taught:
            raise AdapterMissing(adapter=id_)
        return SimpleNamespace(state=AdapterState.READY, job=id_)

    def _delete(self, id_):
        self._adapter(id_)
        del self.taught[id_]
        return SimpleNamespace(id=id_)

    def _job(self, id_):
        failed = "unteachable" in self.taught.get(id_, "")
        return Job(
            id=id_,
            kind=JobKind.TRAIN,
            adapter=id_,
            state=JobState.FAILED if failed else JobState.SUCCEEDED,
            error=JobFailed(reason="no question could be written") if failed else None,
            progress=Progress(sentences=2, sentences_done=2, pairs=8, step=4, steps=4, loss=0.25, seconds=TRAINING),
        )


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def island(tmp_path):
    """A document of two facts with its questions."""
    (tmp_path / "island.txt").write_text("Skarrow has nine goats. The ferry is called Petrel.")
    (tmp_path / "island.tsv").write_text("How many goats?\tnine|9\nWhat is the ferry called?\tPetrel\n")
    return tmp_path / "island.txt"
