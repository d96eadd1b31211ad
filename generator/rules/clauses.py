"""Turns a place in a sentence into the subject and helping verb of a question about it.

"The lamp was built in Oss" asks about "Oss" with the subject "the lamp" and the helper "was". Where the rules are wrong
a question is worse; the round trip of the grounded strategy drops those that an LLM makes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from generator.english import words
from generator.english.tagger import PARTICIPLES, Tag, Word, begins_anew
from generator.english.verbs import base_form, form_of_be, is_past

_ENDS_CLAUSE = frozenset({",", ";", ":", ".", "(", "who", "which", "that", "because", "when", "since", "if", "while"})
_ANYBODY = words.ANYBODY | {"those", "one"}
_OBJECTS = frozenset({"them", "him", "us", "me", "whom"})
_OF_EVENTS = frozenset({"happen", "occur", "mean", "prove"})
_DENYING = frozenset({"not", "never"})
SHOULD = "should"
_OWNING = {"has": "does", "have": "do", "had": "did"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predication:
    """Whom a verb is about, and the word that is put before that subject in a question: was, does, did, must.

    `verb` is the full verb as it stands behind that subject ("built", "keep"), empty where there is none. `verb_end` is
    where the verb of the sentence ends.
    """

    subject: str
    helper: str
    verb: str
    subject_start: int
    verb_start: int
    verb_end: int


def predication(found: Sequence[Word], place: int) -> Predication | None:
    """The predication that the words at character `place` belong to; None where no verb stands before them."""
    anchors = (at for at, word in enumerate(found) if word.start < place and _says(found, at))
    at = max(anchors, default=None)
    if at is None:
        return None
    if at and found[at].lower in words.COPULAS and found[at - 1].lower == "there":
        return None  # "there is no limit"
    if found[at].tag is Tag.NONFINITE:
        return _reduced(found, at)
    if _is_imperative(found, at):
        return _told(found, at)
    first = at
    while first > 0 and (found[first - 1].tag is Tag.HELPER or words.is_adverb(found[first - 1].text)):
        first -= 1
    return _of_chain(found, first, at) if found[first].lower != "be" else None  # "has to be cleaned"


def _of_chain(found: Sequence[Word], first: int, at: int) -> Predication | None:
    """What the helpers and the verb at words first..at say."""
    end = first
    while end > 0 and found[end - 1].lower in words.RELATIVE | {","}:
        end -= 1
    if end and found[end - 1].text == ")":  # "The Normans (Norman: Nourmands) were"
        end = next((at for at in range(end - 1, 0, -1) if found[at].text == "("), end)
    begin = _subject_start(found, end, whole=end == first or _disagree(found[end - 1], found[first]))
    told = _behind_relative(found, first) or _behind_apposition(found, first) or _behind_participle(found, first)
    told = told or _behind_adverbial(found, first) or _antecedent(found, begin, end, first)
    if told is not None:
        begin, end = told
        if begin == end:
            return None
    elif end == first - 1 and found[end].text == "," and _is_object(found, begin, end):
        begin = end  # "kept bees, played the fiddle"
    helper, verb = _parted(found[first : at + 1])
    said = Predication(
        subject=" ".join(word.text for word in found[begin:end]),
        helper=helper,
        verb=verb,
        subject_start=found[begin].start,
        verb_start=found[first].start,
        verb_end=found[at].end,
    )
    if _has_other_subject(found, begin, end, first, at):
        return None
    if begin < end:
        return _named(found, said) if said.subject.lower() == "it" else said
    return _going_on(found, at, said)


def _has_other_subject(found: Sequence[Word], begin: int, end: int, first: int, at: int) -> bool:
    """Whether the verb at words first..at is about something else than words begin..end before it."""
    before = found[end - 1].lower if end else ""
    if end and end < first and (before == "of" or _tells_of_clause(found, end, at)):
        return True  # "photographs, most of which are kept", "nested in the duct, which happens most often"
    if begin == end:
        return before in _OBJECTS | {"as", "than"}  # "one of them bears", ", as is the custom"
    if end < first and _is_one(found[first]) and _are_many(found[begin:end]):
        return True  # "vinegar and sour foods, which creeps": about something further off
    return found[begin].lower == "one" or _stands_behind(found, begin, end, first)  # "one that is too tight"


def _stands_behind(found: Sequence[Word], begin: int, end: int, first: int) -> bool:
    """Whether a sentence begins with where or when, and has its subject behind the verb: "In one corner lay a bear"."""
    led = end == first and found[begin].tag is not Tag.NUMBER and found[0].lower in words.PREPOSITIONS - {"of"}
    between = found[1:begin] if begin else ()
    led = led and not (between and found[begin].lower in words.DETERMINERS)  # "Under her the firm grew"
    return led and begin > 0 and all(word.lower in words.DETERMINERS - {"all"} | {"one"} for word in between)


def _going_on(found: Sequence[Word], at: int, said: Predication) -> Predication | None:
    """What a verb without a subject says of that of the verb before: "... and arrived by sledge"."""
    earlier = predication(found, said.verb_start)
    verb = found[at].lower
    if earlier is None:
        return None
    said = replace(said, subject=earlier.subject, subject_start=earlier.subject_start)
    if earlier.helper == SHOULD and not earlier.verb.startswith("be "):
        told = replace(said, helper=SHOULD, verb=_denied(earlier.verb.split(), verb))
        return told if base_form(verb) == verb else None  # "because this makes": that is not told
    shared = earlier.verb.split()[:1]
    if shared in (["be"], ["been"]) and found[at].part in PARTICIPLES | {"VVD"}:  # "must be covered and left alone"
        return replace(said, helper=earlier.helper, verb=f"{shared[0]} {verb}")
    if _is_passive(found, earlier) and _goes_on_passive(found, at):  # "was drained and used to store potatoes"
        done = replace(said, helper=earlier.helper, verb=verb)
        return done if base_form(verb) != verb else None  # "were drafted and run to forty pages"
    return said


def _is_passive(found: Sequence[Word], said: Predication) -> bool:
    """Whether something was done to the subject: "was drained"."""
    verb = next((word for word in found if word.end == said.verb_end), None)
    return said.helper in words.COPULAS and verb is not None and verb.part in {"VVN", "VVD"}


def _goes_on_passive(found: Sequence[Word], at: int) -> bool:
    """Whether a participle behind "and" shares the helper before it: no object follows it."""
    after = found[at + 1] if at + 1 < len(found) else None
    has_object = after is not None and (after.is_nominal or after.lower in words.DETERMINERS | words.PRONOUNS)
    return found[at].part == "VVN" and not has_object


def _named(found: Sequence[Word], said: Predication) -> Predication:
    """What "it" does, with the subject of the verb before in its place: "the shed, which it rents", "and it goes"."""
    earlier = predication(found, said.subject_start)
    deed = said.verb.split()[-1] if said.verb else ""
    if earlier is None or not deed or deed in words.IMPERSONAL or earlier.subject.lower() in words.PRONOUNS:
        return said
    return replace(said, subject=words.unowned(earlier.subject))


def _behind_relative(found: Sequence[Word], first: int) -> tuple[int, int] | None:
    """The subject's words where a relative clause stands between it and its verb at word `first`; None where none does.

    "A pot that is under pressure must": all of it. "Prowse, who leads the violins, repairs", and "The train that
    carried them was": what is before the clause.
    """
    apart = first > 0 and found[first - 1].text == ","
    own_verb = False
    for at in range(first - 1 - apart, 0, -1):
        word, before = found[at], found[at - 1]
        reduced = apart and before.text == "," and word.tag is Tag.NONFINITE  # "her thesis, published in 1916, was"
        inner = apart and word.lower in words.RELATIVE and before.text != ","  # of a noun inside the clause
        if (word.lower in words.RELATIVE and not inner) or reduced:
            own_verb = own_verb or reduced
            end = at - apart
            fits = before.text == "," if apart else before.is_nominal or before.lower in _ANYBODY
            lone = found[end - 1].lower in _ANYBODY
            begin = end - 1 if lone else _subject_start(found, end, whole=apart)
            leans = any(word.lower in words.PRONOUNS - words.RELATIVE for word in found[at:first])
            return (begin, end if apart or leans else first) if own_verb and fits and begin < end else None
        if word.text in {",", ";", ":", "("} or word.lower in {"and", "or", "but"}:
            return None
        own_verb = own_verb or _says(found, at)
    return None


def _behind_participle(found: Sequence[Word], first: int) -> tuple[int, int] | None:
    """The subject's words where a participle says more of it: "Vinegar diluted with ten parts of water removes"."""
    at = first - 1
    while at > 0 and (found[at].is_nominal or _adds(found[at]) or found[at].lower in words.DETERMINERS | {"one"}):
        at -= 1
    is_told = at + 1 < first and found[at].part in PARTICIPLES and _says(found, at)
    if not is_told or found[at].lower in words.NAMING:
        return None
    begin = _subject_start(found, at, whole=True)
    leans = any(word.lower in words.PRONOUNS for word in found[at:first])
    return (begin, at if leans else first) if begin < at else None


