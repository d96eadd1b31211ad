"""Forms of verbs."""

import pytest

from generator.verbs import base_form, simple_past, third_person


@pytest.mark.parametrize(
    ("form", "base"),
    [
        ("keeps", "keep"),
        ("carries", "carry"),
        ("watches", "watch"),
        ("passes", "pass"),
        ("reached", "reach"),
        ("arrived", "arrive"),
        ("stopped", "stop"),
        ("carried", "carry"),
        ("died", "die"),
        ("opened", "open"),
        ("baked", "bake"),
        ("filled", "fill"),
        ("agreed", "agree"),
        ("managed", "manage"),
        ("kept", "keep"),
        ("written", "write"),
        ("keep", "keep"),
        ("pass", "pass"),
    ],
)
def test_every_form_has_its_base(form, base):
    assert base_form(form) == base


def test_the_past_and_the_third_person_come_from_a_participle():
    assert [simple_past(form) for form in ("written", "built", "founded")] == ["wrote", "built", "founded"]
    assert [third_person(form) for form in ("supplied", "cut", "washed", "kept")] == [
        "supplies",
        "cuts",
        "washes",
        "keeps",
    ]
