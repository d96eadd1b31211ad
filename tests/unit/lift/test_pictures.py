"""Pictures: the kind that the suffix says, and one sentence where none can be made."""

import sys
from xml.etree import ElementTree as Xml

import pytest
from PIL import Image

from lift.errors import InvalidOption
from lift.pictures import axes, checked


def drawn(file):
    with axes(file, "plot", width=3, height=2, title="Costs $5, or $6") as area:
        area.plot([1, 2], [3, 4])
    return file


def test_the_suffix_says_the_kind_in_any_case(tmp_path):
    for name in ("one.png", "one.PNG"):
        with Image.open(drawn(tmp_path / name)) as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 3


def test_text_of_an_svg_stays_text_and_dollars_are_no_formula(tmp_path):
    words = Xml.parse(drawn(tmp_path / "one.svg")).getroot().itertext()  # noqa: S314 - our own file
    assert "Costs $5, or $6" in words


@pytest.mark.parametrize(
    ("name", "problem"), [("one.csv", "ends in .png or .svg"), ("one", "ends in .png"), ("nowhere/one.png", "folder")]
)
def test_what_cannot_be_a_picture_is_refused_before_anything_is_drawn(tmp_path, name, problem):
    with pytest.raises(InvalidOption, match=problem):
        checked(tmp_path / name, "plot")


def test_where_nothing_can_draw_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InvalidOption, match="plot, needs: the package matplotlib"):
        checked(tmp_path / "one.png", "plot")
