"""Turns an answer span into the words that a question about it can begin with.

A small LLM left alone asks "What is the name of" about everything. Given "When was the lamp" it goes on as it should.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from generator.english import words
from generator.english.numbers import in_digits
from generator.english.tagger import Tag, Word, first_verb, tagged_words
from generator.english.verbs import form_of_be, is_past
from generator.english.words import word_set
from generator.rules.clauses import Predication, predication
from generator.rules.spans import AnswerSpan, SpanKind, words_before

_BY_KIND = {
    SpanKind.DATE: ("When{}",),
    SpanKind.NAME: ("Who{}", "Who", "What is the name of"),
    SpanKind.TITLE: ("What{}", "What is the name of"),
    SpanKind.FREQUENCY: ("How often{}", "When{}"),
    SpanKind.REASON: ("Why{}",),
    SpanKind.MANNER: ("How{}",),
    SpanKind.OCCASION: ("When{}",),
    SpanKind.COLOUR: ("What colour{}", "What color{}"),
    SpanKind.PLACE: ("Where{}", "What{}"),
    SpanKind.THING: ("What{}", "What"),
}
AMOUNT_PREPOSITIONS = frozenset({"after", "within", "to", "by", "in"})
_TITLED = ("Mr ", "Mrs ", "Ms ", "Miss ", "Dr ", "Doctor ", "Sir ", "Mr. ", "Mrs. ", "Dr. ")
APPROXIMATION = re.compile(
    r"(?: (?:about|almost|around|some|approximately|nearly|only|roughly|at least|at most|up to"
    r"|(?:no )?(?:more|less|fewer) than))+ *$"
)
"""What may stand before an amount, and belongs to it."""
_UNASKED = word_set("at from until till between beyond after before by to of since past")
"""Before a number that counts nothing: no "How many did the council vote by?"."""
_HOURS = frozenset(map(str, range(13)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """First words of a question. `may_end`: with a question mark behind them they can be the whole of it."""

    text: str
    may_end: bool = False


def openings(sentence: str, span: AnswerSpan) -> tuple[Opening, ...]:
    """Beginnings of questions whose answer is the span, the most fitting first."""
    found = tagged_words(sentence)
    before = words_before(found, span)
    if span.kind is SpanKind.ROLE:
        who = "What" if span.of_thing else "Who"
        return (
            Opening(text=f"{who} {tense(found)} {span.holder}", may_end=True),
            Opening(text=f"What {tense(found)}"),
        )
    about = predication_about(found, span)
    if about is None:
        return _of_subject(found, span)
    after = next((word for word in found if word.start >= span.end), None)
    if span.kind is not SpanKind.QUANTITY:
        asked = _asked(span, before)
    elif after is not None and _is_comparative(after):
        asked = _of_difference(span, after)
    else:
        asked = _of_quantity(span, before, after.lower if after else "", about)
    tail = f" {about.helper} {subject_inside(about, found)}"
    is_complement = about.helper in words.COPULAS and not about.verb
    plain = [Opening(text=text.format(tail), may_end=is_complement and "{}" in text) for text in asked]
    led = [Opening(text=text.format(f"{tail} {about.verb}"), may_end=True) for text in asked if "{}" in text]
    ordered = led[:1] + plain[:1] + led[1:] + plain[1:] if about.verb else plain
    return tuple({opening.text: opening for opening in ordered}.values()) or (Opening(text="What"),)


def tense(found: Sequence[Word], *, many: bool = False) -> str:
    """ "is" or "was", of many "are" or "were", as the sentence's first verb has it."""
    at = first_verb(found)
    past = at is not None and (found[at].lower in words.PAST_HELPERS or is_past(found[at]))
    return form_of_be(past=past, many=many)


def predication_about(found: Sequence[Word], span: AnswerSpan) -> Predication | None:
    """What the sentence says that has the span in it; None where the span is the subject or no verb is found."""
    about = predication(found, span.start)
    if about is None and _is_adjunct(words_before(found, span), span):
        about = _first_predication(found, span.end)
        between = {word.lower for word in found if about and span.end <= word.start < about.verb_start}
        return about if not between & (words.RELATIVE | {";", ":"}) else None  # "in place of a set that mice had eaten"
    return about


def whole_sentence_openings(sentence: str) -> tuple[Opening, ...]:
    """Beginnings of questions whose answer is the whole sentence."""
    found = tagged_words(sentence)
    about = _first_predication(found, 0)
    subject = [Opening(text=f"What {about.helper} {subject_inside(about, found)}", may_end=True)] if about else []
    return (*subject, Opening(text="What"), Opening(text="Who"))


