"""Turns a sentence and a span of it into plain questions without any LLM, by putting the helper before the subject.

"The cellar is cooled by ice in summer" with "ice" becomes "What is the cellar cooled by in summer?" and "What is the
cellar cooled by?".
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from generator.english import words
from generator.english.colours import coloured
from generator.english.tagger import Tag, Word, tagged_words
from generator.english.verbs import base_form, form_of_be
from generator.rules.clauses import SHOULD, Predication, clause_end
from generator.rules.openings import (
    AMOUNT_PREPOSITIONS,
    APPROXIMATION,
    is_person,
    openings,
    predication_about,
    subject_inside,
    tense,
)
from generator.rules.spans import AnswerSpan, SpanKind, is_listed, is_one_of_many, words_before
from generator.rules.voice import active

_LONG_NAME = re.compile(r"\b([Tt]he) (?:[A-Z][\w'\u2019-]+ ){2,}([A-Z][\w-]+)\b")

_LIFE = re.compile(r"(?P<name>[^(,]+) \((?P<born>\d{4}) ?[\u2013-] ?(?P<died>\d{4})\)")
_LEFT_OVER = re.compile(r"(?: (?:so|even|only|and|or|but))+$")

MAX_WORDS = 20
MIN_CLAUSE_WORDS = 4  # "What is thin?" says too little
MAX_OPENINGS = 2

_DANGLES = words.word_set("who which that because when since if while why how whether what where , ; : and or")
_BEGINS_CLAUSE = words.word_set("; that because since if while whether why although")
_AWAITING = frozenset({"until", "till", "unless"})
_OF_THE_NEXT = words.word_set("but and or one whose")
_SUBORDINATES = _AWAITING | words.word_set("before after since once as than although though")
_CLAUSES = frozenset({SpanKind.REASON, SpanKind.MANNER, SpanKind.FREQUENCY})
_NO_FINITE = frozenset({"be", "been", "being"})
_JOINS = frozenset({"and", "but"})
_IN_NAMES = words.ARTICLES | {"of", "most", "least"}
_NAMING = frozenset({SpanKind.NAME, SpanKind.TITLE})
_SAID_BY_PREPOSITION = frozenset({SpanKind.PLACE, SpanKind.NAME, SpanKind.QUANTITY})
_ADVERBIAL = (
    *("When", "How often", "Where", "Why", "How long", "How far", "In what year", "At what age", "At what temperature"),
    *(f"{preposition.capitalize()} how" for preposition in AMOUNT_PREPOSITIONS),
)


def inverted(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    """Questions with the rest of the clause and without it; none where the rules see no verb to ask with."""
    written = _of_part(sentence, span) if is_listed(sentence, span) else _written(sentence, span)
    return tuple(question for question in written if not _leans_on_it(question))


def _of_part(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    """What a part of a list is can be asked for: "the mayor, and the clerk, Tom Reed"."""
    return _of_apposition(sentence, words_before(tagged_words(sentence), span), span)


def _leans_on_it(question: str) -> bool:
    """Whether an "it" is done or does something, and only the sentence says what: not "How long did it take?"."""
    said = question.lower().strip("?").split()
    for before, word, after in zip(["", *said], said, [*said[1:], ""], strict=False):
        if word == "it":
            is_subject = before in words.AUXILIARIES
            has_clause = after in words.AUXILIARIES and not is_subject  # "before it is opened"
            if not has_clause and not (is_subject and after in words.IMPERSONAL):
                return True
    return False


def _written(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    if span.kind is SpanKind.TITLE:
        return _of_title(*_unquoted(sentence, span))
    return _of_words(sentence, span)


def _unquoted(sentence: str, span: AnswerSpan) -> tuple[str, AnswerSpan]:
    """The sentence without the marks around a title, and the title in it."""
    before, behind = sentence[: span.start - 1], sentence[span.end :]
    comma = "," if behind.startswith(",") else ""  # "a novel, "The Salt Road," won"
    moved = replace(span, start=span.start - 1, end=span.end - 1)
    return f"{before}{span.text}{comma}{behind[len(comma) + 1 :]}", moved


def _of_title(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    """ "Her memoir, "The Salt Road", sold well" answers "What is the name of her memoir?"."""
    found = tagged_words(sentence)
    before = words_before(found, span)
    thing = _apposed(sentence, before, span)
    if thing:
        return (f"What is {thing} called?", f"What is the name of {thing}?")
    return _of_words(sentence, span)


def _of_words(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    found = tagged_words(sentence)
    before = words_before(found, span)
    named = _of_role(sentence, span) or _of_apposition(sentence, before, span) or _of_name(sentence, before, span)
    named = named or _of_existence(sentence, before, span) or _of_colour(found, span) or _of_life(sentence, span)
    if named or (span.kind in _NAMING and before and before[-1].tag is Tag.CONTENT and not _is_owned(before)):
        return named  # "the botanist Ada Holm" cannot be taken apart
    about = predication_about(found, span)
    if about is None:
        return _of_subject(sentence, found, span)
    return _of_relation(before, span, about) or _of_predication(sentence, found, span, about)


def _of_predication(sentence: str, found: Sequence[Word], span: AnswerSpan, about: Predication) -> tuple[str, ...]:
    """Questions about what is said of a subject; of a clause's own subject, where one begins behind the verb."""
    before = words_before(found, span)
    between, behind = _around(sentence, found, span, about)
    between = between.rstrip(" ,") if span.kind is SpanKind.REASON else between
    if any(word.lower in _DANGLES for word in tagged_words(between)):
        begins = before[-1].lower in _BEGINS_CLAUSE or (before[-1].lower in _JOINS and before[-2].text == ",")
        told = _of_subject(sentence, found, span) if begins else ()
        return tuple(question for question in told if len(question.split()) >= MIN_CLAUSE_WORDS)
    aims = about.helper in words.COPULAS and not about.verb and between.split()[:1] == ["to"]
    if aims or _is_subject_inside(found, span, about) or _is_cut(between, span):
        return ()  # "the purpose is to keep bees"
    return _of_clause(sentence, span, about, between, behind)


