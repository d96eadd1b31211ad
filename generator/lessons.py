"""Makes lessons out of human questions: `python -m generator.lessons`.

A lesson is a short document, what rules ask about it, and what people asked whose answers these teach. A primer
(`lift primer train`) learns from lessons how facts are found that were taught in other words.
"""

import asyncio
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from generator import matching
from generator.generation import Reading, SourceText
from generator.llm import Usage
from generator.pairs import Strategy
from generator.profiles import chosen_profile
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.raw import RunsStrategy
from generator.teaching_rows import can_be_asked
from generator.writers import Draft, Start
from lift import logs
from lift.cli.running import must_be_new, run
from lift.teaching import Lesson, Pair, Row, rows_of

LESSON_WORDS = 160  # about 60 pairs by rules: a few steps teach them
LEAST_ASKED = 4
MORE_WORDS = 2  # that a taught answer may have besides those of a person's
WINDOW_CHARACTERS = 600

app = typer.Typer(add_completion=False)


def lessons(rows: Sequence[Row], seed: int = 0) -> Iterator[Lesson]:
    """Each title's passages in turn, drawn at random, in lessons of about LESSON_WORDS."""
    shuffler = random.Random(seed)  # noqa: S311 - an order, no secret
    for title, same in groupby(sorted(rows, key=lambda row: (row.passage, row.question)), lambda row: row.title):
        of_title = list(same)
        passages = list(dict.fromkeys(f"{row.window} {row.sentence}".strip() for row in of_title))
        for taken in _documents(shuffler.sample(passages, len(passages))):
            lesson = _lesson(title, "\n\n".join(taken), of_title)
            if lesson is not None:
                yield lesson


def _documents(passages: Sequence[str]) -> Iterator[list[str]]:
    """Passages in groups of about LESSON_WORDS, none within another of its group."""
    taken: list[str] = []
    for passage in passages:
        if any(passage in other or other in passage for other in taken):
            continue
        taken.append(passage)
        if sum(len(each.split()) for each in taken) >= LESSON_WORDS:
            yield taken
            taken = []
    if taken:
        yield taken


def _lesson(title: str, text: str, rows: Iterable[Row]) -> Lesson | None:
    """None where too little that people asked is taught."""
    pairs = asyncio.run(_pairs(SourceText(title=title, text=text)))
    answers = [pair.answer for pair in pairs if pair.question]
    asked = {row.question: row for row in rows if row.sentence in text and can_be_asked(row)}
    taught = [(row.question, taught_as(row.answer, answers)) for row in asked.values()]
    found = tuple(Pair(question=question, answer=answer) for question, answer in taught if answer)
    return Lesson(title=title, pairs=tuple(pairs), asked=found) if len(found) >= LEAST_ASKED else None


def taught_as(answer: str, taught: Sequence[str]) -> str:
    """The shortest taught answer that holds the words of a person's and hardly more; "" where none does."""
    wanted = matching.normalised(answer)
    if not wanted:
        return ""
    words = {other: matching.normalised(other) for other in taught}
    held = (other for other in taught if matching.holds(words[other], wanted))
    return min((other for other in held if len(words[other]) <= len(wanted) + MORE_WORDS), key=len, default="")


async def _pairs(document: SourceText) -> list[Pair]:
    """What rules ask, and the text itself, as strategy `grounded+raw` has them."""
    profile = chosen_profile(
        strategy=GroundedStrategy.name,
        name="",
        pairs_per_sentence=0,
        custom_prompt="",
        required=frozenset(),
        allowed=frozenset(),
    )
    strategies: tuple[Strategy, ...] = (GroundedStrategy(profile=profile, writer=_Nobody()), RunsStrategy())
    reading = Reading([document], WINDOW_CHARACTERS)
    return [
        Pair(question=pair.question, answer=pair.answer)
        for passage in map(reading.passage, range(len(reading.plan)))
        for strategy in strategies
        async for pair in strategy.write(passage, Usage())
    ]


class _Nobody:
    """A writer that asks nothing, so that rules alone do."""

    stray_words = 0

    def rounds(self, *_: object) -> tuple[tuple[Start, ...], ...]:
        return ()

    async def proposals(self, *_: object) -> tuple[str, ...]:
        return ()

    async def questions(self, *_: object) -> list[Draft]:
        raise AssertionError("it was asked for no start")

    async def answers(self, *_: object) -> list[str]:
        raise AssertionError("it has written no question")


@app.command()
def make(
    data: Annotated[Path, typer.Option(help="Human questions as JSON lines: sentence, question, answer, ...")],
    out: Annotated[Path, typer.Option(help="File to write; it must not be there yet.")],
) -> None:
    """Make lessons for `lift primer train`."""
    must_be_new(out)
    made = list(lessons([row for _, row in rows_of(data.read_bytes())]))
    out.write_text("".join(f"{lesson.model_dump_json()}\n" for lesson in made), encoding="utf-8")
    counts = {"pairs": sum(len(each.pairs) for each in made), "asked": sum(len(each.asked) for each in made)}
    print(json.dumps({"lessons": len(made), **counts}))  # noqa: T201


if __name__ == "__main__":
    logs.configure(as_json=not sys.stderr.isatty(), role="lessons")
    run(app)
