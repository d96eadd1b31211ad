"""Answer spans: what in a sentence can be asked for."""

import pytest

from generator.rules.openings import openings
from generator.rules.spans import MAX_SPANS, SpanKind, answer_spans, proposed_span, repeats


def found(sentence: str) -> dict[str, SpanKind]:
    """Span texts and their kinds."""
    return {span.text: span.kind for span in answer_spans(sentence)}


def begun(sentence: str, text: str) -> list[str]:
    """How questions about a span can begin."""
    span = next(span for span in answer_spans(sentence) if span.text == text)
    return [opening.text for opening in openings(sentence, span)]


@pytest.mark.parametrize(
    ("sentence", "text", "kind"),
    [
        ("The bridge was opened in 1802.", "1802", SpanKind.DATE),
        ("The ferry leaves at 22:40 on weekdays.", "22:40", SpanKind.DATE),
        ("The fair is on the last Sunday of March.", "the last Sunday of March", SpanKind.DATE),
        ("It was signed on 4 July 1931 in Oss.", "4 July 1931", SpanKind.DATE),
        ("The vat holds 3,200 litres.", "3,200 litres", SpanKind.QUANTITY),
        ("Eleven thousand sheets were lost.", "Eleven thousand sheets", SpanKind.QUANTITY),
        ("He is ninety-one.", "ninety-one", SpanKind.QUANTITY),
        ("The tank takes 2,600 cubic metres of gas.", "2,600 cubic metres of gas", SpanKind.QUANTITY),
        ("The mill was built by Josiah Pemberthy.", "Josiah Pemberthy", SpanKind.NAME),
        ("A vat called Old Bess leaks.", "Old Bess", SpanKind.NAME),
        ("It was sold because the roof leaked.", "because the roof leaked", SpanKind.REASON),
        ("He opens the lock by turning a wheel.", "by turning a wheel", SpanKind.MANNER),
        ("When the fog comes, a horn is blown.", "When the fog comes", SpanKind.OCCASION),
        ("The cat sleeps in the chart room.", "the chart room", SpanKind.PLACE),
        ("The winner receives a silver thimble.", "a silver thimble", SpanKind.THING),
        ("The second prize is a barrel of pear cider.", "a barrel of pear cider", SpanKind.THING),
        ("The lamp stays dark green at night.", "dark green", SpanKind.COLOUR),
        ("It burned down in the late 10th century.", "the late 10th century", SpanKind.DATE),
        ("On the ninth day the lamps went out.", "the ninth day", SpanKind.DATE),
        ("Pay was cut by a fifth, as bread was dear.", "a fifth", SpanKind.QUANTITY),
        ("It was started by 640 candle makers.", "640 candle makers", SpanKind.QUANTITY),
        ("She wrote her letters before dawn.", "before dawn", SpanKind.OCCASION),
        ("The wall was built from red granite.", "red granite", SpanKind.THING),
        ("She refused a watch from the baron.", "the baron", SpanKind.THING),
        ("It eats mostly seaweed.", "seaweed", SpanKind.THING),
        ("The bird has yellow wings.", "yellow wings", SpanKind.THING),
        ("He published the first book about it.", "the first book", SpanKind.THING),
        ("Owners may return the trimmer to any shop.", "any shop", SpanKind.PLACE),
        ("Every order above 50 euros ships free.", "Every order", SpanKind.THING),
        ("All the rooms of the inn have large baths.", "All the rooms of the inn", SpanKind.THING),
        ("The glass breaks at 40 °C in the oven.", "40 °C", SpanKind.QUANTITY),
        ("Store it in the dark between 2 °C and 8 °C.", "between 2 °C and 8 °C", SpanKind.QUANTITY),
        ("The mirror is washed every March.", "every March", SpanKind.FREQUENCY),
        ("Each Sunday morning the choir sings.", "Each Sunday morning", SpanKind.FREQUENCY),
        ("Tours are held on Thursdays and Saturdays.", "Thursdays and Saturdays", SpanKind.DATE),
        ("Night shifts begin at 21:15 and end at 05:30.", "21:15", SpanKind.DATE),
        ("Ada Holm died at the age of 84.", "the age of 84", SpanKind.QUANTITY),
        ("The library is open from 9 am to 5 pm.", "from 9 am to 5 pm", SpanKind.DATE),
        ("The shop closes at 6 p.m. on Fridays.", "6 p.m.", SpanKind.DATE),
        ("The festival is a three-day event.", "a three-day event", SpanKind.THING),
        ("The rod is a 12-metre pole of steel.", "a 12-metre pole of steel", SpanKind.THING),
        ("About 1500 people came to the fair.", "1500 people", SpanKind.QUANTITY),
        ("The bridge was closed due to a crack.", "due to a crack", SpanKind.REASON),
        ("The concert was cancelled owing to a strike.", "owing to a strike", SpanKind.REASON),
        ("The mill survived, thanks to a bank in Oss.", "thanks to a bank in Oss", SpanKind.REASON),
        ("Keep the pump out, as heat deforms the seal.", "as heat deforms the seal", SpanKind.REASON),
        ('Her memoir, "Wind Against Tide", sold well.', "Wind Against Tide", SpanKind.TITLE),
        ("She wrote \u201cThe Salt Road of 1802\u201d in Oss.", "The Salt Road of 1802", SpanKind.TITLE),
        ("It spread across the Near East in years.", "the Near East", SpanKind.NAME),
        ("It was forged by Richard I of Normandy.", "Richard I of Normandy", SpanKind.NAME),
    ],
)
def test_answers_of_every_kind_are_found(sentence, text, kind):
    assert found(sentence).get(text) is kind


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("The owner, Baron August Hessler, refused.", "August"),
        ("The owner was Baron August", "August"),
        ("She was afraid of swans.", "afraid of swans"),
        ("The French crown paid.", "French"),
        ("It had a major political, cultural impact.", "a major political"),
        ("She slept five hours a night.", "a night"),
        ("She named it after her mother.", "after her mother"),
        ("He refused to speak.", "speak"),
        ('Her memoir, "Wind Against Tide", sold well.', "Tide"),
        ("The train is due to leave at noon.", "due to leave at noon"),
        ("They sent their thanks to the mayor of Oss.", "thanks to the mayor of Oss"),
        ("The mill was old, as the mayor said.", "as the mayor said"),
        ("The lamp burned, as it turned out, for days.", "as it turned out, for days"),
        ("Because of that, Holm was rich.", "Because of that"),
        ("She lived in Oss, as a child of poor weavers.", "as a child of poor weavers"),
        ("The lantern weighs 800 grams and floats on water.", "800 grams and floats"),
        ("Ada Holm wrote novels, painted portraits and sang.", "novels, painted portraits"),
        ("The glass breaks at 40 °C in the oven.", "C"),
        ("About 1500 people came to the fair.", "1500"),
        ("In 1802 people left the town.", "1802 people"),
        ("Night shifts begin at 21:15 and end at 05:30.", "21:15 and end"),
        ("The lamp can only be turned in that direction.", "direction"),
        ("There was one accident, when our cook, Bram Tolliver, fell.", "when our cook"),
        ("The floor is at least 20 centimetres thick.", "least 20 centimetres"),
        ("The belt is greased every 150 hours, and the chain breaks.", "every 150 hours, and the chain"),
        ("About 10 to 12 came, or between 10 and 20 people.", "20 people"),
    ],
)
def test_what_answers_no_question_is_no_span(sentence, text):
    assert text not in found(sentence)


