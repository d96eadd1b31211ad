"""Who writes questions for given answers, and reads answers for the round trip: an LLM shown examples, or one taught.

The strategies ask either through one seam. A taught writer is an adapter of the endpoint's model (`lift writer train`),
asked by a name of its own; it needs no examples in its prompt, and asks as people do.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from generator.llm import Endpoint, Sampling, Usage
from generator.openings import Opening
from generator.profiles import Profile, filled, prompt_file
from lift.writing import answer_prompt, proposal_prompt, question_prompt

QUESTION_TOKENS = 32
ANSWER_TOKENS = 24
OPENINGS = 4
SHOWN_TEMPERATURE = 0.6
TAUGHT_TEMPERATURE = 0.8
TAUGHT_SAMPLES = 8
PROPOSALS = 12
PROPOSAL_TEMPERATURE = 1.0
PROPOSAL_TOKENS = 16
TAUGHT_SENTENCES = 2
LEAST_LIKELIHOOD = -1.2  # below it, most questions of a taught writer are nonsense


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is asked about: a sentence with its pronoun resolved, its document's title, and the sentences before it."""

    title: str
    window: str
    preceding: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """First words of a question, none where the writer is free, and how freely it goes on."""

    opening: Opening
    temperature: float = 0.0


FREE = Opening(text="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A question, and the mean log-probability of its tokens: the higher, the more it is what people ask."""

    question: str
    likelihood: float = 0.0


class Writer(Protocol):
    """Writes questions, and answers them from the sentence alone. RequestFailed, EndpointUnavailable."""

    def starts(self, openings: Sequence[Opening]) -> tuple[Start, ...]:
        """The questions to ask for about one answer; `openings` fit it, the most fitting first."""
        ...

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:
        """What people would ask for, in words of the sentence; none where the writer has no notion of it."""
        ...

    async def question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> Draft:
        """A question about the subject whose answer that is; an empty one where nothing came of the start."""
        ...

    async def answer(self, subject: Subject, question: str, usage: Usage) -> str:
        """The question's answer, in words of the sentence."""
        ...


class ShownWriter:
    """The endpoint's model itself: the profile's prompt shows it examples, and openings keep it to the point."""

    def __init__(self, endpoint: Endpoint, profile: Profile) -> None:
        self._endpoint = endpoint
        self._question_prompt = profile.prompt
        self._answer_prompt = prompt_file("grounded", "answer")

    def starts(self, openings: Sequence[Opening]) -> tuple[Start, ...]:
        """The first openings, and the very first once more at some temperature."""
        led = [Start(opening=opening) for opening in openings[:OPENINGS]]
        return (*led, Start(opening=openings[0], temperature=SHOWN_TEMPERATURE))

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> Draft:
        """See Writer."""
        prompt = filled(
            self._question_prompt,
            title=subject.title,
            window=subject.window,
            sentence=subject.sentence,
            answer=answer,
        )
        begun = f" {start.opening.text}".rstrip()
        rest = await self._endpoint.complete(f"{prompt}{begun}", _asking(start), usage)
        if not start.opening.may_end and not rest.strip(" ?"):
            return Draft(question="")  # it adds nothing to an opening that says nothing yet
        return Draft(question=_in_one_line(f"{begun}{rest}"))

    async def answer(self, subject: Subject, question: str, usage: Usage) -> str:
        """See Writer."""
        prompt = filled(self._answer_prompt, sentence=subject.sentence, question=question)
        return await self._endpoint.complete(prompt, _answering(), usage)


class TaughtWriter:
    """An adapter taught on human questions: it begins as it likes, and knows what people would hardly ask."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    def starts(self, openings: Sequence[Opening]) -> tuple[Start, ...]:  # noqa: ARG002
        """What it would ask first, and what it might ask."""
        return (Start(opening=FREE), *(Start(opening=FREE, temperature=TAUGHT_TEMPERATURE),) * TAUGHT_SAMPLES)

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:
        """What it would ask for first, and what it might ask for, each once and as the sentence has it."""
        prompt = proposal_prompt(**_passage(subject))
        samplings = [_proposing(0.0), *[_proposing(PROPOSAL_TEMPERATURE)] * PROPOSALS]
        written = await asyncio.gather(
            *(self._endpoint.complete(prompt, sampling, usage, model=self._model) for sampling in samplings)
        )
        return tuple(dict.fromkeys(text for text in map(str.strip, written) if text and text in subject.sentence))

    async def question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> Draft:
        """See Writer; an empty one where people would hardly ask that."""
        prompt = question_prompt(**_passage(subject), answer=answer)
        written = await self._endpoint.weigh(prompt, _asking(start), usage, model=self._model)
        if written.likelihood < LEAST_LIKELIHOOD:
            return Draft(question="")
        return Draft(question=_in_one_line(written.text), likelihood=written.likelihood)

    async def answer(self, subject: Subject, question: str, usage: Usage) -> str:
        """See Writer."""
        prompt = answer_prompt(**_passage(subject), question=question)
        return await self._endpoint.complete(prompt, _answering(), usage, model=self._model)


def _passage(subject: Subject) -> dict[str, str]:
    window = " ".join(subject.preceding[-TAUGHT_SENTENCES:])
    return {"title": subject.title, "window": window, "sentence": subject.sentence}


def _asking(start: Start) -> Sampling:
    return Sampling(max_tokens=QUESTION_TOKENS, temperature=start.temperature, stop=("\n",))


def _answering() -> Sampling:
    return Sampling(max_tokens=ANSWER_TOKENS, stop=("\n",))


def _proposing(temperature: float) -> Sampling:
    return Sampling(max_tokens=PROPOSAL_TOKENS, temperature=temperature, stop=("\n",))


def _in_one_line(question: str) -> str:
    return " ".join(question.split()).replace(" ?", "?")
