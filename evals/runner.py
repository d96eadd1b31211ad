"""Turns cases and methods into rows: asks what is not answered yet, several documents at a time."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from evals import scores
from evals.cases import Case, Document, Question
from evals.methods import Asked, Methods
from evals.results import Results, Row
from lift.errors import Exhausted, LiftError, Unauthenticated, Unavailable

OUTAGES = (Unavailable, Unauthenticated, Exhausted)
"""They end a run, which can be taken up again; other errors are a document's own, and cost its questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be asked of which methods. `questions_at_once`: of one document; `keep_adapters` leaves them there."""

    cases: Sequence[Case]
    methods: Sequence[str]
    documents_at_once: int = 1
    questions_at_once: int = 1
    keep_adapters: bool = False

    @property
    def answers(self) -> int:
        """How many rows there are in the end."""
        return sum(len(case.questions) for case in self.cases) * len(self.methods)


class Runner:
    """Runs a plan into an output folder; `done` hears of each row, also of those that are there already."""

    def __init__(self, methods: Methods, results: Results, done: Callable[[Row], None]) -> None:
        self._methods = methods
        self._results = results
        self._done = done
        self._stopping = threading.Event()

    def run(self, plan: Plan) -> tuple[Row, ...]:
        """The rows of the plan. The errors of OUTAGES, whatever was answered before them is kept."""
        pool = ThreadPoolExecutor(max_workers=plan.documents_at_once, thread_name_prefix="case")
        try:
            for case in as_completed([pool.submit(self._case, case, plan) for case in plan.cases]):
                case.result()
        except BaseException:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        found = {row.key: row for row in self._results.rows}
        questions = [question.id for case in plan.cases for question in case.questions]
        return tuple(found[question, method] for method in plan.methods for question in questions)

    def _case(self, case: Case, plan: Plan) -> None:
        for method in plan.methods:
            self._ask(case, method, plan.questions_at_once)
        if not plan.keep_adapters and not self._stopping.is_set():
            self._methods.forget(case.document)

    def _ask(self, case: Case, method: str, at_once: int) -> None:
        """All questions of one document that this method has not answered yet."""
        known = {row.key: row for row in self._results.rows}
        for question in case.questions:
            if self._results.has(question.id, method):
                self._done(known[question.id, method])
        left = [question for question in case.questions if not self._results.has(question.id, method)]
        if not left or self._stopping.is_set():
            return
        try:
            asked = self._methods.of(method, case.document)
        except OUTAGES:
            raise
        except LiftError as error:
            for question in left:
                self._add(replace(_blank(case.document, question, method), error=str(error)))
            return

        def answer(question: Question) -> None:
            if not self._stopping.is_set():
                self._add(_answered(_blank(case.document, question, method), question, asked))

        # The first alone: a long document's truncation is found once, and its prompt is in the cache for the rest.
        answer(left[0])
        with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="question") as pool:
            for _ in pool.map(answer, left[1:]):
                pass

    def _add(self, row: Row) -> None:
        if self._stopping.is_set():  # the client is closing, and calls fail for that reason alone
            return
        self._results.add(row)
        self._done(row)


def _blank(document: Document, question: Question, method: str) -> Row:
    return Row(
        question=question.id,
        method=method,
        document=document.digest,
        title=document.title,
        text=question.text,
        references=question.references,
        labels=question.labels,
    )


def _answered(row: Row, question: Question, asked: Asked) -> Row:
    """The row with the answer and its scores, or with the reason why there is none."""
    row = replace(row, document_seconds=asked.seconds, adapter=asked.adapter)
    try:
        answer = asked.answer(question.text)
    except OUTAGES:
        raise
    except LiftError as error:
        return replace(row, error=str(error))
    text = answer.text.strip()
    return replace(
        row,
        answer=text,
        contains=scores.contains(text, question.references, question.keywords),
        em=scores.exact_match(text, question.references),
        f1=scores.f1(text, question.references),
        seconds=answer.usage.total_seconds,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        out_of_scope=answer.out_of_scope,
    )
