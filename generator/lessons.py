"""Makes lessons of human questions and of texts that were asked about: `python -m generator.lessons`.

A lesson is a short document, what rules ask about it, and what people asked whose answers these teach. Where a fact was
asked for more than once (`asked`), its first question may be taught as well, as a question writer would ask. A primer
(`lift primer train`) learns from lessons how facts are found that were taught in other words.
"""

import asyncio
import json
import random
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from generator import matching
from generator.asked import rows_of_folder
from generator.generation import Reading, SourceText
from generator.llm import Usage
from generator.pairs import Strategy
from generator.profiles import chosen_profile
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.raw import RunsStrategy
from generator.teaching_rows import can_be_asked
from generator.writers import Draft
from lift import logs
from lift.commands import must_be_new, run
from lift.errors import InvalidOption
from lift.scoring import holds
from lift.teaching import Lesson, Pair, Row, rows_of

LESSON_WORDS = 160  # about 60 pairs by rules: a few steps teach them
LEAST_ASKED, MOST_ASKED = 4, 48
TAUGHT_SHARE = 0.6  # of what was asked for in several wordings, the first of which is taught then
MORE_WORDS = 2  # that a taught answer may have besides those of a person's
WINDOW_CHARACTERS = 600

app = typer.Typer(name="python -m generator.lessons", add_completion=False, pretty_exceptions_enable=False)


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


def reworded(rows: Sequence[Row], seed: int = 0) -> Iterator[Lesson]:
    """Each title's sentences in turn, in lessons of about LESSON_WORDS; rows of a title are in its order."""
    shuffler = random.Random(seed)  # noqa: S311 - a choice, no secret
    for title, same in groupby(rows, lambda row: row.title):
        of_sentence = {sentence: list(asked) for sentence, asked in groupby(same, lambda row: row.sentence)}
        for taken in _documents(list(of_sentence)):
            lesson = _reworded(title, {sentence: of_sentence[sentence] for sentence in taken}, shuffler)
            if lesson is not None:
                yield lesson


def _reworded(title: str, of_sentence: Mapping[str, Sequence[Row]], shuffler: random.Random) -> Lesson | None:
    """None where too little is asked."""
    pairs = asyncio.run(_pairs(SourceText(title=title, text=" ".join(of_sentence))))
    answers = [pair.answer for pair in pairs if pair.question]
    asked: list[Pair] = []
    for rows in of_sentence.values():
        for answer, questions in _wordings(rows).items():
            is_taught = len(questions) > 1 and shuffler.random() < TAUGHT_SHARE
            if is_taught:
                pairs.append(Pair(question=questions.pop(0), answer=answer))
            known = answer if is_taught else taught_as(answer, answers)
            asked += [Pair(question=question, answer=known) for question in questions if known]
    said = {pair.question for pair in pairs}
    asked = [pair for pair in asked if pair.question not in said]
    if len(asked) < LEAST_ASKED:
        return None
    return Lesson(title=title, pairs=tuple(pairs), asked=tuple(shuffler.sample(asked, min(MOST_ASKED, len(asked)))))


def _wordings(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The questions for each answer."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.answer, []).append(row.question)
    return found


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
    held = (other for other in taught if holds(words[other], wanted))
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

    async def proposals(self, *_: object) -> tuple[str, ...]:
        return ()

    async def drafts(self, *_: object) -> AsyncGenerator[list[Draft]]:
        return
        yield  # what makes it a generator

    async def answers(self, *_: object) -> list[str]:
        raise AssertionError("it has written no question")


@app.command()
def make(
    out: Annotated[Path, typer.Option(help="File to write; it must not be there yet.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Human questions as JSON lines: sentence, question, answer, ...")
    ] = None,
    documents: Annotated[Path | None, typer.Option(help="Folder of texts that were asked about.")] = None,
) -> None:
    """Make lessons for `lift primer train`."""
    must_be_new(out)
    if not data and not documents:
        raise InvalidOption(option="--data", problem="neither questions nor documents are given")
    made = list(lessons([row for _, row in rows_of(data.read_bytes())])) if data else []
    made += reworded(list(rows_of_folder(documents))) if documents else []
    out.write_text("".join(f"{lesson.model_dump_json()}\n" for lesson in made), encoding="utf-8")
    counts = {"pairs": sum(len(each.pairs) for each in made), "asked": sum(len(each.asked) for each in made)}
    print(json.dumps({"lessons": len(made), **counts}))  # noqa: T201


if __name__ == "__main__":
    logs.configure(as_json=not sys.stderr.isatty(), role="lessons")
    run(app)
