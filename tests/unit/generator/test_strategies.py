"""Strategies: which pairs they write about a sentence, and what they do when replies are bad."""

import asyncio
import json
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest

from generator.llm import Endpoint, RequestFailed, Usage
from generator.pairs import PassageFailed, QuestionAnswer
from generator.replies import ATTEMPTS
from generator.sentences import Passage
from generator.strategies import strategy_of_request
from generator.strategies.grounded import GroundedStrategy
from generator.strategies.sections import LEAST_SENTENCES, PAIRS_PER_SECTION
from generator.strategies.sentence import SentenceStrategy
from generator.testing import Reply
from lift.errors import InvalidOption
from lift.internal.v1 import generator_pb2 as pb
from lift.kinds import Kind

BRIDGE = Passage(
    title="The bridge of Oss",
    window="The bridge of Oss crosses the Teasel.",
    sentence="It was built in 1802 by Ada Holm.",
    preceding=("The bridge of Oss crosses the Teasel.",),
)


def strategy(kind, client: Endpoint, *, name: str = "", pairs: int = 0, prompt: str = ""):
    """A strategy of a request's fields."""
    return kind.of_request(endpoint=client, name=name, pairs_per_sentence=pairs, custom_prompt=prompt)


async def pairs_of(chosen, passage: Passage = BRIDGE) -> list[QuestionAnswer]:
    """All pairs about a passage."""
    async with aclosing(chosen.write(passage, Usage())) as written:
        return [pair async for pair in written]


def structured(*pairs: tuple[str, str]) -> str:
    """A reply in the form that is asked for."""
    return json.dumps({"qa_list": [{"question": question, "answer": answer} for question, answer in pairs]})


# sentence ----------------------------------------------------------------------------------------------------------


async def test_the_pairs_of_one_structured_reply_are_written_once_each_and_up_to_the_number(asking):
    reply = structured(("Who?", "Ada"), ("who", "Ada Holm"), ("When?", "1802"), ("Where?", "Oss"))
    client, endpoint = await asking(lambda _: Reply(text=reply))
    pairs = await pairs_of(strategy(SentenceStrategy, client, pairs=2))
    assert [(pair.question, pair.answer, pair.kind) for pair in pairs] == [
        ("Who?", "Ada", Kind.WRITTEN),
        ("When?", "1802", Kind.WRITTEN),
    ]
    asked = endpoint.requests[0]["messages"][-1]["content"]
    assert BRIDGE.sentence in asked
    assert BRIDGE.window in asked
    assert "up to 2 questions" in asked


async def test_a_truncated_reply_keeps_what_is_whole(asking):
    client, _ = await asking(lambda _: Reply(text=structured(("Who?", "Ada"), ("When?", "1802"))[:-25]))
    assert [pair.question for pair in await pairs_of(strategy(SentenceStrategy, client))] == ["Who?"]


async def test_a_reply_without_pairs_is_asked_for_again(asking):
    replies = iter(["I cannot.", "{}", structured(("Who?", "Ada"))])
    client, _ = await asking(lambda _: Reply(text=next(replies)))
    assert [pair.answer for pair in await pairs_of(strategy(SentenceStrategy, client))] == ["Ada"]


async def test_an_llm_that_never_writes_pairs_fails_the_sentence(asking):
    client, endpoint = await asking(lambda _: Reply(text="I cannot."))
    with pytest.raises(PassageFailed):
        await pairs_of(strategy(SentenceStrategy, client))
    assert len(endpoint.requests) == ATTEMPTS


async def test_a_reply_that_breaks_off_is_asked_for_again_and_its_pairs_are_kept(asking):
    replies = iter([Reply(text="{", breaks_off=True), *[Reply(text=structured(("Who?", "Ada")), breaks_off=True)] * 2])
    client, endpoint = await asking(lambda _: next(replies))
    assert [pair.answer for pair in await pairs_of(strategy(SentenceStrategy, client))] == ["Ada"]
    assert len(endpoint.requests) == 3


