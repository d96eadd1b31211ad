"""Revisions are fetched and checked by processes that stand back, and of which one that falls harms nobody."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from lift.errors import EngineUnavailable, RevisionMissing, RevisionRejected, StoreUnavailable
from server.engine import loading, preparing
from server.engine.loading import Preparation
from server.engine.preparing import NICENESS, Setup
from storage import keys
from storage.base_model import identify
from storage.files import MANIFEST, WEIGHTS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def setup(tmp_path, base_model, s3_settings) -> Setup:
    (tmp_path / "revisions").mkdir()
    return Setup(
        objects=s3_settings,
        folder=tmp_path / "revisions",
        base_model=base_model,
        base_model_revision=identify(base_model),
        max_lora_rank=16,
        max_revision_bytes=1 << 24,
    )


@pytest_asyncio.fixture(loop_scope="session")
async def preparation(setup):
    preparation = Preparation(setup)
    yield preparation
    await preparation.close()


@pytest.fixture
def press(tmp_path, make_press):
    return make_press(tmp_path / "press")


async def test_a_revision_comes_as_it_was_published(preparation, press, setup) -> None:
    ref = press.publish("bakery")
    prepared = await preparation.prepare(ref)
    assert prepared.folder.parent == setup.folder
    published = press.folder / "acme-bakery-1"
    assert (prepared.folder / WEIGHTS).read_bytes() == (published / WEIGHTS).read_bytes()
    assert (prepared.template.name, prepared.ref) == ("chatml", ref)
    assert min(prepared.fetch_seconds, prepared.validate_seconds) > 0


async def test_a_process_stands_back_and_is_asked_again(preparation, press) -> None:
    first = await preparation.prepare(press.publish("bakery"))
    (process,) = preparation._idle
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.nice(0) + NICENESS)
    second = await preparation.prepare(press.publish("bakery", seed=2))
    assert preparation._idle == [process]
    assert first.folder != second.folder


async def test_what_cannot_be_had_is_said_as_it_is_and_leaves_nothing(preparation, press, setup) -> None:
    good, altered = press.publish("bakery"), press.publish("altered", seed=5)
    press.objects.put(keys.revision(altered, WEIGHTS), b"damaged")
    press.objects.delete([keys.revision(good, MANIFEST)])
    with pytest.raises(RevisionMissing, match=good.digest):
        await preparation.prepare(good)
    with pytest.raises(RevisionRejected, match="another size"):
        await preparation.prepare(altered)
    with pytest.raises(RevisionRejected, match="another base model"):
        await preparation.prepare(press.publish("foreign", seed=6, base_model_revision="0" * 64))
    with pytest.raises(RevisionRejected, match="rank is larger"):
        await preparation.prepare(press.publish("high", seed=7, rank=32))
    assert not list(setup.folder.iterdir())
    assert len(preparation._idle) == 1


async def test_a_store_that_does_not_answer_is_said_to_be_unavailable(setup, press) -> None:
    objects = setup.objects.model_copy(update={"endpoint": "127.0.0.1:9"})
    preparation = Preparation(setup.model_copy(update={"objects": objects}))
    try:
        with pytest.raises(StoreUnavailable):
            await preparation.prepare(press.publish("bakery"))
    finally:
        await preparation.close()


async def test_a_folder_of_this_machine_is_checked_and_left_alone(preparation, press, tmp_path) -> None:
    press.write(tmp_path / "writer")
    await preparation.check(tmp_path / "writer")
    (tmp_path / "writer" / MANIFEST).unlink()
    with pytest.raises(RevisionRejected, match="no manifest"):
        await preparation.check(tmp_path / "writer")
    assert (tmp_path / "writer" / WEIGHTS).exists()


def program(folder: Path, monkeypatch, does: str) -> None:
    """Takes the place of the next processes."""
    file = folder / "program"
    file.write_text(f"#!/bin/sh\nread setup\nread task\n{does}\n")
    file.chmod(0o755)
    monkeypatch.setattr(loading.sys, "executable", str(file))


@pytest.mark.parametrize("does", ["exit 1", "echo nonsense", "kill -9 $$"])
async def test_a_process_that_falls_refuses_its_revision_alone(setup, press, tmp_path, monkeypatch, does) -> None:
    preparation, ref = Preparation(setup), press.publish("bakery")
    with monkeypatch.context() as patch:
        program(tmp_path, patch, does)
        with pytest.raises(RevisionRejected, match="did not finish"):
            await preparation.prepare(ref)
    assert (await preparation.prepare(ref)).ref == ref
    await preparation.close()


async def test_one_that_takes_too_long_is_ended(setup, press, tmp_path, monkeypatch) -> None:
    preparation, ref, asked = Preparation(setup), press.publish("bakery"), []
    outcome = loading._outcome
    monkeypatch.setattr(loading, "_outcome", lambda process, task: asked.append(process) or outcome(process, task))
    monkeypatch.setattr(loading, "PREPARATION_SECONDS", 0.3)
    program(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(RevisionRejected, match="too long to fetch"):
        await preparation.prepare(ref)
    assert [process.returncode for process in asked] == [-signal.SIGKILL]
    assert not preparation._idle


async def test_one_that_died_while_it_had_nothing_to_do_is_not_asked(preparation, press) -> None:
    await preparation.prepare(press.publish("bakery"))
    (process,) = preparation._idle
    process.kill()
    await process.wait()
    assert (await preparation.prepare(press.publish("bakery", seed=2))).fetch_seconds > 0


async def test_several_are_prepared_at_once_and_no_more_than_that(preparation, press) -> None:
    refs = [press.publish("bakery", seed=seed) for seed in range(1, 6)]
    prepared = await asyncio.gather(*(preparation.prepare(ref) for ref in refs))
    assert [one.ref for one in prepared] == refs
    assert len(preparation._idle) == loading.PREPARATIONS_AT_ONCE


async def test_a_setup_carries_its_secret_to_the_process_and_shows_it_to_nobody(setup) -> None:
    objects = setup.objects.model_copy(update={"secret_key": SecretStr("hidden")})
    setup = setup.model_copy(update={"objects": objects})
    assert "hidden" not in repr(setup)
    assert Setup.model_validate_json(setup.model_dump_json()) == setup


async def test_an_error_of_its_own_ends_the_process_and_takes_the_folder_along(setup, press, monkeypatch) -> None:
    ref = press.publish("bakery")
    monkeypatch.setattr(preparing, "validate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        preparing.outcome(setup, press.objects, {"revision": [ref.tenant, ref.adapter, ref.digest]})
    assert not list(setup.folder.iterdir())


async def test_a_store_that_refuses_the_key_says_nothing_about_the_revision(setup, press) -> None:
    objects = setup.objects.model_copy(update={"secret_key": SecretStr("another")})
    preparation = Preparation(setup.model_copy(update={"objects": objects}))
    try:
        with pytest.raises(StoreUnavailable, match=r"Signature|Access"):
            await preparation.prepare(press.publish("bakery"))
    finally:
        await preparation.close()


async def test_a_disk_that_cannot_be_written_says_nothing_about_the_revision(setup, press) -> None:
    (setup.folder.parent / "file").touch()
    preparation = Preparation(setup.model_copy(update={"folder": setup.folder.parent / "file"}))
    try:
        with pytest.raises(EngineUnavailable, match="Not a directory"):
            await preparation.prepare(press.publish("bakery"))
    finally:
        await preparation.close()
