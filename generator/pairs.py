"""What strategies turn a passage into, and the seam between them and the service."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from generator.llm import Usage
from generator.sentences import Passage
from lift.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswer:
    """A question and its answer; a piece of raw text has no question."""

    question: str
    answer: str
    kind: Kind


class PassageFailed(Exception):
    """Nothing more can be written about this passage; the message is fit to be shown."""


class Strategy(Protocol):
    """A way to write questions. One object serves one stream of passages, several at once."""

    name: str

    def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """Pairs about the sentence, each as soon as it is complete.

        PassageFailed, RequestFailed, EndpointUnavailable.
        """
        ...
