"""Turns a sentence into pairs that hold to it even where the LLM is small and makes things up.

Answers are chosen by rule. Rules also write the plainest questions about each, among them the sentence itself with the
answer asked for in its place. The LLM goes on from the first words of others, and must then find the answer itself in
the sentence when it is shown its question.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Self

from generator import cloze, matching
from generator.inversion import inverted, shortened
from generator.llm import Endpoint, RequestFailed, Sampling, Usage
from generator.openings import Opening, openings, whole_sentence_openings
from generator.pairs import Kind, QuestionAnswer
from generator.profiles import Profile, chosen_profile, filled, prompt_file
from generator.references import resolved
from generator.sentences import Passage
from generator.spans import AnswerSpan, SpanKind, answer_spans

QUESTION_TOKENS = 32
ANSWER_TOKENS = 24
MAX_OPENINGS = 4
SAMPLED_TEMPERATURE = 0.6
MIN_QUESTION_WORDS = 3
MAX_QUESTION_WORDS = 30
HELD_PER_SPAN = 3
SINGLE_FACT_WORDS = 6
_CLAUSES = frozenset({SpanKind.REASON, SpanKind.MANNER, SpanKind.OCCASION})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is asked about: the sentence with its pronoun resolved, and all the text that a question may speak of."""

    sentence: str
    source: str
    spans: tuple[AnswerSpan, ...]


