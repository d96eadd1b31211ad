"""Turns what failed in a benchmark into what it reports."""

from collections import Counter
from collections.abc import Mapping, Sequence

from lift.errors import LiftError


def by_reason(failed: Mapping[int, Sequence[LiftError]]) -> dict[str, Counter[str]]:
    """How often each reason, for the lengths of documents of which any failed."""
    return {str(length): Counter(error.reason() for error in errors) for length, errors in failed.items() if errors}
