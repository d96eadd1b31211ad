"""Ways to answer a question about a document: LIFT and what it is compared with, all through one running stack.

Every method asks the same model with the same template and greedily; they differ in adapter and prompt alone. None of
them knows which benchmark a question is from.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Literal, Protocol, cast

from evals.adapters import Adapters
from evals.cases import Document
from evals.context import Fitting, share_that_fits
from evals.local_models import NEEDED, Compressor, Embedder, LocalModel
from evals.retrieval import Retriever, passages
from evals.training import LIFT_AND_RAW, RAW_EPOCHS, trainings
from lift.client import Client
from lift.errors import InvalidOption, QuestionTooLong
from lift.values import Answer, Job, TrainingOptions

RETRIEVED_PASSAGES = 3
COMPRESSED_TO = 0.5  # of a text's tokens, where as many fit; llmlingua's own default


class Asked(Protocol):
    """A method that has seen one document."""

    @property
    def seconds(self) -> float:
        """What that took, such as training."""
        ...

    @property
    def adapter(self) -> str | None:
        """The id of what answers; None is the base model."""
        ...

    def answer(self, question: str) -> Answer:
        """The answer to a question about the document."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all methods share: the stack, how long answers may be, and how adapters are trained under which ids.

    `models` are those that methods need beside the stack, by method. `raw_epochs`: those of raw text, where `training`
    says nothing of them. `say` is told how far a training is.
    """

    client: Client
    max_tokens: int
    run: str
    training: TrainingOptions | None = None
    raw_epochs: int = RAW_EPOCHS
    models: Mapping[str, LocalModel] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None


def asking_base(setting: Setting) -> Callable[[str], Answer]:
    """Asks the base model, greedily, with a prompt as one turn of the template that adapters have as well."""
    return lambda prompt: setting.client.query(None, prompt, max_tokens=setting.max_tokens)


class ClosedBook:
    """The base model with the question alone: what it knows without the document. It is asked the same but once."""

    seconds, adapter = 0.0, None

    def __init__(self, setting: Setting) -> None:
        self._ask = asking_base(setting)
        self._answers: dict[str, Answer] = {}

    def answer(self, question: str) -> Answer:
        """Its answer."""
        if question not in self._answers:
            self._answers[question] = self._ask(question)
        return self._answers[question]


class InContext:
    """The base model with the document before the question, truncated in the middle to the window."""

    seconds, adapter = 0.0, None

    def __init__(self, setting: Setting, document: Document) -> None:
        self._ask = asking_base(setting)
        self._fitting = Fitting(document.text)

    def answer(self, question: str) -> Answer:
        """Its answer."""
        return self._fitting.answer(self._ask, question)


class Retrieval:
    """The base model with the passages of the document before the question that a retriever finds for it."""

    adapter = None

    def __init__(self, setting: Setting, retriever: Callable[[str], Sequence[str]], seconds: float = 0.0) -> None:
        self._ask = asking_base(setting)
        self._best = retriever
        self.seconds = seconds

    def answer(self, question: str) -> Answer:
        """Its answer."""
        return Fitting("\n\n".join(self._best(question))).answer(self._ask, question)


class Compressed:
    """The base model with the document before the question, with words left out until it fits, half of them at least.

    seconds: the first compression; the one for a smaller window is a part of the answer that needed it.
    """

    adapter = None

    def __init__(self, setting: Setting, compressor: Compressor, document: Document) -> None:
        self._ask = asking_base(setting)
        self._compressor = compressor
        self._document = document.text
        self._lock = Lock()
        self._shorter: Fitting | None = None
        began = time.monotonic()
        self._half = compressor.compressed(self._document, COMPRESSED_TO)
        self.seconds = time.monotonic() - began

    def answer(self, question: str) -> Answer:
        """Its answer."""
        fitting = self._shorter
        if fitting is None:
            try:
                return self._ask(f"{self._half}\n\n{question}")
            except QuestionTooLong as refused:
                fitting = self._shortened(share_that_fits(refused))
        return fitting.answer(self._ask, question)

    def _shortened(self, share: float) -> Fitting:
        """The document compressed to that share of its half, once for all questions."""
        with self._lock:
            if self._shorter is None:
                self._shorter = Fitting(self._compressor.compressed(self._document, COMPRESSED_TO * share))
            return self._shorter


class Adapted:
    """The document's adapter with the question alone, or with the document, cut at its end, in the prompt as well."""

    def __init__(
        self, setting: Setting, adapters: Adapters, document: Document, context: Literal["none", "document"]
    ) -> None:
        self._setting = setting
        self._context: Literal["none", "document"] = context
        trained = adapters.of(document)
        self.seconds, self.adapter = trained.seconds, trained.id

    def answer(self, question: str) -> Answer:
        """Its answer."""
        setting = self._setting
        return setting.client.query(self.adapter, question, context=self._context, max_tokens=setting.max_tokens)