class GroundedStrategy:
    """A few short requests a span: questions, then answers to those that are worth it. Prefix caches fit them."""

    name = "grounded"

    def __init__(self, *, endpoint: Endpoint, profile: Profile) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._answer_prompt = prompt_file("grounded", "answer")

    @classmethod
    def of_request(cls, *, endpoint: Endpoint, name: str, pairs_per_sentence: int, custom_prompt: str) -> Self:
        """The strategy of a request's fields; an own prompt is gone on from after its last word. InvalidOption."""
        profile = chosen_profile(
            strategy=cls.name,
            name=name,
            pairs_per_sentence=pairs_per_sentence,
            custom_prompt=custom_prompt,
            required=frozenset({"sentence", "answer"}),
            allowed=frozenset({"title", "window", "sentence", "answer"}),
        )
        return cls(endpoint=endpoint, profile=profile)

    def spans(self, passage: Passage) -> tuple[str, ...]:
        """The answers that will be asked for."""
        return tuple(span.text for span in self._subject(passage).spans)

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """The questions that rules write at once, then those of the LLM, span by span as they are known to hold."""
        subject = self._subject(passage)
        left = self._profile.pairs_per_sentence
        async with aclosing(self._pairs(subject, passage, usage)) as pairs:
            async for pair in pairs:
                yield pair
                left -= 1
                if not left:
                    return

    async def _pairs(self, subject: _Subject, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        plain = {span: self._plain(span, subject) for span in subject.spans}
        for pair in chain.from_iterable(zip_longest(*plain.values())):  # one of each span, then the second of each
            if pair is not None:
                yield pair
        asked = {span: [pair.question for pair in pairs] for span, pairs in plain.items()}
        work = [asyncio.create_task(self._held(span, asked[span], subject, passage, usage)) for span in subject.spans]
        failures: list[RequestFailed] = []
        try:
            for done in asyncio.as_completed(work):
                pairs, failure = await done
                failures += [failure] if failure else []
                for pair in pairs:
                    yield pair
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if failures:
            raise failures[0]

    def _subject(self, passage: Passage) -> _Subject:
        sentence = resolved(passage.sentence, passage.preceding, passage.title)
        source = f"{passage.title} {passage.window} {sentence}"
        if self._profile.name == "needle":
            whole = AnswerSpan(start=0, end=len(sentence), text=sentence, kind=SpanKind.THING)
            return _Subject(sentence=sentence, source=source, spans=(whole,))
        known = f" {' '.join(matching.normalised(passage.window))} "
        spans = [span for span in answer_spans(sentence) if not _is_known(span, known)]
        if self._profile.name == "single-fact":
            spans = [
                span for span in spans if span.kind not in _CLAUSES and len(span.text.split()) <= SINGLE_FACT_WORDS
            ]
        return _Subject(sentence=sentence, source=source, spans=tuple(spans))

    def _plain(self, span: AnswerSpan, subject: _Subject) -> list[QuestionAnswer]:
        """The questions of rules that make sense to somebody who sees nothing else, and the span asked for in place."""
        if span.text == subject.sentence:
            return []
        written = inverted(subject.sentence, span)
        said = dict.fromkeys([*written, *map(shortened, written)])
        questions = [_pair(question, span, Kind.INVERTED) for question in said if _is_asked(question, span, subject)]
        if span.kind is SpanKind.ROLE:
            return questions  # "by what Ada Holm?" asks for nothing
        return [*questions, _pair(cloze.in_place(subject.sentence, span), span, Kind.CLOZE)]

    async def _held(
        self, span: AnswerSpan, asked: list[str], subject: _Subject, passage: Passage, usage: Usage
    ) -> tuple[list[QuestionAnswer], RequestFailed | None]:
        """At most HELD_PER_SPAN questions of the LLM that it answers with the span; what went wrong, if anything."""
        try:
            drafts = await self._drafts(span, asked, subject, passage, usage)
            held = await asyncio.gather(*(self._holds(draft, span, subject, usage) for draft in drafts))
        except RequestFailed as failure:
            return [], failure
        kept = [draft for draft, holds in zip(drafts, held, strict=True) if holds][:HELD_PER_SPAN]
        return [_pair(question, span, Kind.GROUNDED) for question in kept], None

    async def _drafts(
        self, span: AnswerSpan, asked: list[str], subject: _Subject, passage: Passage, usage: Usage
    ) -> list[str]:
        """What the LLM makes of each opening, and once more of the first at some temperature; no question twice."""
        whole = span.text == subject.sentence
        begun = whole_sentence_openings(subject.sentence) if whole else openings(subject.sentence, span)
        prompt = filled(
            self._profile.prompt,
            title=passage.title,
            window=passage.window,
            sentence=subject.sentence,
            answer=span.text,
        )
        tries = [(opening, 0.0) for opening in begun[:MAX_OPENINGS]] + [(begun[0], SAMPLED_TEMPERATURE)]
        written = await asyncio.gather(*(self._question(prompt, opening, heat, usage) for opening, heat in tries))
        drafts: list[str] = []
        for question in written:
            if _is_asked(question, span, subject) and not matching.near_duplicate(question, [*asked, *drafts]):
                drafts.append(question)
        return drafts

    async def _question(self, prompt: str, opening: Opening, temperature: float, usage: Usage) -> str:
        """The question that the LLM goes on to; empty where it adds nothing to an opening that says nothing yet."""
        sampling = Sampling(max_tokens=QUESTION_TOKENS, temperature=temperature, stop=("\n",))
        rest = await self._endpoint.complete(f"{prompt} {opening.text}", sampling, usage)
        if not opening.may_end and not rest.strip(" ?"):
            return ""
        return " ".join(f"{opening.text}{rest}".split()).replace(" ?", "?")

    async def _holds(self, question: str, span: AnswerSpan, subject: _Subject, usage: Usage) -> bool:
        """Whether the LLM gives the span back when it is shown sentence and question."""
        prompt = filled(self._answer_prompt, sentence=subject.sentence, question=question)
        reply = await self._endpoint.complete(prompt, Sampling(max_tokens=ANSWER_TOKENS, stop=("\n",)), usage)
        if span.text == subject.sentence:
            return bool(matching.normalised(reply)) and matching.grounded(reply, subject.sentence)
        return matching.same_answer(reply, span.text)


def _pair(question: str, span: AnswerSpan, kind: Kind) -> QuestionAnswer:
    return QuestionAnswer(question=question, answer=span.text, kind=kind, span=span.text)


def _is_known(span: AnswerSpan, known: str) -> bool:
    """Whether a plain noun phrase was spoken of before: "the vault" is what the text is about, not what it says."""
    return span.kind in {SpanKind.THING, SpanKind.PLACE} and f" {' '.join(matching.normalised(span.text))} " in known


def _is_asked(question: str, span: AnswerSpan, subject: _Subject) -> bool:
    """Whether this is a question that stands alone, speaks of the text, and does not hold its answer."""
    well_formed = question.endswith("?") and question.count("?") == 1
    fits = MIN_QUESTION_WORDS <= len(question.split()) <= MAX_QUESTION_WORDS
    stands_alone = matching.grounded(question, subject.source) and not matching.leans_on_pronoun(question)
    gives_away = span.text != subject.sentence and matching.gives_away(question, span.text)
    return well_formed and fits and stands_alone and not gives_away
