"""Rows of human questions, which question writers are taught on: JSON lines, read here once for all who take them."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lift.errors import InvalidOption


class Row(BaseModel):
    """A question that a person wrote about a sentence, and the words of the sentence that answer it.

    `window` is the text before the sentence.
    """

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    title: str = ""
    window: str = ""
    sentence: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)

    @property
    def passage(self) -> tuple[str, str, str]:
        """What rows about one sentence share."""
        return self.title, self.window, self.sentence


def rows_of(content: bytes) -> Iterator[tuple[bytes, Row]]:
    """Each line that is not empty, without its end, and its row. InvalidOption: a line that is no row."""
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield line, Row.model_validate_json(line)
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            raise InvalidOption(option="--data", line=number, field=where, problem=wrong["msg"]) from error
