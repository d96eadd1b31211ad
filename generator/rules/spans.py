"""Turns one sentence into the words in it that a question can have as its answer.

Light rules find numbers with their units, dates, names, titles, colours, noun phrases and clauses. They lean on English
function words; in other languages mostly numbers and names are found. A span that no sensible question has as its
answer does little harm, since its questions do not survive the round trip of the grounded strategy.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from generator.english import words
from generator.english.colours import colours
from generator.english.dates import dates
from generator.english.phrases import noun_phrases
from generator.english.quantities import quantities
from generator.english.tagger import Tag, Word, first_verb, numbers_a_name, tagged_words
from generator.english.verbs import base_form

MAX_SPANS = 10
MAX_CLAUSE_WORDS = 18
MAX_SHARE = 0.7  # of the sentence: what is left must still say something
MAX_LIST_SHARE = 0.9  # whose verb is left


class SpanKind(StrEnum):
    """What a span is, and so which words its question begins with."""

    DATE = "date"
    QUANTITY = "quantity"
    NAME = "name"
    TITLE = "title"
    FREQUENCY = "frequency"
    ROLE = "role"
    REASON = "reason"
    MANNER = "manner"
    OCCASION = "occasion"
    COLOUR = "colour"
    PLACE = "place"
    THING = "thing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSpan:
    """Characters start..end of its sentence.

    `unit` is what a quantity counts, empty where that is not clear; `holder` is who or what has this role.
    """

    start: int
    end: int
    text: str
    kind: SpanKind
    unit: str = ""
    holder: str = ""

    @property
    def of_thing(self) -> bool:
        """Whether a role is a thing's: of "Corvane 40", or "a town on the coast"."""
        return self.holder[-1:].isdigit() or words.head_noun(self.text).lower() in words.THINGS


_NAMED_TIMES = "|".join((*words.MONTHS, *words.WEEKDAYS))
_TIMES = (
    "days?|weeks?|months?|years?|hours?|minutes?|mornings?|afternoons?|evenings?|nights?|autumn|spring|summer|winter"
)
_IN_NUMBER = r"(?<=\d)[.,](?=\d)|(?<=[\d ][ap])\.(?=m\b)|(?<=[\d ][ap]\.m)\."
_CLAUSES = (
    (SpanKind.FREQUENCY, re.compile(rf"\b(?:[Ee]very|[Ee]ach) (?:[\w-]+ )?(?:{_TIMES}|{_NAMED_TIMES})\b(?: of \w+)?")),
    (SpanKind.FREQUENCY, re.compile(rf"\b(?:once|twice|\w+ times) (?:a|per|each|every) (?:{_TIMES})\b")),
    (
        SpanKind.REASON,
        re.compile(
            rf"\b(?:because|so that|in order to|due to|owing to|thanks to|on account of) (?:{_IN_NUMBER}|[^.;!?])+",
            re.IGNORECASE,
        ),
    ),
    (SpanKind.REASON, re.compile(rf"(?<=, )as (?:{_IN_NUMBER}|[^.;!?])+")),
    (SpanKind.REASON, re.compile(rf"(?<=, )since (?!then\b|\d)(?:{_IN_NUMBER}|[^.;!?])+")),
    (SpanKind.MANNER, re.compile(rf"\bby \w+ing\b(?:{_IN_NUMBER}|[^.,;!?])*")),
    (
        SpanKind.OCCASION,
        re.compile(rf"\b(?:when|if|after|before|until|during|whenever) (?:{_IN_NUMBER}|[^.,;!?])+", re.IGNORECASE),
    ),
)
_SAID = re.compile(rf"\b(?:{'|'.join(words.SAYING)}) (?P<said>that (?:{_IN_NUMBER}|[^.,;!?])+)")
_SMALL_WORDS = "of|the|an?|in|on|at|to|and|for|from|with|de|la"
_WORDS_OF_TITLE = rf"[A-Z][\w'\u2019-]*(?P<more>(?: (?:[A-Z\d][\w'\u2019-]*|{_SMALL_WORDS}))*)"
_QUOTED = re.compile(rf"(?<=[\"\u201c]){_WORDS_OF_TITLE}(?=,?[\"\u201d])")
_BEFORE_REASONS = frozenset({"due", "owing", "thanks", "according", "prior", "compared"})
_NO_PLACES = words.TIMES | words.DURATIONS | words.NO_PLACES
_AGE = "the age of "
_DENYING = frozenset({"no", "not", "neither", "nor"})
_ONE_FACT = frozenset(
    {SpanKind.DATE, SpanKind.QUANTITY, SpanKind.NAME, SpanKind.TITLE, SpanKind.FREQUENCY, SpanKind.COLOUR}
)
_WHOLE = frozenset({SpanKind.DATE, SpanKind.FREQUENCY, SpanKind.TITLE})
_RANK = {kind: rank for rank, kind in enumerate(SpanKind)}