async def test_a_reply_that_was_cut_off_is_asked_for_once_more(asking):
    first, second = structured(("Who built Oss?", "Ada")), structured(("When was that?", "1802"), ("Who?", "Ada"))
    replies = iter([Reply(text=first[:-2], finish_reason="length"), Reply(text=second, finish_reason="length")])
    client, endpoint = await asking(lambda _: next(replies))
    asked = [pair.question for pair in await pairs_of(strategy(SentenceStrategy, client))]
    assert asked == ["Who built Oss?", "When was that?", "Who?"]
    assert len(endpoint.requests) == 2


async def test_questions_that_nobody_can_answer_or_that_were_asked_or_hold_their_answer_are_left_out(asking):
    reply = structured(
        ("What did he do in 1802?", "Built the bridge"),
        ("When was the bridge of Oss built?", "In 1802"),
        ("When was the bridge of Oss built, then?", "1802"),
        ("Was the bridge built by Ada Holm?", "Ada Holm"),
        ("Was the bridge built by Tom Reed?", "No, by Ada Holm"),
        ("Who built the bridge?", "Ada Holm"),
    )
    client, endpoint = await asking(lambda _: Reply(text=reply))
    written = await pairs_of(strategy(SentenceStrategy, client))
    assert [pair.question for pair in written] == [
        "When was the bridge of Oss built?",
        "Was the bridge built by Tom Reed?",
        "Who built the bridge?",
    ]
    assert len(endpoint.requests) == 1


async def test_a_reply_most_of_which_is_left_out_is_asked_for_once_more(asking):
    poor = structured(("Who built the bridge?", "Ada"), ("Who built the bridge?", "Holm"), ("What did he do?", "Built"))
    replies = iter([poor, structured(("When was the bridge built?", "1802"), ("What did he do?", "Built")), "never"])
    client, endpoint = await asking(lambda _: Reply(text=next(replies)))
    written = await pairs_of(strategy(SentenceStrategy, client))
    assert [pair.question for pair in written] == ["Who built the bridge?", "When was the bridge built?"]
    assert len(endpoint.requests) == 2


async def test_an_own_prompt_may_ask_for_a_choice_among_answers(asking):
    choice = structured(("Which is it: Ada Holm, Tom Reed?", "Ada Holm"))
    client, _ = await asking(lambda _: Reply(text=choice))
    assert len(await pairs_of(strategy(SentenceStrategy, client, prompt="A choice: {sentence}"))) == 1


async def test_an_own_prompt_takes_the_place_of_the_profiles(asking):
    client, endpoint = await asking(lambda _: Reply(text=structured(("Who?", "Ada"))))
    await pairs_of(strategy(SentenceStrategy, client, prompt="Only names: {sentence} ({count})", pairs=3))
    assert endpoint.requests[0]["messages"][-1]["content"] == f"Only names: {BRIDGE.sentence} (3)"


# grounded ----------------------------------------------------------------------------------------------------------


class Reader:
    """Goes on from openings as told and answers questions as told; both by what the prompt ends with."""

    def __init__(self, endings: dict[str, str], answers: dict[str, str]) -> None:
        self.endings = endings
        self.answers = answers

    def __call__(self, body: dict) -> Reply:
        last = body["prompt"].rsplit("\n", 2)
        if last[-1] == "Answer:":
            question = last[-2].removeprefix("Question: ")
            return Reply(text=" " + self.answers.get(question, "nothing"))
        return Reply(text=self.endings.get(last[-1].removeprefix("Question: "), " of gold by hungry dragons?"))


GOOD = Reader(
    {
        "What is the name of": " the maker of the bridge?",
        "When was the bridge of Oss": " made?",
        "Who": " made the bridge?",
    },
    {"What is the name of the maker of the bridge?": "Ada Holm", "Who made the bridge?": "the Teasel"},
)


def of_kind(kind: Kind, pairs: list[QuestionAnswer]) -> set[tuple[str, str]]:
    """Questions and answers that were written in one way."""
    return {(pair.question, pair.answer) for pair in pairs if pair.kind is kind}


