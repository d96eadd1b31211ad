"""Which nodes hold a revision."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from storage.placement import place, usable
from storage.records import Node


def nodes(*ids: str) -> list[Node]:
    return [
        Node(
            id=id,
            address="",
            base_model="",
            base_model_revision="",
            slots=1,
            answers_at_once=1,
            resident=0,
            draining=False,
            heartbeat_at=datetime(2026, 1, 1, tzinfo=UTC),
            silent_seconds=0.0,
        )
        for id in ids
    ]


DIGESTS = [f"{number:064x}" for number in range(3000)]


def test_the_order_of_preference_does_not_depend_on_how_the_nodes_are_listed() -> None:
    for digest in DIGESTS[:50]:
        assert place(digest, nodes("a", "b", "c"), 3) == place(digest, nodes("c", "a", "b"), 3)


def test_the_answer_is_the_same_in_every_process_and_release() -> None:
    assert "".join(place(digest, nodes("a", "b", "c"), 1)[0].id for digest in DIGESTS[:20]) == "aaaccaacccaabbcacaab"


def test_revisions_spread_evenly() -> None:
    held = Counter(place(digest, nodes("a", "b", "c"), 1)[0].id for digest in DIGESTS)
    assert all(850 < count < 1150 for count in held.values())


def test_a_new_node_takes_its_share_and_moves_nothing_else() -> None:
    before = {digest: place(digest, nodes("a", "b", "c"), 1)[0].id for digest in DIGESTS}
    after = {digest: place(digest, nodes("a", "b", "c", "d"), 1)[0].id for digest in DIGESTS}
    moved = [digest for digest in DIGESTS if before[digest] != after[digest]]
    assert {after[digest] for digest in moved} == {"d"}
    assert 600 < len(moved) < 900


def test_there_are_no_more_places_than_nodes() -> None:
    assert len(place(DIGESTS[0], nodes("a", "b"), 5)) == 2
    assert place(DIGESTS[0], [], 1) == ()


def test_who_is_silent_or_drained_or_of_another_base_model_is_not_usable() -> None:
    here, silent, drained, other = nodes("here", "silent", "drained", "other")
    known = [
        here,
        replace(silent, silent_seconds=10.0),
        replace(drained, draining=True),
        replace(other, base_model_revision="other"),
    ]
    assert [node.id for node in usable(known, silent_below_seconds=10)] == ["here", "other"]
    assert usable(known, silent_below_seconds=10, base_model_revision=here.base_model_revision) == [here]
