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


def test_a_second_tenant_floods_and_is_gone_afterwards(gateway, state):
    gateway.leave_client_file(state)
    plan = Plan(state_dir=state.path, concurrency=(1,), adapters=(), repeats=1, say=lambda _: None)
    found = bench_load(plan)["two_tenants"]
    assert found["failed"] == 0
    assert found["flood_answered"] > 0
    assert found["flooded_to_alone"]["p50"] > 0
    assert [tenant.id for tenant in gateway.catalogue.tenants.list(10, "").items] == ["mine"]


def test_where_no_tenant_can_be_made_the_rest_is_measured(gateway, state, monkeypatch):
    monkeypatch.setenv("LIFT_ADDRESS", gateway.address)
    monkeypatch.setenv("LIFT_KEY", gateway.key)
    said = []
    plan = Plan(state_dir=state.path, concurrency=(1,), adapters=(), repeats=1, say=said.append)
    found = bench_load(plan)
    assert found["two_tenants"] is None
    assert any(line.startswith("no second tenant") for line in said)
    assert found["concurrency"]["1"]["answers"] == 4
