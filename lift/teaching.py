"""What adapters that no tenant owns are taught on, as JSON lines: rows of human questions, and lessons."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lift.errors import InvalidOption

HELD_OUT_TITLES = 16

Kind = TypeVar("Kind", bound=BaseModel)
Item = TypeVar("Item")


class Row(BaseModel):
    """A question that a person wrote about a sentence, and the words of the sentence that answer it.

    `window` is the text before the sentence.
    """

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    title: str = ""
    window: str = ""
    sentence: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)

    @property
    def passage(self) -> tuple[str, str, str]:
        """What rows about one sentence share."""
        return self.title, self.window, self.sentence


class Pair(BaseModel):
    """A question and its answer; text that is to be learned as it stands has no question."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    question: str
    answer: str = Field(min_length=1)


class Lesson(BaseModel):
    """A short document as pairs, and what people asked about the same facts. A primer is taught on lessons."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    title: str = ""
    pairs: tuple[Pair, ...] = Field(min_length=1)
    asked: tuple[Pair, ...] = Field(min_length=1)


def held_out(items: Sequence[Item], title: Callable[[Item], str]) -> tuple[list[Item], list[Item]]:
    """What to learn from, and what to measure on: the items of about one title in HELD_OUT_TITLES.

    Where that would be all of them, they are learned as well.
    """
    measured = [item for item in items if _is_held_out(title(item))]
    return [item for item in items if not _is_held_out(title(item))] or list(items), measured


def rows_of(content: bytes) -> Iterator[tuple[bytes, Row]]:
    """Each line that is not empty, without its end, and its row. InvalidOption: a line that is no row."""
    yield from _read(content, Row)


def lessons_of(content: bytes) -> Iterator[Lesson]:
    """The lesson of each line that is not empty. InvalidOption: a line that is none."""
    return (lesson for _, lesson in _read(content, Lesson))


def _is_held_out(title: str) -> bool:
    return crc32(title.encode()) % HELD_OUT_TITLES == 0


def _read(content: bytes, kind: type[Kind]) -> Iterator[tuple[bytes, Kind]]:
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield line, kind.model_validate_json(line)
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            raise InvalidOption(option="--data", line=number, field=where, problem=wrong["msg"]) from error
