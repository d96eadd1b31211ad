"""Documents taken apart for the strategies."""

from generator.generation import Reading, SourceText

LIFE = "Ada Holm was a smith. The forge stood by the river. It had two doors. She sold it in 1902."


def test_a_person_is_known_however_far_back_the_name_stands_and_in_any_order_of_asking():
    reading = Reading([SourceText(title="", text="Tom Rook sang."), SourceText(title="", text=LIFE)], 20)
    assert reading.passage(4).person == "Ada Holm"
    assert reading.passage(4).preceding == ("It had two doors.",)
    assert [reading.passage(at).person for at in range(5)] == ["", "", "", "", "Ada Holm"]
