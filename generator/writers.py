"""Who writes questions for given answers, and reads answers for the round trip: an LLM shown examples, or one taught.

The strategies ask either through one seam. A taught writer is an adapter of the endpoint's model (`lift writer train`),
asked by a name of its own; it needs no examples in its prompt, and asks as people do.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from generator import matching
from generator.llm import Endpoint, Sampling, Usage, Weighed
from generator.profiles import Profile, filled, prompt_file
from generator.rules.openings import Opening
from lift.writing import answer_prompt, proposal_prompt, question_prompt

QUESTION_TOKENS = 32
ANSWER_TOKENS = 24
OPENINGS = 4
SHOWN_TEMPERATURE = 0.6
BEGINNINGS = 12  # that a taught writer goes on from, at most
ALIKE = 3  # of them with the same first word
LEAST_CHANCE = 0.02  # of a beginning, its one or two tokens together
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
class Draft:
    """A question, and the mean log-probability of its tokens: the higher, the more it is what people ask."""

    question: str
    likelihood: float = 0.0


class Writer(Protocol):
    """Writes questions, and answers them from the sentence alone. RequestFailed, EndpointUnavailable.

    `stray_words`: how many words a question of its may use that are not the source's.
    """

    stray_words: int

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:
        """What people would ask for, in words of the sentence; none where the writer has no notion of it."""
        ...

    def drafts(
        self, subject: Subject, answer: str, openings: Sequence[Opening], usage: Usage
    ) -> AsyncGenerator[list[Draft]]:
        """Questions about the subject whose answer that is, a few at a time; empty ones where nothing came of it.

        `openings` fit the answer, the most fitting first. Who has enough of them takes no more.
        """
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

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def drafts(
        self, subject: Subject, answer: str, openings: Sequence[Opening], usage: Usage
    ) -> AsyncGenerator[list[Draft]]:
        """One for each of the first openings, and for the very first once more at some temperature; no others."""
        starts = [(opening, 0.0) for opening in openings[:OPENINGS]] + [(openings[0], SHOWN_TEMPERATURE)]
        yield await asyncio.gather(*(self._draft(subject, answer, *start, usage=usage) for start in starts))

    async def _draft(
        self, subject: Subject, answer: str, opening: Opening, temperature: float, *, usage: Usage
    ) -> Draft:
        prompt = filled(
            self._question_prompt,
            title=subject.title,
            window=subject.window,
            sentence=subject.sentence,
            answer=answer,
        )
        begun = f" {opening.text}".rstrip()
        (rest,) = await self._endpoint.complete([f"{prompt}{begun}"], _asking(temperature), usage)
        if not opening.may_end and not rest.strip(" ?"):
            return Draft(question="")  # it adds nothing to an opening that says nothing yet
        return Draft(question=_in_one_line(f"{begun}{rest}"))

    async def answers(self, subject: Subject, questions: Sequence[str], usage: Usage) -> list[str]:
        """See Writer."""
        prompts = (filled(self._answer_prompt, sentence=subject.sentence, question=asked) for asked in questions)
        written = await asyncio.gather(*(self._endpoint.complete([prompt], _answering(), usage) for prompt in prompts))
        return [reply for (reply,) in written]


class TaughtWriter:
    """An adapter taught on questions: it begins as it likes, and knows what people would hardly ask.

    It is not sampled: of one answer that writes most questions many times, and others badly. What a question could
    begin with is gone on from by the likeliest words, first each likely word, then others behind it.
    """

    stray_words = TAUGHT_STRAY_WORDS

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    async def drafts(
        self,
        subject: Subject,
        answer: str,
        openings: Sequence[Opening],  # noqa: ARG002
        usage: Usage,
    ) -> AsyncGenerator[list[Draft]]:
        """Those that begin with its likeliest words, then with the likeliest two tokens that are left."""
        prompt = question_prompt(**_passage(subject), answer=answer)
        (alone,) = await self._endpoint.weigh([prompt], Sampling(max_tokens=1), usage, model=self._model)
        words = [_Begun(word, (weight,)) for word, weight in alone.first.items() if word[:1] == " "]
        words = [begun for begun in words if begun.is_likely]
        written = await self._gone_on(prompt, words, usage)
        yield _drafts(words, written)
        others = [other for begun, rest in zip(words, written, strict=True) for other in begun.others(rest.first)]
        others = sorted(others, key=lambda begun: -sum(begun.weights))[: BEGINNINGS - len(words)]
        for at in range(0, len(others), ROUND):
            taken = others[at : at + ROUND]
            yield _drafts(taken, await self._gone_on(prompt, taken, usage))

    async def _gone_on(self, prompt: str, begun: Sequence["_Begun"], usage: Usage) -> list[Weighed]:
        prompts = [prompt + each.text for each in begun]
        return await self._endpoint.weigh(prompts, _asking(0.0), usage, model=self._model)

    async def proposals(self, subject: Subject, usage: Usage) -> tuple[str, ...]:
        """What it would ask for first, and what it might ask for, each once and as the sentence has it."""
        prompt = proposal_prompt(**_passage(subject))
        first, others = await asyncio.gather(
            self._endpoint.complete([prompt], _proposing(0.0), usage, model=self._model),
            self._endpoint.complete([prompt] * PROPOSALS, _proposing(PROPOSAL_TEMPERATURE), usage, model=self._model),
        )
        proposed = map(str.strip, (*first, *others))
        return tuple(dict.fromkeys(text for text in proposed if text and text in subject.sentence))

    async def answers(self, subject: Subject, questions: Sequence[str], usage: Usage) -> list[str]:
        """See Writer."""
        prompts = [answer_prompt(**_passage(subject), question=question) for question in questions]
        return await self._endpoint.complete(prompts, _answering(), usage, model=self._model)


def _passage(subject: Subject) -> dict[str, str]:
    window = " ".join(subject.preceding[-TAUGHT_SENTENCES:])
    return {"title": subject.title, "window": window, "sentence": subject.sentence}


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a question begins with, and the log-probability of each of its tokens."""

    text: str
    weights: tuple[float, ...]

    @property
    def is_likely(self) -> bool:
        """Whether it is gone on from; half of a character, or a space, begins nothing."""
        return (
            sum(self.weights) > math.log(LEAST_CHANCE) and "\ufffd" not in self.text and self.text == self.text.rstrip()
        )

    def others(self, tokens: Mapping[str, float]) -> list["_Begun"]:
        """The same with a token behind it, one for each likely one but the likeliest."""
        likeliest = sorted(tokens.items(), key=lambda each: -each[1])[1:ALIKE]
        begun = [_Begun(self.text + token, (*self.weights, weight)) for token, weight in likeliest]
        return [each for each in begun if each.is_likely]


def _drafts(begun: Sequence[_Begun], written: Sequence[Weighed]) -> list[Draft]:
    return [_draft(each, rest) for each, rest in zip(begun, written, strict=True)]


def _draft(begun: _Begun, rest: Weighed) -> Draft:
    tokens = len(begun.weights) + rest.tokens
    likelihood = (sum(begun.weights) + rest.likelihood * rest.tokens) / tokens
    if likelihood < LEAST_LIKELIHOOD:
        return Draft(question="")
    return Draft(question=_in_one_line(begun.text + rest.text), likelihood=likelihood)


def _asking(temperature: float) -> Sampling:
    return Sampling(max_tokens=QUESTION_TOKENS, temperature=temperature, stop=("\n",))


def _answering() -> Sampling:
    return Sampling(max_tokens=ANSWER_TOKENS, stop=("\n",))


def _proposing(temperature: float) -> Sampling:
    return Sampling(max_tokens=PROPOSAL_TOKENS, temperature=temperature, stop=("\n",))


def _in_one_line(question: str) -> str:
    sendable = question.encode(errors="replace").decode()  # half of an emoji becomes one more "?", so it is not asked
    return " ".join(sendable.split()).replace(" ?", "?")
