"""Reads texts that were asked about sentence by sentence, as rows that a question writer is taught on.

A line of such a text begins with what it is: T a title, S a sentence of the text, Q a question about it, ` | `, and its
answer in words of the sentence. Where sentences are taken from elsewhere, B says what stands before the next one.
"""

from collections.abc import Iterator
from pathlib import Path

from generator.writers import TAUGHT_SENTENCES
from lift.errors import InvalidOption
from lift.teaching import Row

ANSWER = " | "


def rows_of_folder(folder: Path) -> Iterator[Row]:
    """The rows of a folder's texts, by name.

    InvalidOption: it holds none, one that is not UTF-8, or a line that is not as above.
    """
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise InvalidOption(option="--documents", value=str(folder), problem="it holds no texts (*.txt)")
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InvalidOption(option="--documents", value=file.name, expected="UTF-8") from error
        yield from rows_of_text(text, file.name)


def rows_of_text(text: str, name: str) -> Iterator[Row]:
    """The rows of one text. InvalidOption: a line that is not as above; `name` says in which file."""
    title, sentences, before = "", [""], ""
    for number, line in enumerate(text.splitlines(), start=1):
        kind, _, said = line.partition(" ")
        match kind:
            case "T":
                title, sentences, before = said, [""], ""
            case "B":
                sentences, before = [""], said
            case "S":
                sentences.append(said)
            case "Q":
                question, _, answer = said.rpartition(ANSWER)
                at = sentences[-1].lower().find(answer.lower())
                if not question or not answer or at < 0:
                    problem = "a question, ' | ' and an answer in words of its sentence are wanted"
                    raise InvalidOption(option="--documents", value=name, line=number, problem=problem)
                window = " ".join(filter(None, (before, *sentences[1:-1][-TAUGHT_SENTENCES:])))
                as_said = sentences[-1][at : at + len(answer)]
                yield Row(title=title, window=window, sentence=sentences[-1], question=question, answer=as_said)
            case "":
                continue
            case _:
                problem = "a line begins with T, B, S or Q"
                raise InvalidOption(option="--documents", value=name, line=number, problem=problem)
