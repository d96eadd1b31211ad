"""`python -m trainer`: receives wake-ups and trains, until it is stopped."""

from lift.process import run_role
from lift.settings import Settings
from storage.base_model import identify
from trainer import app
from trainer.niceness import stand_back
from trainer.profiles import hyperparameters


def run(settings: Settings) -> int:
    """Works until it is stopped; a profile or base model that cannot be used is said at once."""
    hyperparameters({}, settings.trainer.profile, settings.model.max_lora_rank)
    identify(settings.model.base_model)
    stand_back(settings.trainer.niceness)
    return app.run(settings)


if __name__ == "__main__":
    run_role("trainer", run)
