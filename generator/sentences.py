"""Turns a document's text into the places of its sentences, and a sentence into the passage that an LLM is shown.

Every letter and digit of the text is in exactly one sentence or in a Markdown heading. Headings are no sentences, they
are part of the window of what follows; a document of headings alone is read line by line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sentencex

from generator.words import word_set

MAX_SENTENCE_CHARACTERS = 600
LANGUAGE_SAMPLE_CHARACTERS = 4000
SECTION_SENTENCES = 12

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_HEADING = re.compile(r" {0,3}#{1,6}\s+\S")
_UNDERLINE = re.compile(r" {0,3}(?:={3,}|-{3,})\s*\Z")
_ITEM = re.compile(r"[\s>]*(?:[-*+•]|\d{1,3}[.)])\s+|\s*\|\s*|[\s>]+")
_MARKS = re.compile(r"^[ \t]*(?:#+|>|[-*+•|]|\d{1,3}[.)]|```\w*|[=-]{3,}|[|:-]+)(?:[ \t]+|$)|[ \t]*\|$", re.MULTILINE)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_SAID = re.compile(r"[^\W_]")
_ENDED = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"')\]\u201d\u2019\u00bb]*\s*\Z")
_CUTS = (re.compile(r"[;:\u3002\uff1b\uff1a]\s*"), re.compile(r"[,\uff0c\u3001]\s*"), re.compile(r"\s+"))

_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hy", re.compile(r"[\u0530-\u058f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("am", re.compile(r"[\u1200-\u137f]")),
    ("my", re.compile(r"[\u1000-\u109f]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
_COMMON_WORDS = {
    "en": word_set("the and of to in is was that with for"),
    "de": word_set("der die und das ist nicht mit ein von den"),
    "fr": word_set("le la les et des est une dans que pour"),
    "es": word_set("el la los y las es una en que por"),
    "it": word_set("il la di che è una per del con gli"),
    "pt": word_set("o os e as é uma em que não para"),
    "nl": word_set("de het een van en is niet met op dat"),
    "pl": word_set("i w na nie się z jest do że to"),
    "sv": word_set("och att det som en är av för på inte"),
    "da": word_set("og at det som en er af for på ikke"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePlace:
    """Code points start..end of its document's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A sentence as an LLM is shown it: with the text before it, so that pronouns resolve.

    `preceding` are the whole sentences of the window, the nearest last. `section`: the sentences of the section that
    this one ends, itself included; empty where it ends none. `person`: whom its first "he" or "she" stands for.
    `familiar`: stems of words that its document says all the time.
    """

    title: str
    window: str
    sentence: str
    preceding: tuple[str, ...] = ()
    section: tuple[str, ...] = ()
    person: str = ""
    familiar: frozenset[str] = frozenset()


def sentence_places(text: str) -> tuple[SentencePlace, ...]:
    """The sentences of a text in order, none empty: each begins and ends with what is said, without white space."""
    language = guess_language(text[:LANGUAGE_SAMPLE_CHARACTERS])
    blocks = list(_blocks(text)) or [match.span() for match in _LINE.finditer(text)]
    return tuple(place for start, end in blocks for place in _sentences(text, start, end, language))


def passage_of(*, title: str, text: str, places: tuple[SentencePlace, ...], at: int, window_characters: int) -> Passage:
    """The sentence at position `at`, with at most `window_characters` before it: whole sentences where one fits."""
    place = places[at]
    first = at
    while first > 0 and place.start - places[first - 1].start <= window_characters:
        first -= 1
    earliest = max(0, place.start - window_characters)
    if first < at or at == 0:
        start = max(earliest, places[first - 1].end if first else 0)  # what stands between is a heading or white space
    else:
        start = max(earliest, text.find(" ", earliest, place.start))
    return Passage(
        title=title,
        window=_plain(text[start : place.start]),
        sentence=said_at(text, place),
        preceding=tuple(said_at(text, before) for before in places[first:at]),
        section=tuple(said_at(text, said) for said in places[_section_start(at, len(places)) : at + 1]),
    )


def said_at(text: str, place: SentencePlace) -> str:
    """The sentence on one line, without Markdown's marks."""
    return _plain(text[place.start : place.end])


def _section_start(at: int, sentences: int) -> int:
    """Where the section begins that sentence `at` ends, just after it where it ends none. Sections are equally long."""
    sections = -(-sentences // SECTION_SENTENCES)
    ended = (at + 1) * sections // sentences
    if ended == at * sections // sentences:
        return at + 1
    return -(-(ended - 1) * sentences // sections)


def _plain(text: str) -> str:
    """The text on one line, without Markdown's marks: few-shot prompts are lines."""
    return " ".join(_MARKS.sub("", text).split())


def guess_language(text: str) -> str:
    """A language code that sentencex knows: by script where that tells, else by the most common words; else "en"."""
    letters = sum(1 for character in text if character.isalpha())
    for language, script in _SCRIPTS:
        if len(script.findall(text)) * 5 > letters:
            return language
    found = re.findall(r"[^\W\d_]+", text.lower())
    counts = {language: sum(word in common for word in found) for language, common in _COMMON_WORDS.items()}
    return max(counts, key=lambda language: counts[language])


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs, list items and table rows of Markdown or plain text, as start and end; no headings, no fences."""
    start = end = lines = 0
    for match in _LINE.finditer(text):
        line = match.group()
        is_title = lines == 1 and _UNDERLINE.match(line) and not _ENDED.search(text[start:end])
        item = _ITEM.match(line)
        if is_title:
            lines = 0
        elif not line.strip() or _HEADING.match(line) or _FENCE.match(line):
            if lines:
                yield start, end
            lines = 0
        elif item and item.group().strip():
            if lines:
                yield start, end
            start, end, lines = match.start() + item.end(), match.end(), 1
        else:
            start = start if lines else match.start()
            end, lines = match.end(), lines + 1
    if lines:
        yield start, end


def _sentences(text: str, start: int, end: int, language: str) -> Iterator[SentencePlace]:
    flat = text[start:end].replace("\n", " ")  # a wrapped line ends no sentence
    for found in sentencex.get_sentence_boundaries(language, flat):
        for piece_start, piece_end in _cut(flat, found["start_index"], found["end_index"]):
            said = flat[piece_start:piece_end]
            if _SAID.search(said):
                lead = len(said) - len(said.lstrip())
                yield SentencePlace(start=start + piece_start + lead, end=start + piece_start + len(said.rstrip()))


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Pieces of at most MAX_SENTENCE_CHARACTERS: cut after a semicolon, a comma, white space, or else anywhere."""
    while end - start > MAX_SENTENCE_CHARACTERS:
        limit = start + MAX_SENTENCE_CHARACTERS
        ends = (max((m.end() for m in cut.finditer(text, start + 1, limit)), default=0) for cut in _CUTS)
        middle = start + MAX_SENTENCE_CHARACTERS // 2
        at = next((found for found in ends if found > middle), limit)
        yield start, at
        start = at
    yield start, end
