"""`lift bench load` against a gateway whose engine always says the same."""

from benchmarks.load import Plan, bench_load


def test_good_queries_are_answered_and_bad_ones_refused(gateway, state):
    gateway.leave_client_file(state)
    said = []
    plan = Plan(state_dir=state.path, concurrency=(1, 4), adapters=(), repeats=1, say=said.append)
    found = bench_load(plan)
    assert {level: (seen["answers"], seen["failed"]) for level, seen in found["concurrency"].items()} == {
        "1": (4, 0),
        "4": (16, 0),
    }
    assert found["concurrency"]["4"]["first_token_seconds"]["p50"] > 0
    assert found["bad_queries"]["good_failed"] == 0
    assert found["bad_queries"]["sent"] >= found["bad_queries"]["refused"] > 0  # this engine's window has no end
    assert "ADAPTER_MISSING" in found["bad_queries"]["reasons"]
    assert "base model" in said[0]
