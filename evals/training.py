"""Turns the training options of an evaluation into those of each way to train: on questions, on raw text, on both."""

from collections.abc import Mapping
from dataclasses import replace

from lift.values import TrainingOptions

RAW = "raw"
RAW_EPOCHS = 8  # LIFT, table 5: more than what is trained on questions has, since raw text is to be known by heart
LIFT_AND_RAW = "lift+raw"
TEMPLORA_PASSES, TEMPLORA_BATCH = 2, 1  # Wang et al., 2024: two epochs of a chunk before the next one


def trainings(given: TrainingOptions | None, raw_epochs: int = RAW_EPOCHS) -> Mapping[str, TrainingOptions | None]:
    """The options of each way by the name of its method; None leaves all to the server.

    raw_epochs: of raw text alone, where none are given. A client cannot know which strategy the server would choose, so
    `lift+raw` is there only where one is given that writes questions.
    """
    options = given or TrainingOptions()
    unasked = replace(options, strategy=RAW, generation_profile=None, pairs_per_sentence=None, custom_prompt=None)
    by_heart = replace(unasked, epochs=options.epochs or raw_epochs)
    in_order = replace(unasked, passes_in_order=TEMPLORA_PASSES, batch_size=TEMPLORA_BATCH)
    found = {"lift": given, "raw": by_heart, "templora": in_order}
    if options.strategy and RAW not in options.strategy.split("+"):
        found[LIFT_AND_RAW] = replace(options, strategy=f"{options.strategy}+{RAW}")
    return found
