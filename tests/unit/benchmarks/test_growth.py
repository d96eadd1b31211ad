"""Plots: which lines the figures make, and that a picture comes of them."""

import re

import pytest
from PIL import Image

from benchmarks.growth import of_breakeven, of_load, of_pipeline, of_registered, of_serving
from benchmarks.plot import draw
from lift.errors import InvalidOption

SERVING = {
    "streams": 8,
    "tokens_per_second": {
        "batch": {"base": {"median": 100}, "1 of rank 8": {"median": 80}, "8 of rank 8": {"median": 50}}
        | {"stock, 8 of rank 8": {"median": 2}}
    },
    "limits": {
        "batch": {
            "base": {"tokens_per_second": 200},
            "1 of rank 8": {"tokens_per_second": 190},
            "8 of rank 8": {"tokens_per_second": 120},
        }
    },
}
LOAD = {
    "concurrency": {
        "1": {"first_token_seconds": {"p50": 0.1}, "latency_seconds": {"p50": 0.5}},
        "64": {"answers": 0, "failed": 3},
    }
}
SECONDS = ("accepted_to_first_token_seconds", "generation_alone_seconds", "training_alone_seconds")
PIPELINE = {"sentences": {"5": {name: {"median": 9} for name in SECONDS}}}

REGISTERED = {
    "registered": {
        "0": {"memory_gb": 2, "load_seconds": None, "decode_tokens_per_second": {"median": 90}},
        "1": {"memory_gb": 2, "load_seconds": {"median": 0.5}, "decode_tokens_per_second": {"median": 80}},
        "16": {"memory_gb": 3, "load_seconds": {"median": 0.5}, "decode_tokens_per_second": {"median": 40}},
    }
}

EACH = {"adapter": {"median": 1}, "long context": {"median": 3}}
BREAKEVEN = {
    "sentences": {
        "25": {
            "training_seconds": {"median": 10},
            "first_seconds": {"adapter": {"median": 2}, "long context": {"median": 7}},
            "concurrency": {"8": {"seconds_a_question": {}}, "1": {"seconds_a_question": EACH}},
        },
        "5": {"training_seconds": {"median": 2}, "concurrency": {}},
    }
}


def test_serving_is_drawn_against_adapters_with_its_limits_and_stock_vllm():
    lines = of_serving(SERVING).lines
    assert lines["rank 8"] == [(1, 80), (8, 50)]
    assert lines["rank 8, limit"] == [(1, 190), (8, 120)]
    assert lines["rank 8, stock vLLM"] == [(8, 2)]
    assert lines["base"] == [(1, 100)]


def test_an_engines_adapters_are_drawn_against_the_fewest():
    assert of_registered(REGISTERED).lines == {
        "memory": [(1, 1), (16, 1.5)],
        "seconds of a load": [(1, 1), (16, 1)],
        "seconds of a token": [(1, 1), (16, 2)],
    }


def test_load_is_drawn_against_queries_at_once_where_there_were_answers():
    assert of_load(LOAD).lines == {"first token, p50": [(1, 0.1)], "answer, p50": [(1, 0.5)]}


def test_break_even_is_drawn_for_the_longest_document_and_the_fewest_questions_at_once():
    lines = of_breakeven(BREAKEVEN).lines
    assert lines["adapter"][:3] == [(1, 12), (2, 13), (4, 15)]
    assert lines["long context"][:3] == [(1, 7), (2, 10), (4, 16)]


@pytest.mark.parametrize(
    "growth",
    [of_serving(SERVING), of_registered(REGISTERED), of_load(LOAD), of_pipeline(PIPELINE), of_breakeven(BREAKEVEN)],
)
def test_a_picture_comes_of_it_also_where_there_is_one_point(growth, tmp_path):
    draw(tmp_path / "growth.png", growth)
    with Image.open(tmp_path / "growth.png") as drawn:
        assert drawn.format == "PNG"
    draw(tmp_path / "growth.svg", growth)
    shown = (tmp_path / "growth.svg").read_text()
    assert all(f">{text}</text>" in shown for text in (growth.title, growth.x, growth.y, *growth.lines))


def test_what_grows_as_documents_do_is_straight(tmp_path):
    kinds = "accepted_to_first_token", "generation_alone", "training_alone"
    lengths = {str(length): {f"{kind}_seconds": {"median": 2 * length} for kind in kinds} for length in (10, 20, 80)}
    draw(tmp_path / "growth.svg", of_pipeline({"sentences": lengths}))
    paths = re.findall(r'<path d="([^"z]+)"', (tmp_path / "growth.svg").read_text())
    lines = [list(map(float, of_three)) for path in paths if len(of_three := re.findall(r"[\d.]+", path)) == 6]
    assert len(lines) == 2 * len(kinds)  # those of the legend are flat
    for a_x, a_y, b_x, b_y, c_x, c_y in lines:
        assert (b_y - a_y) * (c_x - b_x) == pytest.approx((c_y - b_y) * (b_x - a_x), rel=1e-3)


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(InvalidOption):
        draw(tmp_path / "growth.csv", of_load(LOAD))


def test_figures_without_any_answer_are_not_drawn(tmp_path):
    with pytest.raises(InvalidOption):
        draw(tmp_path / "growth.png", of_load({"concurrency": {"1": {"answers": 0}}}))