@lru_cache(maxsize=256)
def answer_spans(sentence: str) -> tuple[AnswerSpan, ...]:
    """At most MAX_SPANS spans in the order of the sentence; of more, those of the first kinds of SpanKind are kept."""
    found: dict[tuple[int, int], AnswerSpan] = {}
    for span in _candidates(sentence):
        in_one = any(_is_one(other) and _inside(span, other) for other in found.values())
        share = MAX_LIST_SHARE if is_list(span) else MAX_SHARE
        mixed = is_list(span) and any(_begins_or_ends(other, span) for other in found.values())
        fits = len(span.text) <= share * len(sentence) and not (in_one or mixed or _is_denied(sentence, span))
        if fits and not any(same_place(span, other) for other in found.values()):
            found[span.start, span.end] = span
    chosen = sorted(found.values(), key=lambda span: _RANK[span.kind])[:MAX_SPANS]
    return tuple(sorted(chosen, key=lambda span: (span.start, span.end)))


def words_before(found: Sequence[Word], span: AnswerSpan) -> list[Word]:
    """The words of a sentence in front of a span."""
    return [word for word in found if word.end <= span.start]


def _begins_or_ends(span: AnswerSpan, phrase: AnswerSpan) -> bool:
    """Whether a phrase that says several begins or ends with a time: "21:15 and end" is no list."""
    return span.kind is SpanKind.DATE and (span.start == phrase.start or span.end == phrase.end)


def is_list(span: AnswerSpan) -> bool:
    """Whether a phrase says several: "Lyon and Turin"."""
    return span.kind in {SpanKind.THING, SpanKind.PLACE} and len(words.parts_of_list(span.text)) > 1


def is_listed(sentence: str, span: AnswerSpan) -> bool:
    """Whether a span is only a part of a list that is a span as well: "Lyon" of "Lyon and Turin"; units stand alone."""
    if span.unit:
        return False
    lists = (other for other in answer_spans(sentence) if is_list(other) and other != span and _inside(span, other))
    for other in lists:
        before, behind = sentence[other.start : span.start].rstrip(), sentence[span.end : other.end].lstrip()
        before = re.sub(r" ?\b(?:an?|the)$", "", before)
        if before.endswith(("and", "or", ",")) or behind.startswith(("and ", "or ", ",")):
            return True
    return False


def _is_one(span: AnswerSpan) -> bool:
    """Whether no part of a span says anything: of a time, a title, "between 10 and 20 people", or a speed."""
    is_speed = not words.PER.isdisjoint(span.unit.split(" "))
    between = span.kind is SpanKind.QUANTITY and span.text.lower().startswith("between ")
    return span.kind in _WHOLE or between or is_speed


def _is_denied(sentence: str, span: AnswerSpan) -> bool:
    """Whether it is said that there is no such thing: "no lift", "neither driver", "no dogs or cats"."""
    before = [word for word in tagged_words(sentence) if word.start < span.start]
    while before:
        last = before.pop()
        if last.lower in _DENYING:
            return True
        listed = last.lower in {",", "and", "or"} and bool(before) and before[-1].is_nominal
        if not (listed or last.is_nominal or last.lower in words.DETERMINERS):
            return False
    return False


def proposed_span(sentence: str, text: str) -> AnswerSpan | None:
    """The words of a sentence that a writer would ask for, whole names in place of parts; None where it has none.

    What begins to say something else is cut off: "The Slow Train and ends".
    """
    match = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", sentence) if text else None  # no "four" in "fourteen"
    if match is None:
        return None
    tokens = tagged_words(sentence)
    inside = [at for at, token in enumerate(tokens) if match.start() <= token.start < match.end()]
    if not inside:  # no "s" in "Fenn's" either
        return None
    first, last = inside[0], inside[-1]
    while last > first + 1 and _goes_on(tokens, last):
        last -= 1
    while first > 0 and _capital_at(tokens, first - 1) and _capital_at(tokens, first):
        first -= 1
    while _capital_at(tokens, last) and _capital_at(tokens, last + 1):
        last += 1
    end = match.end() if last == inside[-1] else tokens[last].end  # with a "%" or a quotation mark
    return _span(sentence, min(match.start(), tokens[first].start), end, SpanKind.THING)


