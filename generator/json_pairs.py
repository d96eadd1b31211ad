"""Turns the pieces of an LLM's reply into question-answer pairs, each as soon as its last brace has come.

Replies are meant to be {"qa_list": [{"question": ..., "answer": ...}, ...]}. Text around it, code fences, missing
brackets and a truncated end do no harm: every innermost {...} is read by itself. A quotation mark that is not escaped
costs its own pair: what reads {"question" begins an object, even where it seems to stand in a string.
"""

import json
import re
from collections.abc import Iterator

MAX_OBJECT_CHARACTERS = 8000

_TRAILING_COMMA = re.compile(r",\s*}\Z")
_BEGUN = re.compile(r'{\s*"question"\Z')
_BEGUN_CHARACTERS = 64  # at most, white space included


class PairReader:
    """Reads one reply."""

    def __init__(self) -> None:
        self._object: list[str] = []
        self._in_object = self._in_string = self._escaped = False

    def feed(self, piece: str) -> Iterator[tuple[str, str]]:
        """The pairs that this piece completes. What is no object with a question and an answer is passed over."""
        for character in piece:
            if self._take(character):
                pair = _pair("".join(self._object))
                if pair:
                    yield pair

    def _take(self, character: str) -> bool:
        """Takes one character; whether it ends an innermost object."""
        if character == "{" and not self._in_string:
            self._object, self._in_object = [], True
        if not self._in_object:
            return False
        self._object.append(character)
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = self._in_string
        elif character == '"':
            self._in_string = not self._in_string
            begun = _BEGUN.search("".join(self._object[-_BEGUN_CHARACTERS:]))
            if begun:
                self._object, self._in_string = [begun.group()], False
        ended = (character == "}" and not self._in_string) or len(self._object) > MAX_OBJECT_CHARACTERS
        if ended:
            self._in_object = self._in_string = False
        return ended


def _pair(text: str) -> tuple[str, str] | None:
    try:
        found = json.loads(_TRAILING_COMMA.sub("}", text), strict=False)
        question, answer = (found.get(name) for name in ("question", "answer"))
        if not isinstance(question, str) or not isinstance(answer, str | int | float):
            return None
        question, answer = " ".join(question.split()), str(answer).strip()
        f"{question}{answer}".encode()  # half of an escaped emoji is JSON, and no text that can be sent
    except ValueError:
        return None
    return (question, answer) if question and answer else None