def _first_predication(found: Sequence[Word], place: int) -> Predication | None:
    first = first_verb(found, place)
    if first is None:
        return None
    last = first
    while last + 1 < len(found) and (found[last + 1].is_verbal or words.is_adverb(found[last + 1].text)):
        last += 1
    return predication(found, found[last].end)


def _is_adjunct(before: Sequence[Word], span: AnswerSpan) -> bool:
    """Whether words before the verb say when or where, and are not the subject: "In 1987 a flood ..."."""
    said_by = words.PLACE_PREPOSITIONS if span.kind is SpanKind.NAME else words.PREPOSITIONS - {"of"}
    of_a_noun = len(before) > 1 and before[-2].is_nominal  # "a town on the coast"
    preposition = bool(before) and before[-1].lower in said_by and not of_a_noun
    return (preposition and span.kind is not SpanKind.THING) or span.kind in {
        SpanKind.DATE,
        SpanKind.OCCASION,
        SpanKind.REASON,
        SpanKind.MANNER,
        SpanKind.FREQUENCY,
    }


def _of_subject(found: Sequence[Word], span: AnswerSpan) -> tuple[Opening, ...]:
    """The span is what the sentence is about: ask with its verb."""
    verb = first_verb(found, span.end)
    if verb is None:
        return (Opening(text="What"), Opening(text="Who"))
    said = " ".join(word.text for word in found[verb : verb + (2 if found[verb].tag is Tag.HELPER else 1)])
    if span.kind is SpanKind.QUANTITY and span.unit:
        return (Opening(text=f"How many {span.unit} {said}", may_end=True),)
    asked = ("Who", "What") if is_person(span) else ("What", "Who")
    return tuple(Opening(text=f"{word} {said}") for word in asked)


def subject_inside(about: Predication, found: Sequence[Word]) -> str:
    """The subject as it reads inside a question: "The door" with a small letter, a name as it is."""
    first = next(word for word in found if word.start == about.subject_start)
    named = first.part == "NP0" or any(word.is_capital for word in found[1:2]) or first.lower.endswith("'s")
    is_name = first.tag is Tag.CONTENT and (first.start > 0 or named)
    return about.subject if is_name else words.uncapitalised(about.subject)


def _asked(span: AnswerSpan, before: Sequence[Word]) -> tuple[str, ...]:
    """Question words by kind; `{}` is where helper and subject go."""
    last = before[-1].lower if before else ""
    last = before[-2].lower if last in words.ARTICLES and len(before) > 1 else last
    if span.kind is SpanKind.NAME and last in words.PLACE_PREPOSITIONS and not span.text.startswith(_TITLED):
        return ("Where{}", "What is the name of")
    if span.kind is SpanKind.NAME and (last == "of" or not is_person(span)):
        return ("What{}", "What is the name of")
    if span.kind is SpanKind.THING and (last == "by" or is_person(span)):
        is_who = span.text.split()[-1][0].isupper() or is_person(span)
        if not (is_who or words.may_act(span.text)):
            return ("What{}",)
        return ("Who{}", "What{}") if is_who else ("What{}", "Who{}")
    if span.kind is SpanKind.DATE and span.text.isdigit():
        return ("In what year{}", "When{}")
    return _BY_KIND[span.kind]


def is_person(span: AnswerSpan) -> bool:
    """Persons' names have no article: Tobias Renn, the Fat Bishop. Of other phrases their last noun decides."""
    last = words.parts_of_list(span.text)[-1] if span.kind is not SpanKind.NAME else span.text
    said = tagged_words(last)
    if words.is_thing(last):
        return False
    if span.kind is SpanKind.NAME or (last != span.text and all(word.is_capital for word in said)):
        by_office = len(said) > 1 and (len(said) == 2 or said[2].lower == "of") and words.is_person(said[1].text)
        return said[0].lower not in words.ARTICLES or by_office  # "the Treasurer", "the Warden of Shoes"
    if span.kind not in {SpanKind.THING, SpanKind.ROLE}:
        return False
    head = said[: next((at for at in range(1, len(said)) if said[at].lower in words.PREPOSITIONS), len(said))]
    named = head[-1].is_capital and any(words.is_person(word.text) for word in head)  # "the historian Ada Holm"
    is_device = head[-1].lower in words.DEVICES and len(head) > 1 and head[-2].part.startswith("NN")
    return named or (words.is_person(head[-1].text) and not is_device)