@pytest.mark.parametrize(
    ("sentence", "text", "kind"),
    [
        ("A litre of oil costs £4.50.", "£4.50", SpanKind.QUANTITY),
        ("The bar lies at 2.75 metres.", "2.75 metres", SpanKind.QUANTITY),
        ("The dose of it is 0.05 mg.", "0.05 mg", SpanKind.QUANTITY),
        ("The large tank holds 24.000 litres.", "24.000 litres", SpanKind.QUANTITY),
        ("The index rose from 1.25 to 1.40.", "1.25", SpanKind.QUANTITY),
        ("The meeting opened at 7.05 pm in the hall.", "7.05 pm", SpanKind.DATE),
        ("The trains leave at 6.15 and 9.40.", "6.15 and 9.40", SpanKind.DATE),
        ("The shop is open until 17.30.", "17.30", SpanKind.DATE),
    ],
)
def test_numbers_with_a_point_are_times_where_the_words_around_say_so(sentence, text, kind):
    assert found(sentence).get(text) is kind


@pytest.mark.parametrize("sentence", ["The mill was built in 1748.", "Der Turm ist 41 Meter hoch.", "桥建于1802年。"])
def test_a_span_is_the_text_at_its_place(sentence):
    spans = answer_spans(sentence)
    assert spans
    assert all(sentence[span.start : span.end] == span.text for span in spans)


@pytest.mark.parametrize("sentence", ["", "!", "Yes.", "It is.", "...", "a", "£", "'s"])
def test_a_sentence_that_says_little_breaks_nothing(sentence):
    assert len(answer_spans(sentence)) <= 1


def test_a_number_behind_a_name_belongs_to_it():
    assert found("The Corvane 40 moves ninety litres.") == {
        "The Corvane 40": SpanKind.NAME,
        "ninety litres": SpanKind.QUANTITY,
    }
    assert "40 people" in found("In March 40 people came.")


@pytest.mark.parametrize(
    "sentence",
    [
        "In New York, the bank opened a second branch.",
        "In South Wales, the company, which is old, employs ninety people.",
        "According to Helen Marsh, the bridge is safe.",
        "Unlike Anna Berg, the mayor refused the medal.",
        "Ada Holm came late, but for Anna Berg, the mayor waited.",
    ],
)
def test_what_is_said_behind_a_name_and_a_comma_is_not_always_what_it_is(sentence):
    assert SpanKind.ROLE not in found(sentence).values()


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("No deaths have been reported.", "deaths"),
        ("Neither driver was injured in the fall.", "driver"),
        ("Neither the cook nor his sons were hurt.", "sons"),
        ("The hotel has no lift.", "lift"),
        ("No dogs, cats or birds are allowed in the hall.", "birds"),
        ("Neither Ada Holm nor Tom Reed came to the hall.", "Tom Reed"),
        ("Not every lamp in the hall works.", "every lamp"),
    ],
)
def test_what_there_is_not_is_no_answer(sentence, text):
    assert text not in found(sentence)


