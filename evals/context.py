"""Turns a question and a text that may be too long for the window into an answer, with the text's middle left out.

The paper and LooGLE truncate in the middle, since the beginning and the end of a document say most. How much fits, the
server says: a client has no tokenizer.
"""

from collections.abc import Callable

from lift.errors import QuestionTooLong
from lift.values import Answer

GAP = "\n...\n"
MARGIN = 0.98
MIN_CHARACTERS = 64


def without_middle(text: str, characters: int) -> str:
    """The first and the last half of what may be kept; the text itself where it is short enough."""
    if len(text) <= characters:
        return text
    half = max(0, characters - len(GAP)) // 2
    return f"{text[:half]}{GAP}{text[len(text) - half :]}"


class Fitting:
    """Asks with one text in the prompt, and remembers how much of it fitted, so that later prompts begin the same."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._characters = len(text)

    def answer(self, ask: Callable[[str], Answer], question: str) -> Answer:
        """The answer to text and question as one turn, as the engine itself puts a document before a question."""
        while True:
            characters = self._characters
            kept = without_middle(self._text, characters)
            try:
                return ask(f"{kept}\n\n{question}")
            except QuestionTooLong as refused:
                if characters < MIN_CHARACTERS:
                    raise
                fitting = int(characters * min(MARGIN, share_that_fits(refused) * MARGIN))
                self._characters = min(self._characters, fitting)  # other questions may have found less meanwhile


def share_that_fits(refused: QuestionTooLong) -> float:
    """How much of the prompt would have fitted, from what the server says of it."""
    facts = refused.facts
    if "characters" in facts:
        return float(facts["limit"]) / float(facts["characters"])
    return max(0.0, float(facts["window"]) - float(facts["max_tokens"])) / float(facts["prompt_tokens"])
