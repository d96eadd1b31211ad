"""`lift bench breakeven` against a gateway whose engine always says the same."""

from benchmarks import breakeven
from benchmarks.breakeven import Plan, bench_breakeven


def test_all_methods_are_asked_the_same_questions_with_what_each_puts_before_them(gateway, state, monkeypatch):
    async def trained(client, text, title):
        return 10.0, None  # there is no trainer here; the base model answers for the adapter

    monkeypatch.setattr(breakeven, "_trained", trained)
    gateway.leave_client_file(state)
    plan = Plan(state_dir=state.path, sentences=(8, 40), concurrency=(1, 2), repeats=1, say=lambda _: None)
    found = bench_breakeven(plan)
    assert found["sentences"].keys() == {"8", "40"}
    for measured in found["sentences"].values():
        assert measured["training_seconds"] == 10.0
        for level in measured["concurrency"].values():
            assert all(seconds["median"] > 0 for seconds in level["seconds_a_question"].values())
    asked = [request.turns[-1].content for request in gateway.engine.asked]
    bare = {question for question in asked if "\n\n" not in question}
    behind = [question.rpartition("\n\n") for question in asked if "\n\n" in question]
    assert {question for _, _, question in behind} == bare
    assert len(asked) == (3 * len(bare) + 1) * 2  # three methods, two documents, and whether each fits the window