def _of_clause(sentence: str, span: AnswerSpan, about: Predication, between: str, behind: str) -> tuple[str, ...]:
    """Questions with what stands between verb and span, and behind it."""
    found = tagged_words(sentence)
    between = APPROXIMATION.sub("", between) if span.kind is SpanKind.QUANTITY else between
    begun = [opening.text for opening in openings(sentence, span) if opening.may_end][:MAX_OPENINGS]
    is_owned = not words.OWNERS.isdisjoint(between.lower().split()[-1:])  # "has its seat there"
    if is_owned or (span.start < about.verb_start and span.kind in _SAID_BY_PREPOSITION):
        begun = [opening for opening in begun if opening.startswith(_ADVERBIAL)]  # no "What did the mayor dine?"
    questions = [*active(sentence, found, span, about), *_plainer(between, found, span, about)]
    own = span.text.lower().split(maxsplit=1)[0] in words.PREPOSITIONS | words.CONJUNCTIONS
    is_clause = span.kind in _CLAUSES or (own and span.kind is SpanKind.OCCASION)  # "struggled on | until 1924"
    questions += [question for opening in begun for question in _led_by(opening, between, behind, is_clause=is_clause)]
    if span.start < about.verb_start or about.helper == SHOULD:  # nothing is left of "When did the people put?"
        questions = [question for question in questions if question.endswith(_question(behind))]
    whole = (question for question in questions if question.count("(") == question.count(")") and "( )" not in question)
    return tuple(dict.fromkeys(question for question in whole if len(question.split()) <= MAX_WORDS))


def shortened(question: str) -> str:
    """The question with a long name as people say it afterwards: "the Brenn Paper Mill" is "the mill"."""
    return _LONG_NAME.sub(lambda name: f"{name.group(1)} {name.group(2).lower()}", question)


def _plainer(between: str, found: Sequence[Word], span: AnswerSpan, about: Predication) -> tuple[str, ...]:
    """What people say for rarer verbs: what something is made of, and where it is."""
    subject = subject_inside(about, found)
    verb = about.verb.split()[-1] if about.verb else ""
    is_many = words.is_plural(words.head_noun(about.subject))
    if verb in words.MAKING and between.split()[-1:] in (["from"], ["of"]) and about.helper in words.COPULAS:
        return (f"What {about.helper} {subject} made of?",)
    if span.kind is SpanKind.PLACE and verb in words.BEING_SOMEWHERE and about.helper != SHOULD:
        past = about.helper in words.PAST_HELPERS
        return (f"Where {form_of_be(past=past, many=is_many)} {subject}?",)
    return ()