def _behind_adverbial(found: Sequence[Word], first: int) -> tuple[int, int] | None:
    """The subject's words where ", of striped wool," stands between it and its verb; an empty run where none do."""
    begin = _subject_start(found, first - 1, whole=False) if first and found[first - 1].text == "," else 0
    begin += found[begin].lower == "of"
    apart = begin > 2 and found[begin - 1].lower in words.PREPOSITIONS and found[begin - 2].text == ","
    if not apart or begin >= first - 1:
        return None
    return _subject_start(found, begin - 2, whole=True), begin - 2


def _antecedent(found: Sequence[Word], begin: int, end: int, first: int) -> tuple[int, int] | None:
    """Whom "who" behind words begin..end is said of, or what "that", where not of these: "a widow from Oss, who"."""
    if not 2 <= begin < end < first or found[begin - 1].lower not in words.PREPOSITIONS - {"of"}:
        return None
    is_name = all(word.is_capital for word in found[begin:end])
    phrase = " ".join(word.text for word in found[begin:end])
    relative = next((word.lower for word in found[end:first] if word.lower in words.RELATIVE), "")
    of_people = relative == "who"
    person = words.may_act(phrase) or (is_name and found[begin - 1].lower not in words.PLACE_PREPOSITIONS)
    if not relative or (of_people and person) or not (of_people or is_name):
        return None
    earlier = _subject_start(found, begin - 1, whole=False)
    told = " ".join(word.text for word in found[earlier : begin - 1])
    fits = earlier < begin - 1 and (not of_people or words.may_act(told) or found[earlier].is_capital)
    return (earlier, begin - 1) if fits else (begin, begin)


