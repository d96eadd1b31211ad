"""Reads a text for the people in it, and whom "he" and "she" stand for.

No coreference model: names and pronouns decide. A name that the text has called "she" is "she" from then on.
"""

from collections.abc import Sequence

from generator.english import words
from generator.english.tagger import Word, tagged_words, verb_start
from generator.rules.openings import is_person
from generator.rules.spans import AnswerSpan, SpanKind, answer_spans

MALE = frozenset({"he", "him", "his", "himself"})
FEMALE = frozenset({"she", "her", "hers", "herself"})
REMEMBERED = 64  # people; who was not mentioned for longest is forgotten first


class People:
    """The people of a text while its sentences are read in order, and so whom "he" and "she" stand for."""

    def __init__(self) -> None:
        self._met: list[str] = []  # the one mentioned last is the last
        self._pronouns: dict[str, frozenset[str]] = {}
        self._beside: dict[str, set[str]] = {}  # of whom the sentence was told that somebody was first named in
        self._before: frozenset[str] = frozenset()  # words of the sentence before

    def meant(self, sentence: str) -> str:
        """Reads the next sentence: whom its first he, she, his or her stands for; empty where nobody fits."""
        spoken = tagged_words(sentence)
        pronoun = next((word for word in spoken if word.lower in MALE | FEMALE), None)
        meant = self._behind(pronoun, sentence) if pronoun else ""
        told_of = self._told_of(sentence, spoken)
        for name in (*reversed(people_of(sentence)), meant):
            self._beside.setdefault(self._full(name), told_of - {self._full(name)})
            self._mention(name)
        self._before = frozenset(word.lower for word in spoken)
        return meant

    def _told_of(self, sentence: str, spoken: Sequence[Word]) -> set[str]:
        """Those that the sentence names before its verb, and who its first word is, if that was met."""
        verb = verb_start(sentence)
        named = {self._full(span.text) for span in names_of(sentence) if span.start < verb}
        return named | ({self._full(word.text) for word in spoken[:1]} & {*self._met})

    def _behind(self, pronoun: Word, sentence: str) -> str:
        """A name before "he" or "who ... his" in the sentence itself, or one that was met."""
        kind = MALE if pronoun.lower in MALE else FEMALE
        before = sentence[: pronoun.start]
        named = [name for name in map(self._full, people_of(before)) if self._pronouns.get(name, kind) == kind]
        told = any(known == kind for known in self._pronouns.values())
        refers_back = pronoun.lower in {"he", "she"} or " who " in before or not told
        meant = named[-1] if named and refers_back else self._fitting(kind)
        if meant:
            self._pronouns[meant] = kind
        return meant

    def _full(self, name: str) -> str:
        """The name as it was first said, of which this may be a part."""
        return next((met for met in reversed(self._met) if name in {met, *met.split()}), name)

    def _mention(self, name: str) -> None:
        known = self._full(name)
        others = [met for met in self._met if met != known]
        self._met = [*others, known][-REMEMBERED:] if known else others

    def _fitting(self, pronouns: frozenset[str]) -> str:
        """The one met last, but one who was "she" before where the last sentence already spoke of a "her".

        Nor one who was first named in what was told of a "she": "Ada Holm married a smith, Tom Reed."
        """
        fitting = [name for name in reversed(self._met) if self._pronouns.get(name, pronouns) == pronouns]
        known = {name for name in fitting if name in self._pronouns}
        fitting.sort(key=lambda name: name not in known and bool(self._beside[name] & known))
        if self._before & pronouns:
            fitting.sort(key=lambda name: name not in self._pronouns)
        return next(iter(fitting), "")


def people_of(sentence: str) -> list[str]:
    """Names of the sentence that are no places, of two words or its subject, in order."""
    verb = verb_start(sentence)
    return [span.text for span in names_of(sentence) if " " in span.text or span.start < verb]


def names_of(sentence: str) -> Sequence[AnswerSpan]:
    """Names that are no places: not behind "in", "at" and the like."""
    named = (span for span in answer_spans(sentence) if span.kind is SpanKind.NAME and is_person(span))
    return [span for span in named if not _is_placed(sentence[: span.start])]


def _is_placed(before: str) -> bool:
    last = before.lower().split()[-2:]
    if last and last[-1] in words.PRONOUNS:
        return False  # "Near the end of it Ada Holm stood"
    return not before.rstrip().endswith(",") and any(
        word in words.PLACE_PREPOSITIONS | {"of", "called"} for word in last
    )
