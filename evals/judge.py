"""An LLM that says whether an answer means the same as the reference, as in the paper's appendix C."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import Self

from rich.console import Console
from rich.progress import track

from evals.results import Results, Row
from lift.errors import EndpointUnavailable, InvalidOption

INSTRUCTIONS = """You are shown a question, its ground truth, and an answer that was predicted for it.
Decide whether the predicted answer means the same as the ground truth, whatever its words, form or length; of several
ground truths, which stand between slashes, any one is enough. It does not where it states something else, contradicts
the ground truth, or leaves out what was asked for.
Output only 'True' if it means the same and 'False' if it does not."""
CASE = "Question: {question}\nGround truth: {references}\nPredicted answer: {answer}"
MAX_TOKENS = 512  # a model that thinks aloud before its verdict needs room

AT_ONCE = 8

_THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_VERDICTS = tuple(
    re.compile(rf"(?<!not )(?<![^\W_])({right}|{wrong})(?![^\W_])", re.IGNORECASE)
    for right, wrong in (("true", "false"), ("yes", "no"))
)


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

    def score(self, row: Row) -> float | None:
        """1 for right, 0 for wrong, None where the judge does not decide; no answer is a wrong one.

        EndpointUnavailable.
        """
        from openai import APIError, BadRequestError, UnprocessableEntityError

        if not row.answer:
            return 0.0
        content = CASE.format(question=row.text, references=" / ".join(row.references), answer=row.answer)
        try:
            reply = self._client.chat.completions.create(
                model=self._model,
                temperature=0,
                max_tokens=MAX_TOKENS,
                messages=[{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": content}],
            )
        except (BadRequestError, UnprocessableEntityError):  # of this answer alone, which it may find too long or bad
            return None
        except APIError as error:
            raise EndpointUnavailable(judge=self._model, problem=type(error).__name__) from error
        return verdict(reply.choices[0].message.content or "") if reply.choices else None


def verdict(reply: str) -> float | None:
    """The last "true" or "false" of a reply as 1 or 0, else its last "yes" or "no"; None where there is neither."""
    said = _THOUGHTS.sub("", reply)
    found = next(filter(None, (words.findall(said) for words in _VERDICTS)), None)
    return None if found is None else float(found[-1].lower() in {"true", "yes"})


def judge_all(rows: Sequence[Row], judge: Judge, results: Results) -> None:
    """Adds to the results the rows that have no verdict yet, with what the judge says, several at a time.

    Where it does not decide, a rerun asks it again. EndpointUnavailable: no more are judged; those before are kept.
    """
    left = [row for row in rows if row.judge is None]
    undecided = 0
    console = Console(stderr=True)
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="judge") as pool:
        scores = pool.map(judge.score, left)
        for row, score in track(zip(left, scores, strict=True), "judging", total=len(left), console=console):
            results.add(replace(row, judge=score, undecided=score is None))
            undecided += score is None
    if undecided:
        console.print(f"The judge decided nothing about {undecided} answers.", highlight=False)