def _goes_on(tokens: Sequence[Word], at: int) -> bool:
    """Whether a phrase that ends in this word has begun to say something else."""
    joins = {"and", "or", "but", ","}
    word, before = tokens[at], tokens[at - 1]
    no_noun = word.is_verbal or word.tag is Tag.FUNCTION
    behind_name = at > 1 and tokens[at - 2].is_capital and not word.is_capital
    return word.lower in joins or (before.lower in joins and (no_noun or behind_name))


def same_place(span: AnswerSpan, other: AnswerSpan) -> bool:
    """Whether two spans say the same: one lies in the other and the difference is an article or so."""
    nested = _inside(span, other) or _inside(other, span)
    return nested and abs(len(span.text) - len(other.text)) <= 4


def repeats(proposed: AnswerSpan, found: AnswerSpan) -> bool:
    """Whether a proposed span says the same as one that was found, or is part of one fact: "nine" of "nine days"."""
    return same_place(proposed, found) or (found.kind in _ONE_FACT and _inside(proposed, found))


def _inside(span: AnswerSpan, other: AnswerSpan) -> bool:
    return span.start >= other.start and span.end <= other.end


def _candidates(sentence: str) -> Iterator[AnswerSpan]:
    tokens = tagged_words(sentence)
    for match in _QUOTED.finditer(sentence):
        if not match["more"] and sentence[match.end()] == ",":
            continue  # "Yes," she said
        yield _span(sentence, match.start(), match.end(), SpanKind.TITLE)
    for start, end in dates(sentence, tokens):
        yield _span(sentence, start, end, SpanKind.DATE)
    yield from _clauses(sentence, tokens)
    yield from _roles(sentence, tokens)
    for start, end, unit in quantities(tokens):
        start_of_age = start - len(_AGE) if sentence[:start].endswith(_AGE) else start
        yield _span(sentence, start_of_age, end, SpanKind.QUANTITY, unit)
    for start, end in colours(tokens):
        yield _span(sentence, start, end, SpanKind.COLOUR)
    yield from _names(sentence, tokens)
    for begin, behind in noun_phrases(tokens, MAX_LIST_SHARE * len(sentence)):
        if not _is_pointed_at(tokens, begin):
            yield _phrase(sentence, tokens, begin, behind)


def _span(sentence: str, start: int, end: int, kind: SpanKind, unit: str = "") -> AnswerSpan:
    return AnswerSpan(start=start, end=end, text=sentence[start:end], kind=kind, unit=unit)


def _clauses(sentence: str, tokens: Sequence[Word]) -> Iterator[AnswerSpan]:
    for kind, pattern in _CLAUSES:
        for match in pattern.finditer(sentence):
            text = match.group().rstrip()
            if kind is SpanKind.REASON and match.start() == 0:
                text = text.partition(", ")[0]  # "Due to a strike, the fair was cancelled"
            inside = [token for token in tokens if 0 <= token.start - match.start() < len(text)]
            if kind is SpanKind.OCCASION and _is_cut_off(sentence[match.start() + len(text) :], inside):
                continue
            if 1 < len(text.split()) <= MAX_CLAUSE_WORDS and _is_clause(sentence[: match.start()], inside):
                yield _span(sentence, match.start(), match.start() + len(text), kind)
    for match in _SAID.finditer(sentence):
        if len(match["said"].split()) <= MAX_CLAUSE_WORDS:
            yield _span(sentence, match.start("said"), match.end("said"), SpanKind.THING)


def _is_cut_off(behind: str, said: Sequence[Word]) -> bool:
    """Whether a comma stands before the verb of a clause: "when our cook, Ada Holm, broke"."""
    adds = re.match(r", (?:[A-Z]|an? |the )", behind) is not None
    return adds and said[0].lower in {"when", "if", "whenever"} and first_verb(said) is None


def _is_clause(before: str, said: Sequence[Word]) -> bool:
    """Whether words say when or why, which "after her mother" and ", as a child" do not, and "is due to leave"."""
    match said[0].lower:
        case "after":
            return any(map(_tells_time, said))
        case "as":
            return _gives_reason(said[1:])
        case "because":
            return said[-1].lower not in {"that", "this", "it"}  # "because of that"
        case "due":
            return said[2].part[2:3] != "I"
        case "thanks":
            return not before or before.endswith(", ")  # "sent their thanks to"
        case _:
            return True


