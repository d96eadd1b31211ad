"""Finds keywords in answers, whole or as the beginnings of words, however they are set."""

import re
import unicodedata

SHORT = 3
"""A keyword of so many letters begins too many words, as "no" begins "north"."""

_UNITS = "one two three four five six seven eight nine"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TEENS = "zero ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_COUNTED = "|".join(f"{_UNITS} {_TEENS} {_TENS}".split())
_NUMBER = f"(?:{_COUNTED}|hundred|thousand|million|billion)"
_BEFORE = re.compile(rf"(?<!\w){_NUMBER} \Z")
_BEGINS, _ENDS = re.compile(rf"(?:{_COUNTED})(?!\w)"), re.compile(rf"(?<!\w){_NUMBER}\Z")

_SET = (
    (re.compile("[\u2018\u2019\u02bc]"), "'"),
    (re.compile("[\u2010-\u2013]"), "-"),
    (re.compile(r"(?<=\d)[,\u00a0\u2009\u202f](?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<!\w)(dr|mr|mrs|ms|prof|st|[^\W\d_])\."), r"\1"),
    (re.compile(r"\s+"), " "),
    (re.compile(rf"(?<!\w)({_TENS.replace(' ', '|')})-(?=(?:{_UNITS.replace(' ', '|')})(?!\w))"), r"\1 "),
)
"""How one text is set, and how it is read."""


def has(answer: str, keyword: str) -> bool:
    """Whether a keyword stands in an answer: as a word or the beginning of one, in any case.

    One of at most SHORT letters is a whole word, or its plural. A number, in digits or in words, is not looked for
    inside a longer one. A line's end is a space, and quotation marks, dashes, separators of thousands and the points of
    "Dr." and of initials make no difference.
    """
    text, wanted = _folded(answer), _folded(keyword)
    before = r"(?<!\d)(?<!\d[.,])" if wanted[:1].isdigit() else r"(?<!\w)" if wanted[:1].isalpha() else ""
    found = re.finditer(f"{before}{re.escape(wanted)}{_after(wanted)}", text)
    if not _BEGINS.match(wanted):
        return any(found)
    return any(not _BEFORE.search(text[: match.start()]) for match in found)


def _after(wanted: str) -> str:
    """What must not follow a keyword."""
    if wanted[-1:].isdigit():
        return r"(?!\d)(?![.,]\d)"
    if _ENDS.search(wanted):
        return rf"(?!\w)(?! {_NUMBER}(?!\w))"
    if wanted.isalpha() and len(wanted) <= SHORT:
        return r"s?(?!\w)" if len(wanted) == SHORT else r"(?!\w)"
    return ""


def _folded(text: str) -> str:
    read = unicodedata.normalize("NFC", text).casefold()
    for pattern, instead in _SET:
        read = pattern.sub(instead, read)
    return read.strip()
