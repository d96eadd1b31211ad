"""`lift bench recipes`: what settings of training are worth, each on the same pairs: questions answered, and seconds.

A stack's generator writes the pairs of a document once; they are kept in the output folder. Then a learner of this
process trains on them with each combination of settings, and is asked closed-book. So what is compared does not hang on
how another set of questions came out, and a setting costs a training alone.
"""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, Self

from benchmarks.trials import Choice, Trials, Tried, writing
from evals import rows
from evals.cases import Case, digest_of
from evals.datasets.own import own
from evals.intervals import proportion
from lift.errors import InvalidOption, StackStopped
from lift.settings import Settings
from lift.stack.folder import StateFolder
from lift.training import training_options
from trainer.profiles import hyperparameters

ROWS = "recipes.jsonl"
NOT_HERE = ("second_round", "abstained_share", "min_recall", "scope")
"""Options that need more than a document and its pairs, such as other questions, or that work behind training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to try: documents with questions (`lift eval own`), and values by option, of which every combination."""

    state: StateFolder
    data: Sequence[Path]
    values: Mapping[str, Sequence[str]]
    out: Path
    say: Callable[[str], None]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every combination of values, as training options. InvalidOption: one cannot be used."""
        refused = [name for name in self.values if name in NOT_HERE]
        if refused:
            raise InvalidOption(
                option="set", value=refused[0], problem="a document and its pairs do not say what it does"
            )
        combinations = [dict(zip(self.values, each, strict=True)) for each in product(*self.values.values())]
        return tuple(_set(combination) for combination in combinations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one choice for one document. `of`: a digest of all that it came of, the stack's settings too."""

    of: str
    choice: Choice
    tried: Tried

    @classmethod
    def parsed(cls, value: Mapping[str, Any]) -> Self:
        """A row that was written as JSON (`asdict`)."""
        return cls(of=value["of"], choice=value["choice"], tried=Tried(**value["tried"]))


def bench_recipes(plan: Plan) -> dict[str, Any]:
    """Trains and asks what is not in the output folder yet. The result that `--json` prints.

    StackStopped: no stack was ever started in the state folder; GeneratorUnavailable: pairs are to be written, and none
    is running; InvalidOption, DataMalformed, BaseModelMissing; OSError: the folder cannot be written.
    """
    choices, cases = plan.choices, own(plan.data)
    settings = _settings(plan.state)
    trying = [(case, choice, _digest(case, choice, settings)) for case, choice in product(cases, choices)]
    plan.out.mkdir(parents=True, exist_ok=True)
    done = {row.of: row.tried for row in rows.read(plan.out / ROWS, Row.parsed)}
    trials = Trials(settings, plan.out, plan.say)
    for case, choice, key in trying:
        if key in done:
            continue
        done[key] = tried = trials.tried(case, choice)
        rows.append(plan.out / ROWS, Row(of=key, choice=choice, tried=tried))
        right = f"{tried.right} of {tried.questions} right, {tried.expected:.1f} expected"
        plan.say(f"{case.document.title} {choice}: {right}, {tried.seconds:.0f} s")
    found = [(choice, [done[_digest(case, choice, settings)] for case in cases]) for choice in choices]
    return {"benchmark": "recipes", "recipes": [_figures(choice, tried) for choice, tried in found]}


def _digest(case: Case, choice: Choice, settings: Settings) -> str:
    """InvalidOption: the choice cannot be used."""
    chosen = hyperparameters(choice, settings.trainer.profile, settings.model.max_lora_rank)
    questions = [(question.text, question.references, question.keywords) for question in case.questions]
    made_of = questions, asdict(chosen), writing(choice, settings), settings.model.base_model, settings.trainer.primer
    return digest_of(case.document.text, json.dumps(made_of, sort_keys=True))


def _set(values: Mapping[str, str]) -> Choice:
    options = training_options(values, "set")
    return {} if options is None else {name: value for name, value in asdict(options).items() if value is not None}


def _settings(state: StateFolder) -> Settings:
    try:
        return Settings.read(**tomllib.loads(state.config.read_text()))
    except FileNotFoundError as error:
        raise StackStopped(state=str(state.path)) from error


def _figures(choice: Choice, tried: Sequence[Tried]) -> dict[str, Any]:
    """A choice over all documents: sums of questions, means of the rest."""
    right, questions = sum(each.right for each in tried), sum(each.questions for each in tried)
    found = proportion([1.0] * right + [0.0] * (questions - right))
    general = sum(each.general for each in tried)
    return {
        "set": choice,
        "documents": len(tried),
        "right": right,
        "expected": round(sum(each.expected for each in tried), 2),
        "questions": questions,
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "retained": round(sum(each.kept for each in tried) / general, 3) if general else None,
        "pairs": round(mean(each.pairs for each in tried), 1),
        "rank": round(mean(each.rank for each in tried), 1),
        "steps": round(mean(each.steps for each in tried), 1),
        "final_loss": round(mean(each.final_loss for each in tried), 3),
        "seconds": round(mean(each.seconds for each in tried), 1),
    }
