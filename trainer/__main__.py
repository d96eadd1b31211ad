"""`python -m trainer`: receives wake-ups and trains, until it is stopped."""

import sys

from lift import logs
from lift.errors import LiftError
from lift.settings import Settings
from storage.base_model import identify
from trainer.app import run
from trainer.profiles import hyperparameters


def main() -> None:
    """Reads the settings once and runs; what is wrong with them is one sentence and exit code 1."""
    settings = Settings()
    logs.configure(level=settings.log.level, as_json=settings.log.json_lines, role="trainer")
    try:
        hyperparameters({}, settings.trainer.profile, settings.model.max_lora_rank)
        identify(settings.model.base_model)
        sys.exit(run(settings))
    except LiftError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
