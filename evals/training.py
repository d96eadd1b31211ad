"""Turns the training options of an evaluation into those of each way to train: on questions, on raw text, on both."""

from collections.abc import Mapping
from dataclasses import replace

from lift.values import TrainingOptions

RAW = "raw"


def trainings(given: TrainingOptions | None) -> Mapping[str, TrainingOptions | None]:
    """The options of each way by the name of its method; None leaves all to the server.

    A client cannot know which strategy the server would choose, so `lift+raw` is there only where one is given that
    writes questions.
    """
    options = given or TrainingOptions()
    unasked = replace(options, strategy=RAW, generation_profile=None, pairs_per_sentence=None, custom_prompt=None)
    found = {"lift": given, "raw": unasked}
    if options.strategy and RAW not in options.strategy.split("+"):
        found["lift+raw"] = replace(options, strategy=f"{options.strategy}+{RAW}")
    return found
