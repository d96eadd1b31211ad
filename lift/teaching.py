"""What adapters that no tenant owns are taught on, as JSON lines: rows of human questions, and lessons."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Generic, Self, TypeVar
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(Generic[Item]):
    """What to learn from, what of other titles to measure on, and the SHA-256 of the file that it comes from."""

    taught: list[Item]
    held_out: list[Item]
    sha256: str

    @classmethod
    def read(cls, file: Path, items_of: Callable[[bytes], Sequence[Item]], title: Callable[[Item], str]) -> Self:
        """Holds out the items of about one title in HELD_OUT_TITLES; where that would be all, they are learned as well.

        InvalidOption: there is none, or `items_of` finds a line that is none.
        """
        content = file.read_bytes()
        items = list(items_of(content))
        if not items:
            raise InvalidOption(option="--data", value=str(file), problem="there is nothing in it")
        measured = [item for item in items if _is_held_out(title(item))]
        taught = [item for item in items if not _is_held_out(title(item))] or items
        return cls(taught=taught, held_out=measured, sha256=sha256(content).hexdigest())


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
