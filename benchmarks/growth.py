"""Turns the results of benchmarks into the lines of a plot: cost against the amount of work."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.plot import Growth

MOST_QUESTIONS = 4096

Result = Mapping[str, Any]


def of_serving(result: Result) -> Growth:
    """Tokens a second of a batch against its distinct adapters, measured and allowed; the base stands at 1."""
    rates, limits = result["tokens_per_second"]["batch"], result["limits"]["batch"]
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, limit in limits.items():
        count, _, rank = name.partition(" of ")
        kind, x = (rank, float(count)) if rank else ("base", 1.0)
        lines.setdefault(kind, []).append((x, rates[name]["median"]))
        lines.setdefault(f"{kind}, limit", []).append((x, limit["tokens_per_second"]))
        if f"stock, {name}" in rates:
            lines.setdefault(f"{kind}, stock vLLM", []).append((x, rates[f"stock, {name}"]["median"]))
    return Growth(
        title=f"One batch of {result['streams']} streams", x="distinct adapters", y="tokens a second", lines=lines
    )


def of_registered(result: Result) -> Growth:
    """Memory, seconds of a load and of a token against an engine's adapters, each set against the fewest of them."""
    found = {int(count): seen for count, seen in result["registered"].items() if int(count)}
    fewest = found[min(found)]
    costs: dict[str, Callable[[Result], float]] = {
        "memory": lambda seen: seen["memory_gb"],
        "seconds of a load": lambda seen: seen["load_seconds"]["median"],
        "seconds of a token": lambda seen: 1 / seen["decode_tokens_per_second"]["median"],
    }
    lines = {name: [(count, of(seen) / of(fewest)) for count, seen in found.items()] for name, of in costs.items()}
    return Growth(title="One engine's adapters", x="adapters loaded", y=f"times that of {min(found)}", lines=lines)


def of_load(result: Result) -> Growth:
    """Seconds to first token and end, median and 99th percentile, against concurrent queries."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for level, found in result["concurrency"].items():
        for name, kind in (("first token", "first_token_seconds"), ("answer", "latency_seconds")):
            for percent, seconds in found.get(kind, {}).items():
                lines.setdefault(f"{name}, {percent}", []).append((float(level), seconds))
    return Growth(title="Queries through the gateway", x="concurrent queries", y="seconds", lines=lines)


def of_pipeline(result: Result) -> Growth:
    """Seconds from accepted to first answer token, and of the parts alone, against sentences."""
    kinds = {
        "accepted to first token": "accepted_to_first_token_seconds",
        "generation alone": "generation_alone_seconds",
        "training alone": "training_alone_seconds",
    }
    lines = {
        name: [(float(length), found[kind]["median"]) for length, found in result["sentences"].items()]
        for name, kind in kinds.items()
    }
    return Growth(title="From document to answer", x="sentences", y="seconds", lines=lines, proportional=True)


def of_catalogue(result: Result) -> Growth:
    """Median milliseconds of each kind of call against the adapters in the catalogue."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for size, calls in result["adapters"].items():
        for name, milliseconds in calls.items():
            lines.setdefault(name, []).append((float(size), milliseconds["p50"]))
    return Growth(title="Calls of the gateway", x="adapters in the catalogue", y="milliseconds", lines=lines)


def of_breakeven(result: Result) -> Growth:
    """Seconds in all against questions, the first and then as few at once as was measured: the longest document."""
    length, found = max(result["sentences"].items(), key=lambda item: int(item[0]))
    level, measured = min(found["concurrency"].items(), key=lambda item: int(item[0]))
    asked = [2.0**power for power in range(MOST_QUESTIONS.bit_length())]
    lines = {}
    for name, seconds in measured["seconds_a_question"].items():
        once = found["first_seconds"].get(name, seconds)["median"]
        once += found["training_seconds"]["median"] if name == "adapter" else 0.0
        lines[name] = [(questions, once + (questions - 1) * seconds["median"]) for questions in asked]
    return Growth(title=f"{length} sentences, {level} at once", x="questions", y="seconds in all", lines=lines)
