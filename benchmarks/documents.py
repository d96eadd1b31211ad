"""Writes documents of invented facts, as long as is wanted: no model knows them, and no two runs share one."""

import random

PATTERNS = (
    "{Thing} of {place} was built in {year} by {person}.",
    "It is {number} metres long and {small} metres wide.",
    "{person} paid {number} crowns for {thing} in {year}.",
    "Every {day} morning {small} workers open {thing} at {hour} o'clock.",
    "{Thing} was moved from {place} to {elsewhere} because the river {river} rose by {small} metres.",
    "The keeper of {thing} is {person}, who came to {place} in {year}.",
    "In {year} a fire destroyed {small} rooms of {thing}.",
    "Visitors from {elsewhere} may see {thing} on the first {day} of each month.",
)
THINGS = ("the salt mill", "the old ferry", "the clock tower", "the rope works", "the glass house", "the north bridge")
SYLLABLES = ("bra", "den", "fol", "gar", "hes", "kel", "lom", "mor", "nix", "per", "sul", "tav", "ulm", "vor", "wex")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def document(sentences: int, seed: int) -> str:
    """A text of that many sentences."""
    chosen = random.Random(seed)  # noqa: S311 - invented facts are no secrets
    return " ".join(_sentence(PATTERNS[number % len(PATTERNS)], chosen) for number in range(sentences))


def question(text: str) -> str:
    """A question about the first sentence of such a text."""
    built, _, _ = text.partition(" was built")
    return f"When was {built[0].lower()}{built[1:]} built?"


def _sentence(pattern: str, chosen: random.Random) -> str:
    thing = chosen.choice(THINGS)
    return pattern.format(
        thing=thing,
        Thing=thing[0].upper() + thing[1:],
        place=_name(chosen),
        elsewhere=_name(chosen),
        river=_name(chosen),
        person=f"{_name(chosen)} {_name(chosen)}",
        year=chosen.randrange(1500, 1990),
        number=chosen.randrange(100, 9000),
        small=chosen.randrange(3, 40),
        hour=chosen.randrange(5, 11),
        day=chosen.choice(DAYS),
    )


def _name(chosen: random.Random) -> str:
    return "".join(chosen.sample(SYLLABLES, 3)).capitalize()