def _led_by(opening: str, between: str, behind: str, *, is_clause: bool) -> tuple[str, str]:
    """With what is left of the clause, and without it."""
    if opening.startswith(_ADVERBIAL) and not is_clause:
        between = _without_last_preposition(between)
    asked, _, rest = behind.strip().partition(" ")
    if asked in {"and", "or", ","}:
        behind = ""  # of a list
    elif asked and _is_asked_with(opening, asked):
        behind = rest  # "84 kilometres long" is asked for with "How long", "£15 less" with "How much less"
    return _question(opening, between, behind), _question(opening, between)


def _is_asked_with(opening: str, word: str) -> bool:
    """Whether an opening has the word behind its amount: "How long", "How many metres long", "How much less"."""
    of_unit = word in words.DIMENSIONS and re.match(rf"How many [\w ]+ {word} ", opening)
    return bool(of_unit or re.match(rf"How (?:(?:many \w+|much|long) )?{re.escape(word)} ", opening))


def _of_subject(sentence: str, found: Sequence[Word], span: AnswerSpan) -> tuple[str, ...]:
    """ "Ada Holm lit the lamp" answers "Who lit the lamp?"."""
    behind = (word for word in found if word.start >= span.end and not words.is_adverb(word.text))
    verb = next(behind, None)
    counts_nothing = span.kind is SpanKind.QUANTITY and not span.unit
    if verb is None or not verb.is_verbal or counts_nothing or _is_governed(found, span):
        return ()
    end = clause_end(found, verb.end, len(sentence))
    asked = f"How many {span.unit}" if span.unit else "Who" if is_person(span) else "What"
    question = _question(asked, sentence[span.end : end])
    return (question,) if len(question.split()) <= MAX_WORDS else ()


def _is_governed(found: Sequence[Word], span: AnswerSpan) -> bool:
    """Whether a span belongs to a word before it, not to the verb behind: "a path through the garden leads"."""
    before = words_before(found, span)
    while before and before[-1].lower in words.DETERMINERS:
        before.pop()
    if not before or before[-1].lower in words.SAYING:
        return False
    last = before[-1]
    return last.lower in words.PREPOSITIONS or last.is_verbal or last.tag is Tag.NONFINITE


