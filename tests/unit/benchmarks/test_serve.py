"""`lift bench serve` with engines that only say when their tokens came."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import serve
from benchmarks.engines import Rival
from benchmarks.serve import Plan, bench_serve
from lift.errors import EngineUnavailable
from lift.stack.programs import of_engine
from trainer.testing import make_tiny_model

WAITS = {"fetch": 0.1, "validate": 0.1, "load": 0.1, "cold": 0.4, "warm": 0.1}


class Engine:
    """Writes a token of every stream each second; ends after so many answers."""

    def __init__(self, answers=10_000):
        self.answers = answers
        self.asked = []

    def ask(self, do, **arguments):
        self.asked.append((do, arguments))
        if do == "cold":
            return dict(WAITS)
        if do == "neighbours":
            return {"streams": [[1.0, 2.0, 3.0]], "loads": int(arguments["loading"])}
        self.answers -= 1
        if self.answers < 0:
            raise EngineUnavailable(problem="the engine's process ended")
        moments = [float(second) for second in range(1, 1 + arguments["answer_tokens"])]
        return {"streams": [moments for _ in arguments["voices"]]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def measured(model, monkeypatch):
    """measured(stock, **plan): the result with our engine and the rival given."""
    monkeypatch.setattr(serve, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(serve, "peak_flops", lambda *_: 1e12)
    monkeypatch.setattr(serve, "bandwidth", lambda _: 1e10)

    def run(stock, **changes):
        @contextmanager
        def engines(_):
            yield Engine(), stock and Rival("stock vLLM", lambda: stock), Path("adapter")

        monkeypatch.setattr(serve, "_engines", engines)
        asked = {"rank": 16, "shrunk_rank": 8, "adapters": (8, 1), "repeats": 2, "rivals": stock is not None}
        return bench_serve(Plan(base_model=str(model), say=lambda _: None, **{**asked, **changes}))

    return run


def test_stock_vllm_reads_long_prompts_once_and_few_of_them(measured):
    stock = Engine()
    found = measured(stock)
    assert (found["rivals_failed"], found["environment"]) == ({}, of_engine())
    assert found["ratios"]["few prompts"].keys() >= {"1 of rank 16 / stock", "base / stock"}
    assert "8 of rank 16 / stock" not in found["ratios"]["few prompts"]
    assert found["ratios"]["decode"].keys() >= {"8 of rank 16 / stock"}
    long = [arguments["voices"] for _, arguments in stock.asked if arguments["prompt_tokens"] == 128]
    assert long == [[0, 0], [1, 1]]


def test_a_rival_that_ends_is_reported_and_all_else_stands(measured):
    found = measured(Engine(answers=7))  # two measurements of long prompts and one of short ones, each after a warm-up
    assert "ended" in found["rivals_failed"]["stock vLLM"]
    assert found["tokens_per_second"]["short prefill"]["stock, base"]["median"] > 0
    assert not any(name.startswith("stock") for name in found["tokens_per_second"]["decode"])
    assert found["tokens_per_second"]["decode"]["8 of rank 8"]["median"] == 1.0
    assert found["neighbours"]["loads"] == 2


def test_without_rivals_none_has_failed(measured):
    assert measured(None)["rivals_failed"] == {}


def test_streams_have_a_rate_and_the_median_of_their_first_tokens(measured):
    found = measured(None, streams=(1, 32))["by_streams"]
    assert found.keys() == {"1", "32"}
    assert found["32"].keys() == {"base", "32 of rank 16", "32 of rank 8"}
    assert found["32"]["base"]["tokens_per_second"]["median"] == 32 * 24 / 24  # a second for each token
    assert found["1"]["1 of rank 8"] == {
        "tokens_per_second": {"median": 1.0, "low": 1.0, "high": 1.0},
        "first_token_seconds": {"median": 1.0, "low": 1.0, "high": 1.0},
    }