async def test_a_question_of_the_llm_is_kept_where_it_gives_the_span_back(asking):
    client, _ = await asking(GOOD)
    pairs = await pairs_of(strategy(GroundedStrategy, client))
    assert of_kind(Kind.GROUNDED, pairs) == {("What is the name of the maker of the bridge?", "Ada Holm")}


async def test_rules_ask_about_every_span_whatever_the_llm_says(asking):
    client, _ = await asking(Reader({}, {}))
    pairs = await pairs_of(strategy(GroundedStrategy, client))
    assert of_kind(Kind.GROUNDED, pairs) == set()
    assert ("When was the bridge of Oss built?", "1802") in of_kind(Kind.INVERTED, pairs)
    assert of_kind(Kind.CLOZE, pairs) == {("The bridge of what was built in 1802 by Ada Holm?", "Oss")}


@pytest.mark.parametrize(
    ("window", "sentence", "asks"),
    [
        (
            "Das Werk ist alt und liegt in Oss.",
            "Führungen finden jeden ersten Samstag im Monat um 14 Uhr statt.",
            False,
        ),
        ("Das Werk ist alt und liegt in Oss.", "Die Pumpe wiegt 40 Tonnen.", False),
        ("", "Ada Holm met Tom Reed.", True),
        ("", "As prices rose in May, few people came to the fair.", True),
    ],
)
async def test_rules_for_english_write_no_questions_in_other_languages(asking, window, sentence, asks):
    client, _ = await asking(Reader({}, {}))
    chosen = strategy(GroundedStrategy, client)
    passage = Passage(title="", window=window, sentence=sentence)
    assert bool(of_kind(Kind.INVERTED, await pairs_of(chosen, passage))) is asks
    assert chosen.spans(passage)


@pytest.mark.parametrize("answers", [Reader({}, {}), lambda _: Reply(status=400)])
async def test_what_nobody_asked_for_is_asked_for_in_its_place(asking, answers):
    client, _ = await asking(answers)
    passage = replace(BRIDGE, sentence="The carts that cross it pay a toll, although the toll is small.")
    pairs = []
    with suppress(RequestFailed):
        async for pair in strategy(GroundedStrategy, client).write(passage, Usage()):
            pairs.append(pair)
    asked_for = {pair.answer for pair in pairs if pair.kind is not Kind.CLOZE}
    in_place = of_kind(Kind.CLOZE, pairs)
    assert ("What that cross it pay a toll, although the toll is small?", "The carts") in in_place
    assert not asked_for & {answer for _, answer in in_place}


async def test_the_first_pairs_come_before_the_llm_has_said_anything(asking):
    never = asyncio.Event()
    client, endpoint = await asking(lambda _: Reply(waits_for=never))
    async with aclosing(strategy(GroundedStrategy, client).write(BRIDGE, Usage())) as written:
        assert (await anext(written)).kind is Kind.INVERTED
    assert endpoint.requests == []


async def test_a_few_pairs_are_about_different_spans(asking):
    client, _ = await asking(GOOD)
    pairs = await pairs_of(strategy(GroundedStrategy, client, pairs=2))
    assert len({pair.answer for pair in pairs}) == 2


async def test_questions_about_other_things_are_never_asked_back(asking):
    client, endpoint = await asking(Reader({}, {}))
    await pairs_of(strategy(GroundedStrategy, client))
    assert not [request for request in endpoint.requests if "dragons" in request["prompt"]]


async def test_what_a_document_says_all_the_time_is_no_answer(asking):
    client, _ = await asking(GOOD)
    chosen = strategy(GroundedStrategy, client)
    passage = Passage(title="", window="", sentence="The keeper oiled the old pump on Sunday.")
    assert "the old pump" in chosen.spans(passage)
    assert chosen.spans(replace(passage, familiar=frozenset({"old", "pump", "sunday"}))) == ("The keeper", "Sunday")


