import pickle
import socket

import pytest

from lift.errors import CatalogueUnavailable, InvalidOption
from lift.settings import QueueSettings, Settings, TrainerSettings
from storage.catalogue import Catalogue
from storage.wakeups import CeleryWakeups
from trainer import app
from trainer.app import celery_app


@pytest.mark.parametrize(
    ("url", "without_prefetch"), [("redis://127.0.0.1:6379/0", True), ("amqp://guest@127.0.0.1//", False)]
)
def test_a_busy_trainer_keeps_no_message_from_the_others(url, without_prefetch):
    app = celery_app(Settings(queue=QueueSettings(url=url)))
    assert app.conf.worker_disable_prefetch is without_prefetch
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.task_acks_late is False


def test_only_json_is_read_from_the_broker():
    assert celery_app(Settings()).conf.accept_content == ["json"]


def test_the_settings_reach_the_spawned_child():
    settings = Settings(node_token="secret")
    child = pickle.loads(pickle.dumps(celery_app(settings)))  # noqa: S301 - as the pool does it
    assert child.conf.lift_settings == settings


def test_what_was_opened_is_closed_also_where_the_catalogue_cannot_be_used(monkeypatch):
    closed = []

    def unavailable(_):
        raise CatalogueUnavailable

    monkeypatch.setattr(Catalogue, "migrate", unavailable)
    for kind in (Catalogue, CeleryWakeups):
        monkeypatch.setattr(kind, "close", lambda self: closed.append(type(self)))
    with pytest.raises(CatalogueUnavailable):
        app.run(Settings())
    assert closed == [CeleryWakeups, Catalogue]


def test_a_trainer_whose_metrics_have_no_place_does_not_start_and_says_why(monkeypatch):
    monkeypatch.setattr(Catalogue, "migrate", lambda _: pytest.fail("it starts"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        trainer = TrainerSettings(metrics_host="127.0.0.1", metrics_port=taken.getsockname()[1])
        with pytest.raises(InvalidOption, match="taken"):
            app.run(Settings(trainer=trainer))
