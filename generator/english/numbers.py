"""Turns numbers in words into digits, so that "fourteen" and "14" compare as the same answer."""

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: value for value, word in enumerate(_SMALL)} | {word: 20 + 10 * at for at, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}


def in_digits(found: list[str]) -> list[str]:
    """The words with each run of number words as one number in digits: [two, hundred, jars] is [200, jars]."""
    result: list[str] = []
    total = part = 0
    inside = False
    for word in [*found, ""]:
        if word in _VALUES:
            part, inside = part + _VALUES[word], True
        elif word in _SCALES and inside:
            part *= _SCALES[word]
            if word != "hundred":
                total, part = total + part, 0
        else:
            if inside:
                result.append(str(total + part))
                total, part, inside = 0, 0, False
            result.append(word)
    return result[:-1]
