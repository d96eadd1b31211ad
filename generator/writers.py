"""Who writes questions for given answers, and reads answers for the round trip: an LLM shown examples, or one taught.

The strategies ask either through one seam. A taught writer is an adapter of the endpoint's model (`lift writer train`),
asked by a name of its own; it needs no examples in its prompt, and asks as people do.
"""

import asyncio
import math
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
BEGINNINGS = 12  # that a taught writer goes on from, at most
ALIKE = 3  # of them with the same first word
LEAST_CHANCE = 0.02  # of a beginning, its two tokens together
ROUND = 6  # questions asked for before it is looked whether more are wanted
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
    """First words of a question, and how freely the writer goes on.

    `weights`: the log-probability of each token of the opening, where the writer chose it.
    """

    opening: Opening
    temperature: float = 0.0
    weights: tuple[float, ...] = ()


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

    async def rounds(
        self, subject: Subject, answer: str, openings: Sequence[Opening], usage: Usage
    ) -> Sequence[Sequence[Start]]:
        """The questions to ask for about the subject whose answer that is, and those to go on with where these are few.

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

    async def rounds(
        self,
        subject: Subject,  # noqa: ARG002
        answer: str,  # noqa: ARG002
        openings: Sequence[Opening],
        usage: Usage,  # noqa: ARG002
    ) -> Sequence[Sequence[Start]]:
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
    """An adapter taught on questions: it begins as it likes, and knows what people would hardly ask.

    It is not sampled: of one answer that writes most questions many times, and others badly. Its likeliest beginnings
    are each gone on from by the likeliest words.
    """

    stray_words = TAUGHT_STRAY_WORDS

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    async def rounds(
        self,
        subject: Subject,
        answer: str,
        openings: Sequence[Opening],  # noqa: ARG002
        usage: Usage,
    ) -> Sequence[Sequence[Start]]:
        """Its likeliest beginnings, of two tokens each, a few at a time."""
        prompt = question_prompt(**_passage(subject), answer=answer)
        (first,) = await self._endpoint.next_tokens([prompt], usage, model=self._model)
        words = {word: weight for word, weight in first.items() if word[:1] == " " and _is_likely(word, weight)}
        if not words:
            return ()
        behind = await self._endpoint.next_tokens([prompt + word for word in words], usage, model=self._model)
        begun = [
            Start(opening=Opening(text=word[1:] + token), weights=(weight, more))
            for (word, weight), tokens in zip(words.items(), behind, strict=True)
            for token, more in sorted(tokens.items(), key=lambda each: -each[1])[:ALIKE]
            if _is_likely(token, weight + more)
        ]
        begun = sorted(begun, key=lambda start: -sum(start.weights))[:BEGINNINGS]
        return [begun[at : at + ROUND] for at in range(0, len(begun), ROUND)]

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
        prompts = [f"{prompt} {start.opening.text}" for start in starts]
        written = await self._endpoint.weigh(prompts, _asking(0.0), usage, model=self._model)
        return [_draft(start, rest) for start, rest in zip(starts, written, strict=True)]

    async def answers(self, subject: Subject, questions: Sequence[str], usage: Usage) -> list[str]:
        """See Writer."""
        prompts = [answer_prompt(**_passage(subject), question=question) for question in questions]
        return await self._endpoint.complete(prompts, _answering(), usage, model=self._model)


def _passage(subject: Subject) -> dict[str, str]:
    window = " ".join(subject.preceding[-TAUGHT_SENTENCES:])
    return {"title": subject.title, "window": window, "sentence": subject.sentence}


def _is_likely(token: str, weight: float) -> bool:
    """Whether a token that says something is likely enough, with what stands before it, to begin a question."""
    return weight > math.log(LEAST_CHANCE) and bool(token.strip()) and "\ufffd" not in token  # half of a character


def _draft(start: Start, rest: Weighed) -> Draft:
    tokens = len(start.weights) + rest.tokens
    likelihood = (sum(start.weights) + rest.likelihood * rest.tokens) / tokens
    if likelihood < LEAST_LIKELIHOOD:
        return Draft(question="")
    return Draft(question=_in_one_line(start.opening.text + rest.text), likelihood=likelihood)


def _asking(temperature: float) -> Sampling:
    return Sampling(max_tokens=QUESTION_TOKENS, temperature=temperature, stop=("\n",))


def _answering() -> Sampling:
    return Sampling(max_tokens=ANSWER_TOKENS, stop=("\n",))


def _proposing(temperature: float) -> Sampling:
    return Sampling(max_tokens=PROPOSAL_TOKENS, temperature=temperature, stop=("\n",))


def _in_one_line(question: str) -> str:
    return " ".join(question.split()).replace(" ?", "?")