def _gives_reason(said: Sequence[Word]) -> bool:
    """Whether a clause behind ", as" has a subject and a verb, and says not who says so: ", as the mayor said"."""
    at = first_verb(said) or 0
    has_subject = at > 0 and (said[at - 1].is_nominal or words.is_adverb(said[at - 1].text) or at == 1)
    told = any(base_form(word.lower) in words.IMPERSONAL for word in said[at : at + 2])
    return has_subject and not told and said[0].lower not in {"well", "if", "though", "long", "soon", "far"}


def _tells_time(token: Word) -> bool:
    numbers = token.tag is Tag.NUMBER or token.part == "ORD"
    return numbers or token.part.startswith("V") or token.lower in words.DURATIONS | words.TIMES_OF_DAY


def _names(sentence: str, tokens: Sequence[Word]) -> Iterator[AnswerSpan]:
    """Runs of capitalised words, joined by "of", "de" and the like. A lone first word is no evidence of a name."""
    at = 0
    while at < len(tokens):
        if not (tokens[at].is_capital and (tokens[at].is_nominal or _capital_at(tokens, at + 1))):
            at += 1
            continue
        first = at
        at += 1
        while _capital_at(tokens, at) or (
            at < len(tokens)
            and tokens[at].lower in {"of", "de", "la", "van", "von", "der", "&"}
            and _capital_at(tokens, at + 1)
        ):
            at += 1
        at += at < len(tokens) and numbers_a_name(tokens[at - 1], tokens[at])
        is_name = first > 0 and tokens[first].lower not in words.ARTICLES  # "the Near East"
        start = first if is_name or tokens[first].lower not in words.FUNCTION_WORDS else first + 1
        before_noun = at < len(tokens) and tokens[at].tag is Tag.CONTENT
        describes = at == start + 1 and tokens[start].part.startswith("AJ")  # "French"
        if start == at or (start == 0 and at == 1) or describes or before_noun or tokens[at - 1].lower.endswith("'s"):
            continue  # "the Hartnoll brewery" and "Whitlock's hen" are noun phrases
        start -= start > 0 and tokens[start - 1].lower in words.ARTICLES
        yield _span(sentence, tokens[start].start, tokens[at - 1].end, SpanKind.NAME)


def _roles(sentence: str, tokens: Sequence[Word]) -> Iterator[AnswerSpan]:
    """What a person is: "the smith" before "Ada Holm", "a baker" before "named", "a former smith" behind the comma.

    And what a numbered thing is: "its digital watch" before "Corvane 40".
    """
    for at, word in enumerate(tokens):
        is_first = _capital_at(tokens, at) and not (at and _capital_at(tokens, at - 1))
        is_first = is_first and not word.lower.endswith("'s")
        numbered = at + 1 < len(tokens) and numbers_a_name(word, tokens[at + 1])
        if not (is_first and (numbered or _capital_at(tokens, at + 1))):
            continue
        last = at + 1
        while _capital_at(tokens, last + 1):
            last += 1
        holder = sentence[word.start : tokens[last].end]
        end = at - 1 if at and tokens[at - 1].lower in words.NAMING else at
        begin = end
        while begin > 0 and tokens[begin - 1].tag is Tag.CONTENT and not tokens[begin - 1].is_capital:
            begin -= 1
        is_noun = begin < end and not tokens[end - 1].part.startswith("AJ")  # "the old Corn Shed"
        if is_noun and begin > 0 and tokens[begin - 1].lower in words.ARTICLES:
            yield _role(sentence, tokens[begin - 1].start, tokens[end - 1].end, holder)
        elif is_noun and numbered and begin > 0 and tokens[begin - 1].lower in words.OWNERS:
            yield _role(sentence, tokens[begin].start, tokens[end - 1].end, holder)
        stop = _apposition_end(tokens, last + 1)
        of_somebody_else = at > 0 and is_one_of_many(tokens[last + 3 :])  # "born in Great Orme, the last of"
        if stop and not (_is_adjunct(tokens, at) or of_somebody_else):
            yield _role(sentence, tokens[last + 2].start, tokens[stop - 1].end, holder)


