"""Who writes questions for given answers, and reads answers for the round trip: an LLM shown examples, or one taught.

The strategies ask either through one seam. A taught writer is an adapter of the endpoint's model (`lift writer train`),
asked by a name of its own; it needs no examples in its prompt, and asks as people do.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from generator import matching
from generator.llm import Endpoint, Sampling, Usage, Weighed
from generator.openings import Opening
from generator.profiles import Profile, filled, prompt_file
from lift.writing import answer_prompt, proposal_prompt, question_prompt

QUESTION_TOKENS = 32
ANSWER_TOKENS = 24
OPENINGS = 4
SHOWN_TEMPERATURE = 0.6
TAUGHT_TEMPERATURE = 0.8
TAUGHT_SAMPLES = 8
ROUND = 3  # questions asked for before it is looked whether more are wanted
PROPOSALS = 12
PROPOSAL_TEMPERATURE = 1.0
PROPOSAL_TOKENS = 16
TAUGHT_SENTENCES = 2
TAUGHT_STRAY_WORDS = 2  # it was taught to ask in other words than the sentence's
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
    """Writes questions, and answers them from the sentence alone. RequestFailed, EndpointUnavailable.

    `stray_words`: how many words a question of its may use that are not the source's.
    """

    stray_words: int

    def rounds(self, openings: Sequence[Opening]) -> tuple[tuple[Start, ...], ...]:
        """The questions to ask for about one answer, and those to go on with where these are not enough.

        `openings` fit the answer, the most fitting first.
        """
        ...

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:
        """What people would ask for, in words of the sentence; none where the writer has no notion of it."""
        ...

    async def questions(self, subject: Subject, answer: str, starts: Sequence[Start], usage: Usage) -> list[Draft]:
        """A question for each start about the subject whose answer that is; an empty one where nothing came of it."""
        ...

    async def answers(self, subject: Subject, questions: Sequence[str], usage: Usage) -> list[str]:
        """Each question's answer, in words of the sentence."""
        ...


class ShownWriter:
    """The endpoint's model itself: the profile's prompt shows it examples, and openings keep it to the point.

    It may be anybody's, so each prompt is a request of its own.
    """

    stray_words = matching.STRAY_WORDS

    def __init__(self, endpoint: Endpoint, profile: Profile) -> None:
        self._endpoint = endpoint
        self._question_prompt = profile.prompt
        self._answer_prompt = prompt_file("grounded", "answer")

    def rounds(self, openings: Sequence[Opening]) -> tuple[tuple[Start, ...], ...]:
        """The first openings, and the very first once more at some temperature."""
        led = [Start(opening=opening) for opening in openings[:OPENINGS]]
        return ((*led, Start(opening=openings[0], temperature=SHOWN_TEMPERATURE)),)

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def questions(self, subject: Subject, answer: str, starts: Sequence[Start], usage: Usage) -> list[Draft]:
        """See Writer."""
        return await asyncio.gather(*(self._question(subject, answer, start, usage) for start in starts))

    async def _question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> Draft:
        prompt = filled(
            self._question_prompt,
            title=subject.title,
            window=subject.window,
            sentence=subject.sentence,
            answer=answer,
        )
        begun = f" {start.opening.text}".rstrip()
        (rest,) = await self._endpoint.complete([f"{prompt}{begun}"], _asking(start.temperature), usage)
        if not start.opening.may_end and not rest.strip(" ?"):
            return Draft(question="")  # it adds nothing to an opening that says nothing yet
        return Draft(question=_in_one_line(f"{begun}{rest}"))

    async def answers(self, subject: Subject, questions: Sequence[str], usage: Usage) -> list[str]:
        """See Writer."""
        prompts = (filled(self._answer_prompt, sentence=subject.sentence, question=asked) for asked in questions)
        written = await asyncio.gather(*(self._endpoint.complete([prompt], _answering(), usage) for prompt in prompts))
        return [reply for (reply,) in written]


class TaughtWriter:
    """An adapter taught on questions: it begins as it likes, and knows what people would hardly ask."""

    stray_words = TAUGHT_STRAY_WORDS

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    def rounds(self, openings: Sequence[Opening]) -> tuple[tuple[Start, ...], ...]:  # noqa: ARG002
        """What it would ask first, and what it might ask, a few at a time."""
        free = (Start(opening=FREE), *(Start(opening=FREE, temperature=TAUGHT_TEMPERATURE),) * TAUGHT_SAMPLES)
        return tuple(free[at : at + ROUND] for at in range(0, len(free), ROUND))

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:
        """What it would ask for first, and what it might ask for, each once and as the sentence has it."""
        prompt = proposal_prompt(**_passage(subject))
        first, others = await asyncio.gather(
            self._endpoint.complete([prompt], _proposing(0.0), usage, model=self._model),
            self._endpoint.complete([prompt] * PROPOSALS, _proposing(PROPOSAL_TEMPERATURE), usage, model=self._model),
        )
        proposed = map(str.strip, (*first, *others))
        return tuple(dict.fromkeys(text for text in proposed if text and text in subject.sentence))

    async def questions(self, subject: Subject, answer: str, starts: Sequence[Start], usage: Usage) -> list[Draft]:
        """See Writer; an empty one where people would hardly ask that."""
        prompt = question_prompt(**_passage(subject), answer=answer)
        times = Counter(start.temperature for start in starts)
        written = await asyncio.gather(
            *(
                self._endpoint.weigh([prompt] * number, _asking(temperature), usage, model=self._model)
                for temperature, number in times.items()
            )
        )
        return [_draft(reply) for replies in written for reply in replies]

    async def answers(self, subject: Subject, questions: Sequence[str], usage: Usage) -> list[str]:
        """See Writer."""
        prompts = [answer_prompt(**_passage(subject), question=question) for question in questions]
        return await self._endpoint.complete(prompts, _answering(), usage, model=self._model)


def _passage(subject: Subject) -> dict[str, str]:
    window = " ".join(subject.preceding[-TAUGHT_SENTENCES:])
    return {"title": subject.title, "window": window, "sentence": subject.sentence}


def _draft(written: Weighed) -> Draft:
    if written.likelihood < LEAST_LIKELIHOOD:
        return Draft(question="")
    return Draft(question=_in_one_line(written.text), likelihood=written.likelihood)


def _asking(temperature: float) -> Sampling:
    return Sampling(max_tokens=QUESTION_TOKENS, temperature=temperature, stop=("\n",))


def _answering() -> Sampling:
    return Sampling(max_tokens=ANSWER_TOKENS, stop=("\n",))


def _proposing(temperature: float) -> Sampling:
    return Sampling(max_tokens=PROPOSAL_TOKENS, temperature=temperature, stop=("\n",))


def _in_one_line(question: str) -> str:
    return " ".join(question.split()).replace(" ?", "?")