async def test_no_question_leans_on_a_pronoun(asking):
    client, _ = await asking(GOOD)
    passage = Passage(title="", window="", sentence="In 1802 they sold the mill because their son had left.")
    pairs = await pairs_of(strategy(GroundedStrategy, client), passage)
    asked = [pair.question for pair in pairs if pair.kind is not Kind.CLOZE]
    assert not [question for question in asked if {"they", "their"} & set(question.split())]


async def test_every_span_is_the_answer_of_a_pair(asking):
    client, _ = await asking(GOOD)
    chosen = strategy(GroundedStrategy, client)
    assert {pair.answer for pair in await pairs_of(chosen)} == set(chosen.spans(BRIDGE))


async def test_no_more_pairs_are_written_than_asked_for(asking):
    client, _ = await asking(GOOD)
    assert len(await pairs_of(strategy(GroundedStrategy, client, pairs=1))) == 1


async def test_requests_share_the_prompts_beginning_so_that_prefix_caches_hit(asking):
    client, endpoint = await asking(GOOD)
    await pairs_of(strategy(GroundedStrategy, client))
    questions = [request["prompt"] for request in endpoint.requests if not request["prompt"].endswith("Answer:")]
    assert len({prompt.split(BRIDGE.sentence.removeprefix("It"))[0] for prompt in questions}) == 1


async def test_the_needle_profile_asks_for_the_whole_sentence(asking):
    client, _ = await asking(
        Reader({"What was the bridge of Oss": " built in?"}, {"What was the bridge of Oss built in?": "1802"})
    )
    pairs = await pairs_of(strategy(GroundedStrategy, client, name="needle"))
    assert [pair.answer for pair in pairs] == ["The bridge of Oss was built in 1802 by Ada Holm."]


async def test_the_needle_profile_asks_for_a_sentence_of_one_verb(asking):
    client, _ = await asking(Reader({"What should you": " do by the bridge?"}, {}))
    about = Passage(title="The bridge", window="", sentence="decide")
    assert await pairs_of(strategy(GroundedStrategy, client, name="needle"), about) == []


async def test_the_single_fact_profile_asks_for_no_clauses(asking):
    client, _ = await asking(GOOD)
    passage = Passage(title="", window="", sentence="The mill closed because the river had fallen very low.")
    general, single = (strategy(GroundedStrategy, client, name=name) for name in ("general", "single-fact"))
    assert "because the river had fallen very low" in general.spans(passage)
    assert "because the river had fallen very low" not in single.spans(passage)


async def test_a_sentence_without_spans_has_no_pairs_and_no_failure(asking):
    client, endpoint = await asking(GOOD)
    assert await pairs_of(strategy(GroundedStrategy, client), Passage(title="", window="", sentence="Yes.")) == []
    assert endpoint.requests == []


async def test_a_failing_endpoint_fails_the_sentence(asking):
    client, _ = await asking(lambda _: Reply(status=400))
    with pytest.raises(RequestFailed):
        await pairs_of(strategy(GroundedStrategy, client))


async def test_an_own_prompt_must_hold_sentence_and_answer(asking):
    client, _ = await asking(GOOD)
    with pytest.raises(InvalidOption):
        strategy(GroundedStrategy, client, prompt="Ask about {sentence}")


# sections ----------------------------------------------------------------------------------------------------------

SECTION = ("Oss had a ferry.", "The bridge of Oss was begun in 1801.", "It was built in 1802 by Ada Holm.")


def sections(client: Endpoint):
    """Pairs of sentences and of sections."""
    return strategy_of_request(pb.GenerateRequest(strategy="sentence+sections"), endpoint=client, default="raw")


def of_section(request) -> bool:
    """Whether a request asks about a section."""
    return SECTION[0] in request["messages"][-1]["content"]


