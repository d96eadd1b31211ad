"""Turns texts into normalised words, and compares them: same answer, near-duplicate, given away, grounded, askable.

Words are normalised further than `lift.scoring` has them, which counts as SQuAD does: a number in words is one in
digits, and "the mill's" is "mill". Here it is told whether two texts say the same, not reported how well they agree.
"""

import re

from generator.english import words
from generator.english.numbers import in_digits
from generator.english.words import word_set
from lift import scoring

MIN_QUESTION_WORDS = 3
MAX_QUESTION_WORDS = 30
NEAR_DUPLICATE = 0.9
STRAY_WORDS = 1

_WORD = re.compile(r"\d[\d.,:]*\d|[^\W_]+")
_NAME = re.compile(r"(?<=\w )[A-Z]\w+")
_WANTING_A_NAME = frozenset({"he", "she", "him", "his", "her", "hers", "they", "them", "their", "its"})
_OWNED_BY = dict.fromkeys(("his", "her"), _NAME) | dict.fromkeys(
    ("its", "their"), re.compile(r"\b(?:the|an?|each|every) \w|(?<=\w )[A-Z]\w")
)
_NO_NOUN = words.PREPOSITIONS | words.AUXILIARIES | words.DETERMINERS | words.PRONOUNS | words.CONJUNCTIONS
_ENDINGS = ("ings", "ing", "ed", "es", "s", "e")
_ASKING = word_set(
    """
    what who when where why how which whom whose name names named called many much long far old big large tall
    wide heavy high deep often year month day date time kind type sort colour color animal number place person
    people thing use used happen happened make made get take takes took cost costs reason purpose located last
    occupation job weigh profession title age temperature percentage
    """
)


def normalised(text: str) -> list[str]:
    """Words in lower case, numbers in digits, without articles, thousands separators and possessive endings."""
    found = _WORD.findall(re.sub(r"['\u2019]s\b", "", text.lower()))
    return in_digits([word.replace(",", "") for word in found if word not in words.ARTICLES])


def telling(text: str) -> list[str]:
    """Normalised words that say something."""
    return [word for word in normalised(text) if word not in words.FUNCTION_WORDS]


def same_answer(given: str, wanted: str) -> bool:
    """Whether a reply gives the wanted words back: one holds the other as a run of words, or most words are common."""
    left, right = normalised(given), normalised(wanted)
    if not left or not right:
        return False
    shorter, longer = sorted((left, right), key=len)
    held = scoring.holds(longer, shorter) and 3 * len(shorter) >= len(longer)
    return held or scoring.f1_of(left, right) >= scoring.SAME_ANSWER_F1


def leans_on_pronoun(question: str) -> bool:
    """Whether a question says "he" or "their" where a reader who sees nothing else needs a name.

    "When did the orchestra give its first concert?" has said whose.
    """
    found = list(_WORD.finditer(question))
    for word, after in zip(found, [*found, None][1:], strict=True):
        pronoun, before = word.group().lower(), question[: word.start()]
        owned = pronoun in _OWNED_BY and after is not None and after.group().lower() not in _NO_NOUN
        if pronoun in _WANTING_A_NAME and not (owned and _OWNED_BY[pronoun].search(before)):
            return True
    return False


def can_be_asked(question: str, answer: str, source: str, stray_words: int = STRAY_WORDS) -> bool:
    """Whether this is a question that stands alone, speaks of the source, and does not hold its answer."""
    is_question = question.endswith("?") and question.count("?") == 1
    fits = MIN_QUESTION_WORDS <= len(question.split()) <= MAX_QUESTION_WORDS
    stands_alone = grounded(question, source, stray_words) and not leans_on_pronoun(question)
    return is_question and fits and stands_alone and not gives_away(question, answer)


def near_duplicate(question: str, others: list[str]) -> bool:
    """Whether a question differs from one of the others by hardly a word."""
    said = normalised(question)
    return any(scoring.f1_of(said, normalised(other)) >= NEAR_DUPLICATE for other in others)


def gives_away(question: str, answer: str) -> bool:
    """Whether a question holds its answer: all its words, or half of those that say something."""
    said = telling(answer)
    asked = set(normalised(question))
    held = sum(word in asked for word in said)
    return held > 0 and (held == len(said) or 2 * held > len(said))


def says_nothing_new(question: str, answer: str) -> bool:
    """Whether a question holds all words of its answer that say something, if there are any."""
    said = telling(answer)
    return bool(said) and set(said) <= set(normalised(question))


def grounded(question: str, source: str, stray_words: int = STRAY_WORDS) -> bool:
    """Whether a question speaks of the source alone: names and numbers occur there, other words but a few too."""
    stems = {stem(word) for word in normalised(source)}
    told = [word for word in telling(question) if word not in _ASKING]
    exact = [word for word in told if word[0].isdigit()] + normalised(" ".join(_NAME.findall(question)))
    strays = sum(stem(word) not in stems for word in told)
    return all(stem(word) in stems for word in exact) and strays <= stray_words and len(told) >= 2 * strays


def stem(word: str) -> str:
    """A word in lower case without its ending, as far as a few endings tell."""
    ending = next((end for end in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 3), "")
    return word.removesuffix(ending)
