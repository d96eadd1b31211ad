"""An LLM that says whether an answer means the same as the reference, as in the paper's appendix C."""

import re
from importlib.util import find_spec
from typing import Self

from evals.results import Row
from lift.errors import EndpointUnavailable, InvalidOption

INSTRUCTIONS = """You compare a reply to a question with the correct answers that people gave.
The reply is right if it states the same fact as one of the correct answers, whatever its words, form or length.
It is wrong if it states something else, contradicts the correct answer, leaves out the fact, or gives none.
Say YES if the reply is right and NO if it is wrong. Say nothing else."""
CASE = "Question: {question}\nCorrect answers: {references}\nReply: {answer}\n\nIs the reply right?"
MAX_TOKENS = 512  # a model that thinks aloud before its verdict needs room

_VERDICT = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


class Judge:
    """Asks one model of an OpenAI-compatible endpoint."""

    def __init__(self, *, url: str, model: str, key: str, retries: int = 3) -> None:
        """InvalidOption: the package that speaks to such endpoints is not installed."""
        if find_spec("openai") is None:
            raise InvalidOption(option="judge-url", needs="the package openai: pip install 'lift-server[evals]'")
        from openai import OpenAI

        self._client = OpenAI(base_url=url, api_key=key or "none", max_retries=retries)
        self._model = model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def score(self, row: Row) -> float:
        """1 for right and 0 for wrong; 0 where the judge does not decide. EndpointUnavailable."""
        from openai import APIError

        content = CASE.format(question=row.text, references=" / ".join(row.references), answer=row.answer)
        try:
            reply = self._client.chat.completions.create(
                model=self._model,
                temperature=0,
                max_tokens=MAX_TOKENS,
                messages=[{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": content}],
            )
        except APIError as error:
            raise EndpointUnavailable(judge=self._model, problem=type(error).__name__) from error
        return verdict(reply.choices[0].message.content or "")


def verdict(reply: str) -> float:
    """The last yes or no of a reply as 1 or 0; 0 where there is neither."""
    found = _VERDICT.findall(reply)
    return float(bool(found) and found[-1].lower() == "yes")