def _tells_of_clause(found: Sequence[Word], end: int, at: int) -> bool:
    """Whether ", which" and the verb at word `at` speak of all that is said before: "in April, which happens often"."""
    return found[end].text == "," and base_form(found[at].lower) in _OF_EVENTS


def _behind_apposition(found: Sequence[Word], first: int) -> tuple[int, int] | None:
    """The subject's words where ", a town on the coast," stands between it and its verb at word `first`."""
    comma = next((at for at in range(first - 2, 0, -1) if not _goes_on(found[at])), 0)
    if not comma or found[first - 1].text != "," or found[comma].text != "," or found[first - 2].is_capital:
        return None  # "The pilot, Tobias Renn, wears": of the name
    if found[comma + 1].lower not in words.ARTICLES and found[comma + 1].tag is not Tag.NUMBER:
        return None
    begin = _subject_start(found, comma, whole=True)
    return (begin, comma) if begin < comma else None


def _goes_on(word: Word) -> bool:
    """Whether a word may stand in what a comma adds: no mark and no verb."""
    return not word.is_verbal and word.tag is not Tag.MARK


def _is_object(found: Sequence[Word], begin: int, end: int) -> bool:
    """Whether nothing parts the phrase of words begin..end from a verb before it."""
    before = next((word for word in reversed(found[:begin]) if not _goes_on(word)), None)
    return begin < end and before is not None and before.tag is not Tag.MARK


