"""Turns a document into pieces of its own text, without any question: what LIFT is compared with, and adds.

Raw-text fine-tuning on overlapping segments is the paper's baseline; together with questions it is its Appendix H.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence

from generator.llm import Usage
from generator.pairs import QuestionAnswer
from generator.sentences import Passage
from lift.kinds import Kind

SEGMENT_SENTENCES = 3
RUN_CHARACTERS = 600


class RawStrategy:
    """A segment for each sentence: the sentence behind those before it, so that segments overlap. No LLM is asked."""

    name = "raw"

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:  # noqa: ARG002
        """One segment, as an answer without a question."""
        yield _text([*passage.preceding[1 - SEGMENT_SENTENCES :], passage.sentence])


class RunsStrategy:
    """Runs of sentences, each sentence in one of them: what questions have beside them. No LLM is asked."""

    name = RawStrategy.name

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:  # noqa: ARG002
        """The runs of the section that the sentence ends, each as an answer without a question."""
        for run in _runs(passage.section):
            yield _text(run)


def _runs(sentences: Sequence[str]) -> Iterator[list[str]]:
    """The sentences in runs of at most RUN_CHARACTERS; a longer sentence is a run of its own."""
    run: list[str] = []
    for sentence in sentences:
        if run and len(" ".join([*run, sentence])) > RUN_CHARACTERS:
            yield run
            run = []
        run.append(sentence)
    if run:
        yield run


def _text(sentences: Sequence[str]) -> QuestionAnswer:
    return QuestionAnswer(question="", answer=" ".join(sentences), kind=Kind.RAW)