async def test_behind_the_last_sentence_of_a_section_come_the_pairs_of_the_section(asking):
    about = structured(*((f"What came before the bridge, {number}?", "A ferry") for number in range(99)))
    client, endpoint = await asking(lambda body: Reply(text=about if of_section(body) else structured(("Who?", "Ada"))))
    pairs = await pairs_of(sections(client), replace(BRIDGE, section=SECTION))
    assert [pair.kind for pair in pairs] == [Kind.WRITTEN, *[Kind.SECTION] * PAIRS_PER_SECTION]
    asked = endpoint.requests[1]["messages"][-1]["content"]
    assert " ".join(SECTION) in asked
    assert f"up to {PAIRS_PER_SECTION} questions" in asked


@pytest.mark.parametrize("section", [(), SECTION[: LEAST_SENTENCES - 1]])
async def test_where_no_section_ends_or_it_is_too_short_only_the_sentence_is_asked_about(asking, section):
    client, endpoint = await asking(lambda _: Reply(text=structured(("Who?", "Ada"))))
    assert len(await pairs_of(sections(client), replace(BRIDGE, section=section))) == 1
    assert len(endpoint.requests) == 1


async def test_a_section_without_a_usable_reply_costs_no_pair_of_the_sentence(asking):
    client, endpoint = await asking(lambda body: Reply(text="No." if of_section(body) else structured(("Who?", "Ada"))))
    written = sections(client).write(replace(BRIDGE, section=SECTION), Usage())
    assert (await anext(written)).answer == "Ada"
    with pytest.raises(PassageFailed):
        await anext(written)
    assert len(endpoint.requests) == 1 + ATTEMPTS


# raw ---------------------------------------------------------------------------------------------------------------


async def test_raw_text_is_written_as_overlapping_segments_without_asking_anybody(asking):
    client, endpoint = await asking(lambda _: Reply(text="never"))
    chosen = strategy_of_request(pb.GenerateRequest(strategy="raw"), endpoint=client, default="sentence")
    passage = Passage(title="T", window="One. Two. Three.", sentence="Four.", preceding=("One.", "Two.", "Three."))
    pairs = await pairs_of(chosen, passage)
    assert [(pair.question, pair.answer, pair.kind) for pair in pairs] == [("", "Two. Three. Four.", Kind.RAW)]
    assert endpoint.requests == []


async def test_raw_text_stands_beside_the_pairs_of_another_strategy(asking):
    client, _ = await asking(lambda _: Reply(text=structured(("Who?", "Ada"))))
    chosen = strategy_of_request(pb.GenerateRequest(strategy="sentence+raw"), endpoint=client, default="raw")
    assert chosen.name == "sentence+raw"
    ended = replace(BRIDGE, section=SECTION)
    assert [pair.kind for pair in await pairs_of(chosen, ended)] == [Kind.RAW, Kind.WRITTEN]
    also = pb.GenerateRequest(strategy="sentence+sections+raw")
    assert strategy_of_request(also, endpoint=client, default="raw").name == "sentence+sections+raw"


async def test_beside_questions_each_sentence_stands_in_one_run_of_raw_text(asking):
    client, _ = await asking(lambda _: Reply(text=structured(("Who?", "Ada"))))
    chosen = strategy_of_request(pb.GenerateRequest(strategy="sentence+raw"), endpoint=client, default="raw")
    section = ("a" * 399 + ".", "b" * 198 + ".", "c" * 700 + ".", "Four.", "Five.")
    runs = [pair.answer for pair in await pairs_of(chosen, replace(BRIDGE, section=section)) if pair.kind is Kind.RAW]
    assert runs == [" ".join(section[:2]), section[2], " ".join(section[3:])]
    within = await pairs_of(chosen, replace(BRIDGE, section=()))
    assert [pair.kind for pair in within] == [Kind.WRITTEN]


@pytest.mark.parametrize("name", ["raw+sentence", "sentence+", "raw+raw", "Raw", "grounded+sections"])
async def test_a_strategy_that_there_is_not_is_refused(asking, name):
    client, _ = await asking(lambda _: Reply(text="never"))
    with pytest.raises(InvalidOption, match="grounded"):
        strategy_of_request(pb.GenerateRequest(strategy=name), endpoint=client, default="raw")
