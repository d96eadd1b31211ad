"""Who writes questions for given answers, and reads answers for the round trip: an LLM shown examples, or one taught.

The strategies ask either through one seam. A taught writer is an adapter of the endpoint's model (`lift writer train`),
asked by a name of its own; it needs no examples in its prompt, and asks as people do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from generator.llm import Endpoint, Sampling, Usage
from generator.openings import Opening
from generator.profiles import Profile, filled, prompt_file
from lift.writing import answer_prompt, question_prompt

QUESTION_TOKENS = 32
ANSWER_TOKENS = 24
OPENINGS = 4
SHOWN_TEMPERATURE = 0.6
TAUGHT_TEMPERATURE = 0.8
TAUGHT_SAMPLES = 4
TAUGHT_SENTENCES = 2


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


class Writer(Protocol):
    """Writes questions, and answers them from the sentence alone. RequestFailed, EndpointUnavailable."""

    def starts(self, openings: Sequence[Opening]) -> tuple[Start, ...]:
        """The questions to ask for about one answer; `openings` fit it, the most fitting first."""
        ...

    async def question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> str:
        """A question about the subject whose answer that is; empty where nothing came of the start."""
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

    async def question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> str:
        """See Writer."""
        prompt = filled(
            self._question_prompt,
            title=subject.title,
            window=subject.window,
            sentence=subject.sentence,
            answer=answer,
        )
        return await _question(self._endpoint, prompt, start, usage)

    async def answer(self, subject: Subject, question: str, usage: Usage) -> str:
        """See Writer."""
        prompt = filled(self._answer_prompt, sentence=subject.sentence, question=question)
        return await self._endpoint.complete(prompt, _answering(), usage)


class TaughtWriter:
    """An adapter taught on human questions: it begins as it likes, several times, and then with the openings."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    def starts(self, openings: Sequence[Opening]) -> tuple[Start, ...]:
        """What it would ask first, what it might ask, and the openings."""
        sampled = (Start(opening=FREE, temperature=TAUGHT_TEMPERATURE),) * TAUGHT_SAMPLES
        led = [Start(opening=opening) for opening in openings[:OPENINGS]]
        return (Start(opening=FREE), *sampled, *led)

    async def question(self, subject: Subject, answer: str, start: Start, usage: Usage) -> str:
        """See Writer."""
        window = _before(subject)
        prompt = question_prompt(title=subject.title, window=window, sentence=subject.sentence, answer=answer)
        return await _question(self._endpoint, prompt, start, usage, model=self._model)

    async def answer(self, subject: Subject, question: str, usage: Usage) -> str:
        """See Writer."""
        window = _before(subject)
        prompt = answer_prompt(title=subject.title, window=window, sentence=subject.sentence, question=question)
        return await self._endpoint.complete(prompt, _answering(), usage, model=self._model)


def _before(subject: Subject) -> str:
    return " ".join(subject.preceding[-TAUGHT_SENTENCES:])


def _answering() -> Sampling:
    return Sampling(max_tokens=ANSWER_TOKENS, stop=("\n",))


async def _question(endpoint: Endpoint, prompt: str, start: Start, usage: Usage, *, model: str = "") -> str:
    """What the model makes of a start; empty where it adds nothing to an opening that says nothing yet."""
    sampling = Sampling(max_tokens=QUESTION_TOKENS, temperature=start.temperature, stop=("\n",))
    begun = f" {start.opening.text}".rstrip()
    rest = await endpoint.complete(f"{prompt}{begun}", sampling, usage, model=model)
    if not start.opening.may_end and not rest.strip(" ?"):
        return ""
    return " ".join(f"{begun}{rest}".split()).replace(" ?", "?")
