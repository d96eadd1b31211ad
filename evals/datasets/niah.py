"""Turns a text into haystacks with a needle (Kamradt, 2023), one case for each length and depth.

Needle, question and the three keywords that must all be in the answer are those of the LIFT paper, section 4.1.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, cycle, islice
from pathlib import Path

from evals.cases import Case, Document, Question, digest_of
from evals.datasets.reading import text_of
from evals.datasets.squad import articles
from evals.sentences import pieces
from lift.errors import InvalidOption

NEEDLE = "The best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day."
QUESTION = "What is the best thing to do in San Francisco?"
REFERENCE = "eat a sandwich and sit in Dolores Park on a sunny day"
KEYWORDS = (("sandwich",), ("Dolores Park",), ("sunny",))
SAMPLE_CHARACTERS = 4000
STRAW_CHARACTERS = 200
TOLERANCE = 0.1
"""Of a haystack's length, by which whole sentences may miss it."""


def niah(
    files: Sequence[Path],
    *,
    lengths: Sequence[int],
    depths: Sequence[int],
    instances: int,
    tokens: Callable[[str], int],
) -> tuple[Case, ...]:
    """Cases for each length in tokens, depth in percent, and instance, which has other text around the needle.

    files: texts, folders of texts (*.txt), or SQuAD's JSON for its paragraphs; what is too short is repeated. tokens:
    counts those of a text. InvalidOption, DataMalformed.
    """
    if not all(0 <= depth <= 100 for depth in depths) or not all(length >= 100 for length in lengths):
        raise InvalidOption(option="depths or lengths", expected="percentages, and lengths of at least 100 tokens")
    text = "\n\n".join(map(_text, files))
    sample = text[:SAMPLE_CHARACTERS]
    characters_per_token = len(sample) / tokens(sample)
    straw = pieces(text, STRAW_CHARACTERS)
    if instances > len(straw):
        raise InvalidOption(option="instances", value=instances, expected=f"at most {len(straw)}, the text's sentences")
    return tuple(
        _case(straw, length, int(length * characters_per_token), depth, instance * len(straw) // instances)
        for instance in range(instances)
        for length in lengths
        for depth in depths
    )


def haystack(straw: Sequence[str], characters: int, depth: int, start: int) -> str:
    """Sentences from the start-th on, as near to so many characters as they come, the needle after `depth` percent.

    The last sentence is cut where whole ones would miss the length by more than TOLERANCE. InvalidOption: it is missed.
    """
    room = max(0, characters - len(NEEDLE))
    kept = _filling(straw, room, start)
    length = sum(len(sentence) + 1 for sentence in kept)
    short = room - (length - len(kept[-1]) - 1)  # without the last one
    if min(short, length - room) > TOLERANCE * characters:
        kept[-1] = kept[-1][: short - 1]
    elif short < length - room:
        kept.pop()
    text = _with_needle(kept, depth)
    if abs(len(text) - characters) > TOLERANCE * characters:
        raise InvalidOption(option="lengths", problem="too short for the needle and some of the text")
    return text


def _filling(straw: Sequence[str], characters: int, start: int) -> list[str]:
    """As many sentences, from the start-th on and again from the first, as make so many characters, at least one."""
    kept: list[str] = []
    length = 0
    for sentence in islice(cycle(straw), start, None):
        kept.append(sentence)
        length += len(sentence) + 1
        if length >= characters:
            break
    return kept


def _with_needle(kept: Sequence[str], depth: int) -> str:
    ends = [0, *accumulate(len(sentence) + 1 for sentence in kept)]
    place = min(range(len(ends)), key=lambda i: abs(ends[i] - ends[-1] * depth / 100))
    return " ".join([*kept[:place], NEEDLE, *kept[place:]])


def _case(straw: Sequence[str], length: int, characters: int, depth: int, start: int) -> Case:
    text = haystack(straw, characters, depth, start)
    question = Question(
        id=digest_of(text, QUESTION, str(length), str(depth)),  # two cells may come to one haystack
        text=QUESTION,
        references=(REFERENCE,),
        keywords=KEYWORDS,
        labels={"length": str(length), "depth": str(depth)},
    )
    return Case(document=Document(title=f"haystack {length} {depth}", text=text), questions=(question,))


def _text(path: Path) -> str:
    if path.is_dir():
        texts = [text_of(file) for file in sorted(path.glob("*.txt"))]
        if not texts:
            raise InvalidOption(option="data", value=str(path), problem="no *.txt in this folder")
        return "\n\n".join(texts)
    if path.suffix != ".json":
        return text_of(path)
    return "\n\n".join(text for _, paragraphs in articles(path) for text, _ in paragraphs)