def _told(found: Sequence[Word], at: int) -> Predication:
    """What an imperative asks for: "what should you rinse?", "what should you never rinse?"."""
    start, end = found[at].start, found[at].end
    verb = _denied([word.lower for word in found[max(0, at - 1) : at]], found[at].lower)
    return Predication(subject="you", helper=SHOULD, verb=verb, subject_start=start, verb_start=start, verb_end=end)


def _denied(before: Sequence[str], verb: str) -> str:
    """The verb of a command with the "not" or "never" of the words before it."""
    return " ".join([*(word for word in before if word in _DENYING), verb])


def _says(found: Sequence[Word], at: int) -> bool:
    """Whether a word says something of a noun: a helper, a full verb, or a participle ("a hut made of turf")."""
    if found[at].tag is not Tag.NONFINITE:
        return found[at].is_verbal
    return at > 0 and found[at].part in PARTICIPLES and found[at - 1].part.startswith("NN")


def _reduced(found: Sequence[Word], at: int) -> Predication | None:
    """What a participle says of the noun before it, as a clause of its own: "the hut was made of turf"."""
    begin = _subject_start(found, at, whole=False)
    if begin == at or found[at].lower in words.NAMING or _tells_which(found, begin, at):
        return None
    phrase = [word.text for word in found[begin:at]]
    if phrase[0].lower() in words.ARTICLES:
        phrase[0] = "the"
    past = any(word.lower in words.PAST_HELPERS or word.part == "VVD" for word in found)
    return Predication(
        subject=" ".join(phrase),
        helper=form_of_be(past=past, many=found[at - 1].part == "NN2"),
        verb=found[at].lower,
        subject_start=found[begin].start,
        verb_start=found[at].start,
        verb_end=found[at].end,
    )


def _tells_which(found: Sequence[Word], begin: int, at: int) -> bool:
    """Whether a participle only says of which things the verb behind it is true: "Kites bought in a shop may be"."""
    behind = takewhile(lambda word: word.tag is not Tag.MARK, found[at + 1 :])
    verb = next((word for word in behind if word.is_verbal), None)
    any_of_them = found[at - 1].part == "NN2" or found[begin].lower in {"a", "an"} | words.QUANTIFIERS
    return verb is not None and any_of_them and not (verb.lower in words.PAST_HELPERS or is_past(verb))


def _is_imperative(found: Sequence[Word], at: int) -> bool:
    """Whether a verb says what to do: at the beginning, or behind words that say when ("If it rains, ...")."""
    told = found[at].tag is Tag.VERB and base_form(found[at].lower) == found[at].lower
    if told and at > 1 and found[at - 1].lower == "not" and found[at - 2].lower == "do":
        at -= 2  # "Do not open it"
    if at == 0 or not told:
        return told
    if found[at - 1].text == "," and _is_imperative(found, 0):
        return True  # "Dissolve the salt in water, pour it into the tank"
    adverbial = found[0].lower in words.PREPOSITIONS | words.CONJUNCTIONS or found[0].part.startswith("AV")
    return adverbial and (found[at - 1].text == "," or all(words.is_adverb(word.text) for word in found[:at]))


def _are_many(phrase: Sequence[Word]) -> bool:
    nouns = [word for word in phrase if word.part.startswith("N")]
    return bool(nouns) and all(noun.part == "NN2" for noun in nouns)


def _is_one(verb: Word) -> bool:
    return verb.lower in {"is", "was", "has", "does"} or verb.part == "VVZ"


