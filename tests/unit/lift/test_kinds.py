"""Kinds of pairs."""

from lift.internal.v1.generator_pb2 import Pair
from lift.kinds import Kind


def test_every_kind_of_a_message_is_a_kind_and_the_other_way_round() -> None:
    assert {Kind.of_message(number) for number in Pair.Kind.values()} == set(Kind)
    assert all(Kind.of_message(kind.to_message()) is kind for kind in Kind)
