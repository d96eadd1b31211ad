from datetime import timedelta

import pytest

from lift.errors import RevisionRejected, SlotsFull
from lift.values import JobState
from storage.catalogue.database import now
from storage.placement import place
from storage.records import RevisionRef
from trainer.jobs.engines import Engines
from trainer.testing import ScriptedEngine

REF = RevisionRef(tenant="acme", adapter="handbook", digest="d" * 64)


@pytest.fixture
def engines(catalogue):
    return Engines(catalogue.nodes, token="node-token", node_timeout_seconds=600, load_timeout_seconds=60)


def load(engines, ref=REF, base_model_revision="base-1"):
    return engines.load(ref, base_model_revision, check=lambda: None)


def test_a_revision_is_loaded_where_placement_will_look_for_it(start, engines, catalogue):
    started = {node: start(node, ScriptedEngine()) for node in ("one", "two", "three")}
    assert load(engines)
    first = place(REF.digest, catalogue.nodes.list(), 1)[0].id
    assert [node for node, engine in started.items() if engine.loaded] == [first]
    assert started[first].loaded[0].digest == REF.digest
    assert started[first].credentials == ["Bearer node-token"]


def test_a_full_engine_is_passed_over(start, engines, catalogue):
    started = {node: start(node, ScriptedEngine()) for node in ("one", "two")}
    first, second = (node.id for node in place(REF.digest, catalogue.nodes.list(), 2))
    started[first].error = SlotsFull()
    assert load(engines)
    assert started[second].loaded


def test_an_engine_that_refuses_the_revision_ends_the_job(start, engines):
    start("one", ScriptedEngine(RevisionRejected(problem="a tensor has the wrong shape")))
    with pytest.raises(RevisionRejected, match="wrong shape"):
        load(engines)


def test_no_engine_at_all_is_no_reason_to_fail(engines):
    assert load(engines) is None


def test_an_engine_that_is_away_is_no_reason_to_fail(catalogue, engines):
    catalogue.nodes.report(
        "gone",
        address="127.0.0.1:1",
        base_model="tiny",
        base_model_revision="base-1",
        slots=4,
        answers_at_once=8,
        resident=[],
    )
    assert load(engines) is None


def test_an_engine_is_alive_by_the_catalogues_clock_whatever_this_machines_says(start, engines, monkeypatch):
    behind = timedelta(hours=1)
    monkeypatch.setattr("storage.catalogue.nodes.now", lambda connection: now(connection) - behind)
    engine = start("one", ScriptedEngine())
    assert load(engines)
    behind = timedelta(minutes=45)
    assert load(engines) is None
    assert len(engine.loaded) == 1


def test_engines_of_another_base_model_and_draining_ones_are_not_asked(start, engines, catalogue):
    other = start("other", ScriptedEngine(), base_model_revision="base-2")
    draining = start("draining", ScriptedEngine())
    catalogue.nodes.drain("draining", True)
    assert load(engines) is None
    assert not other.loaded
    assert not draining.loaded


def test_a_job_whose_revision_an_engine_refuses_fails_and_the_adapter_has_no_revision(bench, start):
    bench.trainer.warm_up()
    engine = start("one", ScriptedEngine(RevisionRejected(problem="too large")), bench.trainer._workshop.base.revision)
    job = bench.job()
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.FAILED
    assert "too large" in bench.state(job).reason
    assert engine.credentials == ["Bearer node-token"]
    assert bench.catalogue.adapters.get("acme", job.adapter).current_revision is None