def _of_quantity(span: AnswerSpan, before: Sequence[Word], after: str, about: Predication) -> tuple[str, ...]:
    """Questions for an amount; `after` is the word behind it: "84 kilometres long"."""
    before = _without_approximation(before)
    preposition = before[-1].lower if before else ""
    if after in words.DIMENSIONS - {"away", "across"}:
        if about.verb or about.helper not in words.COPULAS:
            return ()  # "stand on a floor 20 centimetres thick"
        return (f"How {after}{{}}", f"How many {span.unit} {after}{{}}")
    if _is_share(span) or span.unit.startswith("\u00b0"):
        return _of_sign(span, preposition)
    lasts = span.unit in words.DURATIONS
    if preposition in AMOUNT_PREPOSITIONS and span.unit and (lasts or preposition != "in"):
        return (f"{preposition.capitalize()} how many {span.unit}{{}}",)
    if span.unit or _is_money(span):
        return ("How much{}",) if about.verb == "cost" else _of_unit(span)
    return _of_number(span, before, about)


def _without_approximation(before: Sequence[Word]) -> Sequence[Word]:
    """The words before an amount without "about", "at least", "up to", "no more than"."""
    left = APPROXIMATION.sub("", "".join(f" {word.lower}" for word in before))
    return before[: left.count(" ")]


def _of_sign(span: AnswerSpan, preposition: str) -> tuple[str, ...]:
    """What people ask for degrees and percent: "at what temperature", "by how much"."""
    asked = "what temperature" if span.unit.startswith("\u00b0") and preposition != "by" else "how much"
    led = {"at", "by"} & {"at" if span.text.lower().startswith("between") else preposition}
    return (" ".join([*led, asked]).capitalize() + "{}",)


def _of_number(span: AnswerSpan, before: Sequence[Word], about: Predication) -> tuple[str, ...]:
    """What people ask for a number that counts nothing: an age, a share; nothing for "section 4"."""
    preposition = before[-1].lower if before else ""
    person = words.is_person(about.subject.split()[-1]) or about.subject.istitle()
    if span.text.split()[-1] in words.FRACTIONS:
        return ("How much{}",)
    if "age" in span.text.split():
        return ("At what age{}",) if preposition == "at" else ("What age{}",)
    if preposition == "at" and (person or in_digits([span.text.lower()])[0] in _HOURS):
        return ("When{}",) if in_digits([span.text.lower()])[0] in _HOURS else ("At what age{}",)
    if before and (before[-1].is_nominal or preposition in _UNASKED or span.text[0].isupper()):
        return ()
    if about.helper in words.COPULAS and not about.verb:
        return (
            ("How old{}", "How many{}", "What{}") if person or about.subject.lower() in words.PRONOUNS else ("What{}",)
        )
    return ("How many{}",) if span.text.isalnum() else ("What{}",)


def _is_comparative(word: Word) -> bool:
    """Whether an amount before this word is a difference: "12 metres longer", "£15 less", "two years ago"."""
    return word.part in {"AJC", "AVC"} or word.lower in {"more", "less", "fewer", "later", "ago"}


def _of_difference(span: AnswerSpan, compared: Word) -> tuple[str, ...]:
    if compared.lower == "ago":
        return ("How long ago{}",)
    measured = _is_money(span) or span.unit.split(" ")[0] in words.MEASURES
    many = f"How many {span.unit}" if span.unit else ""
    asked = "How much" if measured else many
    return (f"{asked} {compared.lower}{{}}",) if asked else ()


def _is_share(span: AnswerSpan) -> bool:
    return span.text.endswith("%") or span.unit in {"percent", "per cent"}


def _is_money(span: AnswerSpan) -> bool:
    return span.text[0] in "£$€" or span.unit.partition(" of ")[0].split(" ")[-1] in words.MONEY


def _of_unit(span: AnswerSpan) -> tuple[str, ...]:
    counted, _, substance = span.unit.partition(" of ")
    unit = counted.split(" ")[-1]
    many = f"How many {span.unit}{{}}"
    if _is_money(span):
        return ("How much{}", "What{}")
    if unit in words.DURATIONS:  # or those of a speed: "kilometres an hour"
        return ("How long{}", many) if unit == counted else (many,)
    if unit.rstrip("s") in words.LENGTHS and unit == span.unit:
        return ("How", "How far{}", many)
    if unit in words.MEASURES:
        return (f"How much {substance}{{}}", many) if substance else ("How much{}", "How", many)
    return (many, "How many")
