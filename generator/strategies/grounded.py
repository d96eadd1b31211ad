"""Turns a sentence into pairs that hold to it even where the LLM is small and makes things up.

Answers are chosen by rule. Rules also write the plainest questions about each. The LLM writes others, and must then
find the answer itself in the sentence when it is shown its question. An answer that nobody asked for so is asked for in
its place in the sentence.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Self

from generator import matching, metrics
from generator.english import words
from generator.english.tagger import tagged_words, verb_start
from generator.familiar import stems_of
from generator.llm import Endpoint, RequestFailed, Usage
from generator.pairs import QuestionAnswer
from generator.profiles import Profile, chosen_profile
from generator.rules import cloze
from generator.rules.inversion import inverted, shortened
from generator.rules.openings import openings, whole_sentence_openings
from generator.rules.references import resolved
from generator.rules.spans import AnswerSpan, SpanKind, answer_spans, proposed_span, repeats
from generator.rules.voice import as_deed
from generator.sentences import Passage, guess_language
from generator.writers import Draft, ShownWriter, Subject, TaughtWriter, Writer
from lift.kinds import Kind

MAX_PROPOSED = 6
SINGLE_FACT_WORDS = 6
LANGUAGE_WORDS = 8  # fewer tell no language
ENGLISH_SHARE = 0.15  # of an English text's words are function words
_PLAIN = frozenset({SpanKind.THING, SpanKind.PLACE})
_CLAUSES = frozenset({SpanKind.REASON, SpanKind.MANNER, SpanKind.OCCASION})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A sentence to ask about, its answers, all the text that a question may speak of, and what is no answer."""

    subject: Subject
    source: str
    spans: tuple[AnswerSpan, ...]
    familiar: frozenset[str]

    @property
    def is_english(self) -> bool:
        """Whether rules for English can ask about it."""
        return guess_language(self.source) == "en" or _looks_english(self.source)

    @property
    def sentence(self) -> str:
        """The sentence with its pronoun resolved."""
        return self.subject.sentence