def _of_role(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    """ "The botanist Ada Holm" answers "Who was Ada Holm?", "its watch Corvane 40" answers "What is Corvane 40?"."""
    if span.kind is not SpanKind.ROLE:
        return ()
    was = tense(tagged_words(sentence))
    if span.of_thing:
        return (f"What {was} {span.holder}?", f"What kind of thing {was} {span.holder}?")
    profession = (f"What {was} {span.holder}'s profession?",) if is_person(span) else ()
    return (f"Who {was} {span.holder}?", *profession)


def _of_apposition(sentence: str, before: Sequence[Word], span: AnswerSpan) -> tuple[str, ...]:
    """ "The pilot, Tobias Renn, is ..." answers "Who is the pilot?"."""
    phrase = _apposed(sentence, before, span) if span.kind in {SpanKind.NAME, SpanKind.THING} else ""
    if not phrase:
        return ()
    asked = "Who" if is_person(span) else "What"
    return tuple(f"{asked} {was} {phrase}?" for was in dict.fromkeys(("is", tense(tagged_words(sentence)))))


def _apposed(sentence: str, before: Sequence[Word], span: AnswerSpan) -> str:
    """What a span between commas says more about; empty where that is nothing."""
    apart = len(before) > 1 and before[-1].text == "," and sentence[span.end : span.end + 1] in {",", "."}
    if not apart or _is_followed(sentence, span):
        return ""
    told_of = next((word for word in reversed(before[:-1]) if not (word.is_nominal or word.lower in _IN_NAMES)), None)
    phrase = sentence[told_of.end if told_of else 0 : before[-1].start].strip()
    dated, article, noun = phrase.rpartition(" the ")
    if article and not dated.endswith(" of"):
        phrase = f"the {noun}"  # "in March 2024 the supplier, Gorham Castings, changed"
    if not phrase or (told_of and told_of.lower in words.DETERMINERS) or not _is_told_of(phrase, span):
        return ""
    first, _, rest = phrase.partition(" ")
    return f"the {rest}" if first.lower() in words.ARTICLES else phrase


def _is_followed(sentence: str, span: AnswerSpan) -> bool:
    """Whether the next of a list follows a span: "Omar Said, Lin Cho and", "Omar Said, and"."""
    behind = [word for word in tagged_words(sentence) if word.start >= span.end][:2]
    joins = len(behind) > 1 and behind[0].text == ","
    return joins and (behind[1].lower in {"and", "or"} | words.DETERMINERS or behind[1].is_nominal)


def _is_told_of(phrase: str, span: AnswerSpan) -> bool:
    """Whether a span behind a comma can say what the phrase is, which is no date and not the name before a name."""
    told, said = tagged_words(phrase), tagged_words(span.text)
    dated = any(word.tag is Tag.NUMBER or word.text in words.MONTHS | words.WEEKDAYS for word in told)
    definite = told[0].lower in words.ARTICLES or any(word.lower.endswith("'s") for word in told)
    described = said[0].lower in words.ARTICLES and not is_one_of_many(said[1:])
    return not dated and (described or (definite and span.kind in _NAMING))


def _of_name(sentence: str, before: Sequence[Word], span: AnswerSpan) -> tuple[str, ...]:
    """ "A machine called the Blue Sister" and "the river Ember" answer "What is the name of the machine?"."""
    named = span.kind in _NAMING and len(before) > 1
    if named and before[-1].lower in words.NAMING:
        end = len(before) - 1
        begin = _noun_start(before, end)
        while begin > 1 and before[begin - 1].lower == "of":  # "a book of 612 pages called"
            end, begin = begin - 1, _noun_start(before, begin - 1)
    elif named and before[-1].part == "NN1" and not before[-1].is_capital and before[-2].lower in words.ARTICLES:
        begin, end = len(before) - 1, len(before)
    else:
        return ()
    thing = sentence[before[begin].start : before[end - 1].end] if begin < end else ""
    return (f"What is the name of the {thing}?", f"What is the {thing} called?") if thing else ()


def _of_life(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    """ "Ada Holm (1888-1961) was" answers "When was Ada Holm born?" and "When did Ada Holm die?"."""
    life = _LIFE.match(sentence) if span.kind is SpanKind.DATE else None
    if life is None or span.start not in {life.start("born"), life.start("died")}:
        return ()
    asked = f"was {life['name']} born?" if span.start == life.start("born") else f"did {life['name']} die?"
    return (f"When {asked}", f"In what year {asked}")


def _of_colour(found: Sequence[Word], span: AnswerSpan) -> tuple[str, ...]:
    """ "A dark red door" answers "What colour is the door?"."""
    thing, many = coloured(found, span.end) if span.kind is SpanKind.COLOUR else ("", False)
    was = tense(found, many=many)
    return (f"What colour {was} the {thing}?", f"What color {was} the {thing}?") if thing else ()


def _of_existence(sentence: str, before: Sequence[Word], span: AnswerSpan) -> tuple[str, ...]:
    """ "At the beginning there were only ten pupils" answers "How many pupils were there at the beginning?"."""
    said = [word for word in before if not words.is_adverb(word.text) or word.lower == "there"]
    if not span.unit or len(said) < 2 or said[-2].lower != "there" or said[-1].lower not in words.COPULAS:
        return ()
    asked = f"How many {span.unit} {said[-1].lower} there"
    first = sentence[: said[-2].start].strip(" ,")
    if not first:
        return (f"{asked}?",)
    return (f"{asked} {first if before[0].part == 'NP0' else words.uncapitalised(first)}?", f"{asked}?")


def _of_relation(before: Sequence[Word], span: AnswerSpan, about: Predication) -> tuple[str, ...]:
    """ "Ada Holm lived with her sister Clementine" answers "Who was Ada Holm's sister?", "her dog, Rex" likewise."""
    apart = bool(before) and before[-1].text == ","
    owned = before[:-1] if apart else before
    if span.kind is not SpanKind.NAME or not _is_owned(owned, apart=apart) or not about.subject[0].isupper():
        return ()
    owner = words.possessive(about.subject)
    noun = owned[-1].text
    who = (f"Who was {owner} {noun}?",) if words.is_person(noun) else ()
    return (*who, f"What was the name of {owner} {noun}?")


def _is_owned(before: Sequence[Word], *, apart: bool = False) -> bool:
    """Whether these words end in somebody's relation; `apart`: in anything of somebody's that a comma follows."""
    owned = len(before) > 1 and before[-2].lower in {"his", "her"} and before[-1].part == "NN1"
    return owned and (apart or words.is_person(before[-1].text))


def _noun_start(before: Sequence[Word], end: int) -> int:
    """Where the run of nouns that ends before word `end` begins."""
    return next((at + 1 for at in range(end - 1, -1, -1) if not before[at].is_nominal), 0)


def _is_subject_inside(found: Sequence[Word], span: AnswerSpan, about: Predication) -> bool:
    """Whether what is told of another does or is something itself: "until the bell has rung", "for the gas to clear".

    And whether the words behind go on to the verb of what is told: "A pair that discovers a fire shall".
    """
    start = max(about.verb_end, span.end)
    if about.subject_start <= span.start < about.verb_start:
        return True
    said = not about.verb or base_form(about.verb.split()[-1]) not in words.SAYING
    if said and not _is_reduced(found, about) and _next_verb(found, start) is not None:
        return True
    between = [word.lower for word in found if about.verb_end <= word.start < span.start]
    behind = [word for word in found if word.start >= start][:2]
    told_to = len(behind) > 1 and behind[0].lower == "to" and behind[1].tag is Tag.NONFINITE
    return told_to and len(between) > 1 and "for" in between[-2:]


def _is_cut(between: str, span: AnswerSpan) -> bool:
    """Whether what stands before a span belongs to it: "nothing but a little duckweed", "until the lamp on it"."""
    said = between.lower().split()
    waits = not _AWAITING.isdisjoint(said) and span.kind not in {SpanKind.DATE, SpanKind.OCCASION}
    return waits or not _OF_THE_NEXT.isdisjoint(said[-1:])


def _is_reduced(found: Sequence[Word], about: Predication) -> bool:
    """Whether a participle behind its noun is what is said: "a boiler fed with sawdust"."""
    return any(word.end == about.verb_end and word.tag is Tag.NONFINITE for word in found)


def _next_verb(found: Sequence[Word], start: int) -> Word | None:
    """The finite verb behind character `start` that no new clause brings: "a fire shall blow", not "which has"."""
    end = _said_end(found, start, found[-1].end)
    behind = list(takewhile(lambda word: word.lower not in _SUBORDINATES, (w for w in found if start <= w.start < end)))
    finite = (
        word
        for before, word in zip([None, *behind], behind, strict=False)
        if word.is_verbal and word.lower not in _NO_FINITE and not (before and before.lower in _NO_FINITE)
    )
    return next(finite, None)


def _said_end(found: Sequence[Word], place: int, end: int) -> int:
    """Where the clause around `place` ends, also before one that no mark parts from it: "a station he had admired"."""
    end = clause_end(found, place, end)
    told = (
        word.start
        for before, word, after in zip(found, found[1:], found[2:], strict=False)
        if place <= word.start < end and before.is_nominal and word.lower in words.SUBJECT_PRONOUNS and after.is_verbal
    )
    return next(told, end)


def _around(sentence: str, found: Sequence[Word], span: AnswerSpan, about: Predication) -> tuple[str, str]:
    """The text between verb and span, and from the span to the end of the clause."""
    end = _said_end(found, max(about.verb_end, span.end), len(sentence))
    if _is_reduced(found, about) and (verb := _next_verb(found, max(about.verb_end, span.end))):
        end = min(end, verb.start)
    if span.start < about.verb_end:
        return "", sentence[about.verb_end : end]
    return sentence[about.verb_end : span.start], sentence[span.end : end]


def _question(*parts: str) -> str:
    return _LEFT_OVER.sub("", " ".join(" ".join(parts).split()).strip(" ,;:.!")) + "?"


def _without_last_preposition(text: str) -> str:
    said = text.split()
    if said and said[-1].lower() in words.DETERMINERS:
        said.pop()
    if said and said[-1].lower() in words.PREPOSITIONS:
        said.pop()
    return " ".join(said)