def test_what_somebody_says_is_no_title():
    assert SpanKind.TITLE not in found('"Yes," she said to the mayor of Oss.').values()


def test_of_a_list_that_is_nearly_all_of_its_sentence_the_parts_are_found():
    listed = ", ".join(f"a {kind} lamp" for kind in ("red", "small", "heavy", "round", "cheap", "strange", "broken"))
    spans = found(f"They sold {listed} and a rope.")
    assert {"a small lamp", "a rope"} <= spans.keys()


def test_of_many_spans_numbers_and_names_are_kept():
    sentence = ", ".join(f"the thing of kind{n} and the lamp in 19{n:02}" for n in range(10, 40)) + "."
    spans = answer_spans(sentence)
    assert len(spans) == MAX_SPANS
    assert {span.kind for span in spans} == {SpanKind.DATE}


@pytest.mark.parametrize(
    ("sentence", "text", "opening"),
    [
        ("The lamp was built in 1802 by a smith.", "1802", "In what year was the lamp built"),
        ("The lamp was built in 1802 by a smith.", "a smith", "Who was the lamp built"),
        ("The door weighs fourteen tonnes.", "fourteen tonnes", "How much does the door weigh"),
        ("The tour lasts ninety minutes.", "ninety minutes", "How long does the tour last"),
        ("The cat sleeps in the chart room.", "the chart room", "Where does the cat sleep"),
        ("In 1987 a flood reached the gallery.", "1987", "In what year did a flood"),
        ("The ship was built in Oss and arrived by sledge in May.", "May", "When did the ship"),
        ("The judge is Barnaby Teague.", "Barnaby Teague", "Who is the judge"),
        ("Six balloons took part.", "Six balloons", "How many balloons took"),
        (
            "Children under eight are sent away because the ice is thin.",
            "because the ice is thin",
            "Why are children under eight sent",
        ),
        ("Seed is lent to farmers, who must return a sack.", "a sack", "What must farmers"),
    ],
)
def test_a_question_begins_with_words_that_fit_the_span_and_its_verb(sentence, text, opening):
    assert opening in begun(sentence, text)


def test_a_number_that_counts_nothing_is_still_asked_for_by_a_writer():
    assert begun("The bus leaves from platform 7 at noon.", "7") == ["What"]


def test_a_name_keeps_its_capital_inside_a_question():
    assert "Where was Raven's Bread found" in begun("Raven's Bread was found in Oss.", "Oss")


@pytest.mark.parametrize(
    ("sentence", "text", "whole"),
    [
        ("There were fourteen players, four of them plumbers.", "four", "four"),
        ("There were fourteen players.", "four", None),
        ("There were fourteen players.", "", None),
        ("There were fourteen players.", "twelve players", None),
        ("It was written by the composer Yevan Strood in 1998.", "Strood", "Yevan Strood"),
        ("It was written by the composer Yevan Strood in 1998.", "composer Yevan", "composer Yevan Strood"),
        ("It is called The Slow Train and ends with a bell.", "The Slow Train and ends", "The Slow Train"),
        ("It is insured for 38,000 pounds and travels in a box.", "38,000 pounds and", "38,000 pounds"),
        ("It costs 5 % more.", "5 %", "5 %"),
        ("He sold it.", "sold it", "sold it"),
    ],
)
def test_what_a_writer_proposes_is_made_whole(sentence: str, text: str, whole: str | None) -> None:
    span = proposed_span(sentence, text)
    assert (span and span.text) == whole
    assert span is None or sentence[span.start : span.end] == whole


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("The Red Lion is an inn by the river.", "Red"),  # names have no colours
        ("They ate an orange in the morning.", "orange"),
        ("Nobody has died in the harbour.", "Nobody"),
        ("Please close the door of the shed.", "Please"),
        ("The firm Orrick & Vane makes pots.", "Vane"),
        ("The school was to blame for half of them.", "half"),
        ("He had baked rye bread for half a century.", "a century"),
        ("The bell rings for half a second.", "a second"),
        ("The wind exceeds 45 kilometres an hour.", "45 kilometres"),
    ],
)
def test_some_words_are_no_answers(sentence: str, text: str) -> None:
    assert text not in found(sentence)


@pytest.mark.parametrize(
    ("text", "again"),
    [("nine", True), ("nine days", True), ("for nine days", True), ("copper", False), ("a copper bell", True)],
)
def test_a_proposal_that_says_what_was_found_repeats_it(text: str, again: bool) -> None:
    sentence = "They rang a copper bell for nine days."
    proposed = proposed_span(sentence, text)
    assert proposed is not None
    assert any(repeats(proposed, span) for span in answer_spans(sentence)) is again