class GroundedStrategy:
    """A few short requests a span: questions, then answers to those that are worth it. Prefix caches fit them."""

    name = "grounded"

    def __init__(self, *, profile: Profile, writer: Writer) -> None:
        self._profile = profile
        self._writer = writer

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
        # A taught writer knows no prompt but its own, and no answer that is a whole sentence.
        taught = endpoint.writer and not custom_prompt and profile.name != "needle"
        return cls(
            profile=profile,
            writer=TaughtWriter(endpoint, endpoint.writer) if taught else ShownWriter(endpoint, profile),
        )

    def spans(self, passage: Passage) -> tuple[str, ...]:
        """The answers that will be asked for."""
        return tuple(span.text for span in self._task(passage).spans)

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """The questions that rules write at once, then those of the LLM, span by span as they are known to hold."""
        left = self._profile.pairs_per_sentence
        async with aclosing(self._pairs(self._task(passage), usage)) as pairs:
            async for pair in pairs:
                yield pair
                left -= 1
                if not left:
                    return

    async def _pairs(self, task: _Task, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        plain = {span: self._plain(span, task) for span in task.spans}
        for pair in chain.from_iterable(zip_longest(*plain.values())):  # one of each span, then the second of each
            if pair is not None:
                yield pair
        asked_for = {span.text for span, pairs in plain.items() if pairs}
        failures: list[RequestFailed] = []
        try:
            proposed = await self._proposed(task, usage)
        except RequestFailed as unproposed:
            proposed, failures = (), [unproposed]
        asked = {span: [pair.question for pair in plain.get(span, ())] for span in (*task.spans, *proposed)}
        work = [asyncio.create_task(self._held(span, begun, task, usage)) for span, begun in asked.items()]
        try:
            for done in asyncio.as_completed(work):
                pairs, failure = await done
                failures += [failure] if failure else []
                for pair in pairs:
                    asked_for.add(pair.answer)
                    yield pair
        finally:
            for writing in work:
                writing.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for pair in filter(None, (self._in_place(span, task) for span in task.spans if span.text not in asked_for)):
            yield pair
        if failures:
            raise failures[0]

    def _task(self, passage: Passage) -> _Task:
        sentence = resolved(passage.sentence, passage.preceding, passage.title, passage.person)
        subject = Subject(title=passage.title, window=passage.window, preceding=passage.preceding, sentence=sentence)
        source = f"{passage.title} {passage.window} {sentence}"
        if self._profile.name == "needle":
            whole = AnswerSpan(start=0, end=len(sentence), text=sentence, kind=SpanKind.THING)
            return _Task(subject=subject, source=source, spans=(whole,), familiar=frozenset())
        known = f" {' '.join(matching.normalised(passage.window))} "
        verb = verb_start(sentence)
        said = [span for span in answer_spans(sentence) if span.start >= verb or not _is_known(span, known)]
        spans = [span for span in said if not _is_familiar(span, passage.familiar)]
        if self._profile.name == "single-fact":
            spans = [
                span for span in spans if span.kind not in _CLAUSES and len(span.text.split()) <= SINGLE_FACT_WORDS
            ]
        return _Task(subject=subject, source=source, spans=tuple(spans), familiar=passage.familiar)

    async def _proposed(self, task: _Task, usage: Usage) -> tuple[AnswerSpan, ...]:
        """What the writer would ask for and no rule has found."""
        found = list(task.spans)
        for text in await self._writer.proposals(task.subject, usage):
            span = proposed_span(task.sentence, text)
            if span is None or _is_familiar(span, task.familiar):
                continue
            if not any(repeats(span, other) for other in found):
                found.append(span)
        return tuple(found[len(task.spans) :][:MAX_PROPOSED])

    def _plain(self, span: AnswerSpan, task: _Task) -> list[QuestionAnswer]:
        """The questions of rules that make sense to somebody who sees nothing else."""
        if span.text == task.sentence or not task.is_english:
            return []
        written = inverted(task.sentence, span)
        said = dict.fromkeys([*written, *map(shortened, written), *map(as_deed, written)])
        return [_pair(question, span, Kind.INVERTED) for question in said if _is_asked(question, span, task)]

    def _in_place(self, span: AnswerSpan, task: _Task) -> QuestionAnswer | None:
        """The sentence with the span asked for in it; None where that would not be a sentence."""
        # "by what Ada Holm?" asks for nothing
        if span.text == task.sentence or span.kind is SpanKind.ROLE or cloze.is_apart(task.sentence, span):
            return None
        return _pair(cloze.in_place(task.sentence, span), span, Kind.CLOZE)

    async def _held(
        self, span: AnswerSpan, asked: list[str], task: _Task, usage: Usage
    ) -> tuple[list[QuestionAnswer], RequestFailed | None]:
        """The likeliest questions of the writer that it answers with the span; what went wrong, if anything."""
        whole = span.text == task.sentence
        begun = whole_sentence_openings(task.sentence) if whole else openings(task.sentence, span)
        asked, held, failed, wanted = [*asked], [], None, self._profile.questions_per_answer
        try:
            async with aclosing(self._writer.drafts(task.subject, span.text, begun, usage)) as rounds:
                async for drafts in rounds:
                    held += await self._holding(drafts, span, asked, task, usage)
                    if len(held) >= wanted:
                        break
        except RequestFailed as failure:
            failed = failure
        kept = sorted(held, key=lambda draft: -draft.likelihood)[:wanted]
        return [_pair(draft.question, span, Kind.GROUNDED) for draft in kept], failed

    async def _holding(
        self, drafts: Sequence[Draft], span: AnswerSpan, asked: list[str], task: _Task, usage: Usage
    ) -> list[Draft]:
        """The drafts that the writer answers with the span; adds those that stand alone to `asked`."""
        alone = []
        for draft in drafts:
            said = _is_asked(draft.question, span, task, self._writer.stray_words)
            if said and not matching.near_duplicate(draft.question, asked):
                asked.append(draft.question)
                alone.append(draft)
        replies = await self._writer.answers(task.subject, [draft.question for draft in alone], usage)
        held = [draft for draft, reply in zip(alone, replies, strict=True) if _gives_back(reply, span, task)]
        metrics.REFUSED.labels("unfit").inc(len(drafts) - len(alone))
        metrics.REFUSED.labels("not_given_back").inc(len(alone) - len(held))
        return held


def _looks_english(text: str) -> bool:
    """Whether a text that has common words of other languages is too short, or has too many of English."""
    said = tagged_words(text)
    functions = sum(word.lower in words.FUNCTION_WORDS for word in said)
    return len(said) < LANGUAGE_WORDS or functions >= ENGLISH_SHARE * len(said)


def _pair(question: str, span: AnswerSpan, kind: Kind) -> QuestionAnswer:
    return QuestionAnswer(question=question, answer=span.text, kind=kind)


def _gives_back(reply: str, span: AnswerSpan, task: _Task) -> bool:
    """Whether the reply to a question about the span is the span."""
    if span.text == task.sentence:
        return bool(matching.normalised(reply)) and matching.grounded(reply, task.sentence)
    return matching.same_answer(reply, span.text)


def _is_known(span: AnswerSpan, known: str) -> bool:
    """Whether a plain noun phrase was spoken of before. As a subject it is what the text is about, not what it says."""
    return span.kind in _PLAIN and f" {' '.join(matching.normalised(span.text))} " in known


def _is_familiar(span: AnswerSpan, familiar: frozenset[str]) -> bool:
    """Whether a plain noun phrase says only what the document says all the time."""
    return span.kind in _PLAIN and stems_of(span.text) <= familiar


def _is_asked(question: str, span: AnswerSpan, task: _Task, stray_words: int = matching.STRAY_WORDS) -> bool:
    """Whether the question can be asked about the span; one about the whole sentence has words of it."""
    answer = "" if span.text == task.sentence else span.text
    return matching.can_be_asked(question, answer, task.source, stray_words)
