"""`lift bench serve` on a tiny model: our engine and stock vLLM as processes of their own."""

import pytest

from benchmarks.serve import Plan, bench_serve


@pytest.mark.timeout(600)
def test_every_figure_is_measured_and_set_against_the_limit(base_model):
    said = []
    plan = Plan(
        base_model=str(base_model), rank=16, shrunk_rank=8, adapters=(1, 2), repeats=1, rivals=True, say=said.append
    )
    found = bench_serve(plan)
    voices = {voice.name for voice in plan.voices}
    for work in plan.works:
        theirs = {f"stock, {voice.name}" for asked, voice in plan.of_stock(1) if asked == work}
        rates = found["tokens_per_second"][work.name]
        assert rates.keys() == voices | theirs
        assert all(rate["median"] > 0 for rate in rates.values())
        assert found["limits"][work.name].keys() == voices
    assert found["rivals_failed"] == {}
    assert "1 of rank 16 / stock" in found["ratios"]["few prompts"]
    assert found["ratios"]["decode"].keys() >= {"1 of rank 16 / base", "1 of rank 16 / stock"}
    waits = {name: seconds["median"] for name, seconds in found["first_token_seconds"].items()}
    assert waits["cold"] > sum(waits[part] for part in ("fetch", "validate", "load")) - 0.002  # each rounded to 0.001
    assert min(waits.values()) > 0
    assert found["neighbours"]["loads"] > 0