def _apposition_end(tokens: Sequence[Word], comma: int) -> int:
    """Behind the phrase that a comma adds: "a former smith" before a mark; 0 for a clause: ", the bank opened"."""
    if comma + 1 >= len(tokens) or tokens[comma].text != "," or tokens[comma + 1].lower not in words.ARTICLES:
        return 0
    stop = next((at for at in range(comma + 1, len(tokens)) if _ends_role(tokens[at])), len(tokens))
    return stop if stop == len(tokens) or tokens[stop].tag is Tag.MARK else 0


def _ends_role(word: Word) -> bool:
    return word.is_verbal or word.tag is Tag.MARK


def is_one_of_many(said: Sequence[Word]) -> bool:
    """Whether words behind an article, as "youngest of six sisters", may be said of another noun than the last."""
    ranked = len(said) > 1 and (said[0].part in {"AJS", "ORD"} or said[0].lower in {"first", "last", "only"})
    return ranked and said[1].lower == "of"


def _is_adjunct(tokens: Sequence[Word], at: int) -> bool:
    """Whether a name only says where or after whom something is so, before it is said: "In New York, the bank"."""
    said = any(token.is_verbal for token in tokens[:at])
    return at > 0 and tokens[at - 1].lower in words.PREPOSITIONS and not said


def _role(sentence: str, start: int, end: int, holder: str) -> AnswerSpan:
    return AnswerSpan(start=start, end=end, text=sentence[start:end], kind=SpanKind.ROLE, holder=holder)


def _capital_at(tokens: Sequence[Word], at: int) -> bool:
    return at < len(tokens) and tokens[at].is_capital and tokens[at].is_nominal


def _is_no_place(head: Word) -> bool:
    """Whether a noun names a time, a state or an act: "in the seventies", "on the advice"."""
    return head.lower in _NO_PLACES or head.lower.endswith(("ties", "ness", "ism"))


def _is_object_of(tokens: Sequence[Word], at: int) -> bool:
    """Whether the verb before needs the preposition at word `at` for its object: "insisted on a narrow gauge"."""
    verb = next((word for word in reversed(tokens[:at]) if word.part.startswith("VV")), None)
    return verb is not None and f"{base_form(verb.lower)} {tokens[at].lower}" in words.PREPOSITIONAL


def _is_pointed_at(tokens: Sequence[Word], begin: int) -> bool:
    """Whether a phrase says nothing without the text before it: "in that direction"."""
    return begin > 0 and tokens[begin - 1].lower in words.POINTING and tokens[begin - 1].part != "CJT"


def _modifiers_start(tokens: Sequence[Word], start: int) -> int:
    """Where a phrase begins whose first word is modified: "a newly married couple", "one penny"."""
    at = start
    while at > 0 and tokens[at - 1].lower.endswith("ly") and words.is_adverb(tokens[at - 1].text):
        at -= 1
    at -= at > 0 and tokens[at - 1].lower == "one" and (at == 1 or tokens[at - 2].lower not in words.DETERMINERS)
    at -= 0 < at < start and tokens[at - 1].lower in {"most", "least", "very"}
    with_article = 0 < at < start and tokens[at - 1].lower in words.ARTICLES
    return at - with_article if with_article or (at < start and tokens[at].lower == "one") else start


def _phrase(sentence: str, tokens: Sequence[Word], begin: int, end: int) -> AnswerSpan:
    start = begin - 1 if begin and tokens[begin - 1].lower in words.ARTICLES | words.QUANTIFIERS else begin
    start = _modifiers_start(tokens, start)
    at_least = start > 1 and tokens[start - 2].lower == "at"
    start -= start > 0 and tokens[start - 1].lower in {"most", "least", "all", "both"} and not at_least
    preposition = tokens[start - 1].lower if start else ""
    head = tokens[end - 1]
    bare = start == begin and not head.is_capital  # "from red granite", "in packs of six"
    at_place = preposition in words.PLACE_PREPOSITIONS and not bare and not words.is_person(head.text)
    at_place = at_place and not (start > 1 and tokens[start - 2].lower in _BEFORE_REASONS)
    of_it = next((at for at in range(begin + 1, end) if tokens[at].lower == "of"), end)
    at_place = at_place and not (_is_no_place(tokens[of_it - 1]) or _is_object_of(tokens, start - 1))
    kind = SpanKind.PLACE if at_place else SpanKind.THING
    if preposition in words.PREPOSITIONS - {"of", "for"} and head.lower in words.TIMES_OF_DAY:
        kind = SpanKind.OCCASION
    return _span(sentence, tokens[start].start, tokens[end - 1].end, kind)
