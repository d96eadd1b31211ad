"""Forms of verbs."""

import pytest

from generator.english.tagger import Tag, tagged_words
from generator.english.verbs import base_form, is_past, simple_past, third_person


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
        ("completed", "complete"),
        ("created", "create"),
        ("included", "include"),
        ("invited", "invite"),
        ("promoted", "promote"),
        ("assumed", "assume"),
        ("exploded", "explode"),
        ("ignored", "ignore"),
        ("visited", "visit"),
        ("scraped", "scrape"),
        ("tuned", "tune"),
        ("proceeded", "proceed"),
        ("need", "need"),
        ("rang", "ring"),
        ("rebuilt", "rebuild"),
        ("oversaw", "oversee"),
        ("rewritten", "rewrite"),
        ("relay", "relay"),
        ("focus", "focus"),
        ("keep", "keep"),
        ("pass", "pass"),
    ],
)
def test_every_form_has_its_base(form, base):
    assert base_form(form) == base


def test_the_past_and_the_third_person_come_from_a_participle():
    assert [simple_past(form) for form in ("written", "built", "founded", "overtaken")] == [
        "wrote",
        "built",
        "founded",
        "overtook",
    ]
    assert [third_person(form) for form in ("supplied", "cut", "washed", "kept")] == [
        "supplies",
        "cuts",
        "washes",
        "keeps",
    ]


@pytest.mark.parametrize(
    ("sentence", "past"),
    [("Tom Reed rang the bell.", True), ("They need some rope.", False), ("They keep bees.", False)],
)
def test_a_past_form_is_known_by_its_word_or_its_sentence(sentence, past):
    assert is_past(next(word for word in tagged_words(sentence) if word.tag is Tag.VERB)) is past