class Methods:
    """The methods of one evaluation by name, and the adapters that they train."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._closed_book = ClosedBook(setting)
        self._adapters = {
            name: Adapters(setting.client, _name(setting.run, name), options, self._seen)
            for name, options in trainings(setting.training, setting.raw_epochs).items()
        }

    def _seen(self, document: Document, job: Job) -> None:
        done = job.progress
        step = f", step {done.step}/{done.steps or '?'}, loss {done.loss:.2f}" if done.step else ""
        sentences = f"sentences {done.sentences_done}/{done.sentences}, pairs {done.pairs}"
        self._setting.say(f"{document.title}: {job.state} {job.progress.stage}, {sentences}{step}")

    def of(self, name: str, document: Document) -> Asked:
        """The method, once it can be asked about the document. JobFailed: its adapter could not be trained."""
        return METHODS[name](self, document)

    def forget(self, document: Document) -> None:
        """Deletes what was trained for the document."""
        for adapters in self._adapters.values():
            adapters.delete(document)

    def closed_book(self, _document: Document) -> Asked:
        """`base`."""
        return self._closed_book

    def in_context(self, document: Document) -> Asked:
        """`icl`."""
        return InContext(self._setting, document)

    def retrieval(self, document: Document) -> Asked:
        """`rag`: passages by words (BM25)."""
        retriever = Retriever(passages(document.text))
        return Retrieval(self._setting, partial(retriever.best, count=RETRIEVED_PASSAGES))

    def llamaindex(self, document: Document) -> Asked:
        """`llamaindex`: passages by vectors; `named` gives it only where there is an embedder."""
        began = time.monotonic()
        best = cast(Embedder, self._setting.models["llamaindex"]).best(document.text, RETRIEVED_PASSAGES)
        return Retrieval(self._setting, best, time.monotonic() - began)

    def llmlingua(self, document: Document) -> Asked:
        """`llmlingua`, which `named` gives only where there is a compressor."""
        return Compressed(self._setting, cast(Compressor, self._setting.models["llmlingua"]), document)

    def lift(self, document: Document) -> Asked:
        """`lift`."""
        return Adapted(self._setting, self._adapters["lift"], document, "none")

    def lift_in_context(self, document: Document) -> Asked:
        """`lift+icl`."""
        return Adapted(self._setting, self._adapters["lift"], document, "document")

    def raw(self, document: Document) -> Asked:
        """`raw`."""
        return Adapted(self._setting, self._adapters["raw"], document, "none")

    def templora(self, document: Document) -> Asked:
        """`templora`: the text learned piece by piece, and the question behind the truncated document (LIFT, E.3)."""
        return Adapted(self._setting, self._adapters["templora"], document, "document")

    def lift_and_raw(self, document: Document) -> Asked:
        """`lift+raw`, which `named` gives only where its training is known."""
        return Adapted(self._setting, self._adapters[LIFT_AND_RAW], document, "none")

    def lift_and_raw_in_context(self, document: Document) -> Asked:
        """`lift+raw+icl`, likewise (LIFT, appendix H: "+both")."""
        return Adapted(self._setting, self._adapters[LIFT_AND_RAW], document, "document")


METHODS: Mapping[str, Callable[[Methods, Document], Asked]] = {
    "base": Methods.closed_book,
    "icl": Methods.in_context,
    "rag": Methods.retrieval,
    "llamaindex": Methods.llamaindex,
    "llmlingua": Methods.llmlingua,
    "lift": Methods.lift,
    "lift+icl": Methods.lift_in_context,
    "raw": Methods.raw,
    "templora": Methods.templora,
    LIFT_AND_RAW: Methods.lift_and_raw,
    f"{LIFT_AND_RAW}+icl": Methods.lift_and_raw_in_context,
}


def _name(run: str, training: str) -> str:
    """What ids of adapters of one way to train begin with; those of `lift` with the run's name alone."""
    return run if training == "lift" else f"{run}-{training.replace('+', '-')}"


def named(
    text: str, allowed: frozenset[str], training: TrainingOptions | None, models: Collection[str] = ()
) -> tuple[str, ...]:
    """The method names of a list with commas, each once; all that can be had where it is empty. InvalidOption.

    `models`: those of the methods with a model of their own for which one is given.
    """
    possible = tuple(name for name in METHODS if name in allowed)
    lacking = {method: f"--{needed.option}" for method, needed in NEEDED.items() if method not in models}
    if LIFT_AND_RAW not in trainings(training):
        trained = "--train strategy=grounded, or another that asks questions, to which raw text is added"
        lacking |= dict.fromkeys((LIFT_AND_RAW, f"{LIFT_AND_RAW}+icl"), trained)
    if not text.strip():
        return tuple(name for name in possible if name not in lacking)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in possible:
            raise InvalidOption(option="methods", value=name, expected=", ".join(possible))
        if name in lacking:
            raise InvalidOption(option="methods", value=name, needs=lacking[name])
    return names
