"""The ways in which pairs are written, as values and as the generator's messages say them."""

from enum import StrEnum
from typing import Self

from lift.internal.v1 import generator_pb2

_PREFIX = "KIND_"


class Kind(StrEnum):
    """How a pair was written: the names of `lift.internal.v1.Pair.Kind`, which says what each means, in lower case."""

    UNSPECIFIED = "unspecified"
    WRITTEN = "written"
    GROUNDED = "grounded"
    CLOZE = "cloze"
    INVERTED = "inverted"
    RAW = "raw"
    SECTION = "section"

    @classmethod
    def of_message(cls, kind: generator_pb2.Pair.Kind.ValueType) -> Self:
        """The kind that a message's field says. ValueError: it is none of these."""
        return cls[generator_pb2.Pair.Kind.Name(kind).removeprefix(_PREFIX)]

    def to_message(self) -> generator_pb2.Pair.Kind.ValueType:
        """What a message's field says."""
        return generator_pb2.Pair.Kind.Value(f"{_PREFIX}{self.name}")
