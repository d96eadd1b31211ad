"""`python -m server.engine` as a supervisor sees it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

START_SECONDS = 240
END_SECONDS = 60


def environment_of(state: Path, base_model: str | Path) -> dict[str, str]:
    return {
        **os.environ,
        "LIFT_STATE_DIR": str(state),
        "LIFT_CATALOGUE__URL": f"sqlite:///{state}/lift.sqlite",
        "LIFT_MODEL__BASE_MODEL": str(base_model),
        "LIFT_MODEL__MAX_LORA_RANK": "16",
        "LIFT_ENGINE__PORT": "0",
        "LIFT_ENGINE__HTTP_PORT": "0",
        "LIFT_ENGINE__CPU_KV_CACHE_GIB": "0.05",
        "LIFT_ENGINE__THREADS": "2",
        "LIFT_LOG__JSON_LINES": "true",
        "HF_HUB_OFFLINE": "1",
    }


@pytest.mark.parametrize("base_model", ["no-such/model", "/no/such/folder", "."])
def test_a_base_model_that_is_not_there_is_said_in_one_sentence(tmp_path, base_model) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "server.engine"],
        env=environment_of(tmp_path, base_model),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("The base model cannot be found or read (base_model: ")
    assert ended.stderr.count("\n") == 1


@pytest.fixture
def process(tmp_path, base_model, wait_until, logged) -> Iterator[psutil.Popen]:
    """An engine that answers."""
    log = tmp_path / "engine.log"
    with log.open("wb") as output:
        environment = environment_of(tmp_path, base_model)
        process = psutil.Popen([sys.executable, "-m", "server.engine"], env=environment, stderr=output, stdout=output)
    try:
        wait_until(lambda: process.poll() is not None or logged(log, "engine_started"), START_SECONDS)
        assert process.poll() is None, log.read_text()
        assert answers(logged(log, "engine_started")["http_port"])
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    request = {"model": "base", "prompt": "Once", "max_tokens": 1}
    url, key = f"http://127.0.0.1:{port}/v1/completions", {"authorization": "Bearer any"}
    return httpx.post(url, json=request, headers=key, timeout=60).status_code == 200


def test_an_engine_that_loses_vllm_ends_with_an_error_and_leaves_no_process(process) -> None:
    children = process.children(recursive=True)
    engine_core = next(child for child in children if child.name() == "VLLM::EngineCore")
    engine_core.send_signal(signal.SIGKILL)
    assert process.wait(END_SECONDS) == 1
    _, alive = psutil.wait_procs(children, END_SECONDS)
    assert not alive


def test_an_engine_that_is_told_to_stop_ends_well_and_leaves_no_process(process) -> None:
    children = process.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(END_SECONDS) == 0
    _, alive = psutil.wait_procs(children, END_SECONDS)
    assert not alive
