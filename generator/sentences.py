"""Turns a document's text into the places of its sentences, and a sentence into the passage that an LLM is shown.

Every letter and digit of the text is in exactly one sentence or in a Markdown heading. Headings are no sentences, they
are part of the window of what follows; a document of headings alone is read line by line.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sentencex

from generator.english.words import word_set

MAX_SENTENCE_CHARACTERS = 600
SPLIT_CHARACTERS = 6 * MAX_SENTENCE_CHARACTERS  # the splitter takes quadratic time where quotations do not end
AHEAD_CHARACTERS = MAX_SENTENCE_CHARACTERS * 3 // 2  # a quotation as long as that is read to its end
LANGUAGE_SAMPLE_CHARACTERS = 4000
SECTION_SENTENCES = 12

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_HEADING = re.compile(r" {0,3}#{1,6}\s+\S")
_UNDERLINE = re.compile(r" {0,3}(?:={3,}|-{3,})\s*\Z")
_NUMBER = re.compile(r"[\s>]*(\d{1,3})[.)]\s")
_WRAPPED_NUMBER = re.compile(r"\n(?=[ \t]*\d)")
_ITEM = re.compile(r"[\s>]*(?:[-*+•]|\d{1,3}[.)])\s+|\s*\|\s*|[\s>]+")
_MARKS = re.compile(r"^[ \t]*(?:#+|>|[-*+•|]|\d{1,3}[.)]|```\w*|[=-]{3,}|[|:-]+)(?:[ \t]+|$)|[ \t]*\|$", re.MULTILINE)
_RECORD = re.compile(r"[ \t]*(?![a-z])(?:[^\s:]+[ \t]+){0,3}[^\s:]+:[*_]*[ \t]+\S")
_RULE = re.compile(r"[ \t]*:?-+:?(?:[ \t]*\|[ \t]*:?-+:?)+[ \t|]*(?:\n|\Z)")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_SPACE = re.compile(r"\s")
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
        window=_plain("".join(_unwrapped(text, places[max(first - 1, 0) : at], start, place.start))),
        sentence=said_at(text, place),
        preceding=tuple(said_at(text, before) for before in places[first:at]),
        section=tuple(said_at(text, said) for said in places[_section_start(at, len(places)) : at + 1]),
    )


def said_at(text: str, place: SentencePlace) -> str:
    """The sentence on one line, without Markdown's marks."""
    return _plain(_part(text, place.start, place.end))


def _unwrapped(text: str, places: Sequence[SentencePlace], start: int, end: int) -> Iterator[str]:
    """The text from start to end piece by piece, which holds parts of these sentences alone."""
    for place in places:
        yield text[start : place.start]
        yield _part(text, max(start, place.start), place.end)
        start = max(start, place.end)
    yield text[start:end]


def _part(text: str, start: int, end: int) -> str:
    """A part of a sentence. A wrapped line of it that begins with a number begins no list item."""
    return _WRAPPED_NUMBER.sub(" ", text[start:end])


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
    """Paragraphs, list items and table rows of Markdown or plain text, as start and end; no headings, no fences.

    Lines such as "Capital: Oss" that follow one another are records, each a block of its own.
    """
    start = end = lines = 0
    before, in_list, in_table = "", False, False
    for match in _LINE.finditer(text):
        line = match.group()
        is_title = lines == 1 and _UNDERLINE.match(line) and not _ENDED.search(before)
        is_rule = _RULE.match(line)
        in_table = bool(is_rule) or (in_table and "|" in line)
        if is_title or is_rule or not line.strip() or _HEADING.match(line) or _FENCE.match(line):
            if lines and not is_title:
                yield start, end
            lines = 0
            continue
        mark = _mark(line)
        if lines and _goes_on(line, before, in_list):
            mark = 0
        is_row = in_table or ("|" in line and _RULE.match(text, match.end()))
        if mark or is_row or not lines or (_RECORD.match(before) and _RECORD.match(line)):
            if lines:
                yield start, end
            start, lines, in_list = match.start() + mark, 0, bool(mark and _NUMBER.match(line))
        end, lines, before = match.end(), lines + 1, line
    if lines:
        yield start, end


def _mark(line: str) -> int:
    """How many characters mark the line as an item, a row or a quotation."""
    item = _ITEM.match(line)
    return item.end() if item and item.group().strip() else 0


def _goes_on(line: str, before: str, in_list: bool) -> bool:
    """Whether a line that begins with a number goes on with the sentence before: "when he was", "84. It has ..."."""
    number = _NUMBER.match(line)
    if number is None or number[1] == "1" or in_list:  # as in CommonMark, a list that begins with 1 ends a paragraph
        return False
    return not before.rstrip().endswith((":", "\uff1a")) and not _ENDED.search(before)


def _sentences(text: str, start: int, end: int, language: str) -> Iterator[SentencePlace]:
    flat = _SPACE.sub(" ", text[start:end])  # a wrapped line ends no sentence; and some spaces the splitter falls over
    for found_start, found_end in _split(flat, language):
        for piece_start, piece_end in _cut(flat, found_start, found_end):
            said = flat[piece_start:piece_end]
            if _SAID.search(said):
                lead = len(said) - len(said.lstrip())
                yield SentencePlace(start=start + piece_start + lead, end=start + piece_start + len(said.rstrip()))


def _split(text: str, language: str) -> Iterator[tuple[int, int]]:
    """The splitter's sentences, found SPLIT_CHARACTERS at a time: each begins where the one before it ended."""
    at = 0
    while at < len(text):
        limit = at + SPLIT_CHARACTERS
        is_last = limit >= len(text)
        if not is_last:
            limit = text.rfind(" ", limit - AHEAD_CHARACTERS, limit) + 1 or limit
        boundaries = sentencex.get_sentence_boundaries(language, text[at:limit])
        found = [(at + boundary["start_index"], at + boundary["end_index"]) for boundary in boundaries]
        if not is_last:
            found = [place for place in found if place[1] <= limit - AHEAD_CHARACTERS] or found[:1]
        yield from found
        at = found[-1][1]


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
