"""Turns repeated measurements into the figures that are reported: median and range, and percentiles."""

import statistics
from collections.abc import Mapping, Sequence


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, least and greatest."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values are at most, between neighbours in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile, of what there is."""
    return {f"p{percent}": round(percentile(seconds, percent), 4) for percent in (50, 99)} if seconds else {}


def ratios(those: Mapping[str, float], to: Mapping[str, float]) -> dict[str, float]:
    """Each figure as a multiple of the other of its name, of what both have."""
    return {name: round(those[name] / to[name], 3) for name in to if name in those}