def _disagree(noun: Word, verb: Word) -> bool:
    """Whether a verb is about another noun than the one before it: "sheep with horns that eats seaweed"."""
    one = _is_one(verb)
    many = verb.lower in {"are", "were", "have", "do"}
    return (one and noun.part == "NN2") or (many and noun.part == "NN1")


def _parted(chain: Sequence[Word]) -> tuple[str, str]:
    """The helper before the subject of a question, and what of the verb stands behind it: did, build."""
    last, helpers = chain[-1], [word for word in chain if word.tag is Tag.HELPER]
    if last.tag is Tag.VERB:
        return (chain[0].lower if chain[0] in helpers else _helper_of(last)), _behind_subject(chain)
    if len(helpers) > 1:
        return helpers[0].lower, " ".join(word.lower for word in chain if word is not helpers[0])
    return _OWNING.get(last.lower, last.lower), "have" if last.lower in _OWNING else ""


def _helper_of(verb: Word) -> str:
    if is_past(verb):
        return "did"
    return "does" if verb.lower.endswith("s") else "do"


def _behind_subject(chain: Sequence[Word]) -> str:
    """What of a verb stands behind the subject of a question: of "has not been built" it is "not been built"."""
    if chain[0].tag is Tag.HELPER:
        return " ".join(word.lower for word in chain[1:])
    return " ".join([*(word.lower for word in chain[:-1]), base_form(chain[-1].lower)])


def _subject_start(found: Sequence[Word], end: int, *, whole: bool) -> int:
    """Where the noun phrase that ends before word `end` begins; `end` itself where there is none.

    `whole` takes in what a preposition adds to it ("children under eight"); before "who" only the last noun counts.
    """
    at = end
    while at > 0:
        word = found[at - 1]
        if at < end and begins_anew(found, at):
            break
        counts = at < end and found[at].tag is Tag.NUMBER and word.lower in {"about", "nearly", "almost", "some"}
        if word.is_nominal or counts or word.lower in {"of", "most", "least", "last", "next"}:
            at -= 1
        elif word.lower == "all" and at < end and found[at].part == "NP0":
            break  # "In all Ada Holm made"
        elif word.lower in words.DETERMINERS and word.part not in {"CJT", "PNQ"}:  # "that", where it is one
            at -= 1
            if not (at > 0 and _adds(found[at - 1]) and at > 1 and found[at - 2].is_nominal):
                break
        elif whole and _adds(word) and at > 1 and found[at - 2].is_nominal:
            at -= 1
        else:
            break
    if at == end and end > 0 and found[end - 1].lower in words.SUBJECT_PRONOUNS:
        return end - 1
    return at if any(word.is_nominal for word in found[at:end]) else end


def _adds(word: Word) -> bool:
    """Whether a preposition may add something to a noun, and begins no clause: no "until the light turns"."""
    return word.lower in words.PREPOSITIONS - {"until", "till", "since", "before", "after"}


def clause_end(found: Sequence[Word], place: int, end: int) -> int:
    """Where the clause around `place` ends: before a conjunction or a mark, or "and" with a verb soon behind it."""
    for at, word in enumerate(found):
        if word.start < place:
            continue
        new_verb = word.lower in {"and", "but", "or"} and _is_clause(found[at + 1 :])
        points = word.lower == "that" and word.part == "DT0"  # "in that direction"
        if (word.lower in _ENDS_CLAUSE and not points) or new_verb:
            return word.start
    return end


def _is_clause(joined: Sequence[Word]) -> bool:
    """Whether "and" joins what has a verb of its own: one soon behind it, or one behind a noun phrase alone."""
    phrase = takewhile(
        lambda word: word.is_nominal or word.lower in words.DETERMINERS or words.is_adverb(word.text), joined
    )
    subject = sum(1 for _ in phrase)
    return any(word.is_verbal for word in joined[: max(3, subject + 1)])
