import pytest
import torch

from trainer import products
from trainer.products import add_product


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(products, "_known", {})


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def wanted(y, x, weight):
    return y + x @ weight


@pytest.mark.parametrize("way", [products._whole, products._halves])
@pytest.mark.parametrize("columns", [1, 30, 33])
def test_both_ways_add_the_product(way, columns):
    y, x, weight = torch.randn(300, columns), torch.randn(300, 20), torch.randn(columns, 20).t()
    expected = wanted(y, x, weight)
    way(y, x, weight)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("rows", [1, 255, 256, 700])
def test_any_number_of_rows_is_added_once(rows):
    y, x, weight = torch.randn(rows, 30), torch.randn(rows, 20), torch.randn(20, 30)
    expected = wanted(y, x, weight)
    add_product(y, x, weight)
    torch.testing.assert_close(y, expected)


def test_a_way_is_chosen_once_for_rows_that_are_about_as_many(monkeypatch):
    asked = []
    monkeypatch.setattr(products, "_faster", lambda _y, x, _weight: asked.append(len(x)) or products._whole)
    for rows in (320, 383, 384, 320):
        add_product(torch.zeros(rows, 30), torch.randn(rows, 20), torch.randn(20, 30))
    assert asked == [320, 384]


def test_halves_are_taken_where_they_are_faster_by_more_than_a_measurement_can_err(monkeypatch):
    def chosen(seconds):
        now = 0.0

        def way(of):
            def take(*_):
                nonlocal now
                now += seconds[of]

            return take

        whole, halves = way("whole"), way("halves")
        monkeypatch.setattr(products, "_whole", whole)
        monkeypatch.setattr(products, "_halves", halves)
        monkeypatch.setattr(products, "perf_counter", lambda: now)
        return "halves" if products._faster(torch.zeros(1), None, None) is halves else "whole"

    assert chosen({"whole": 2.0, "halves": 1.0}) == "halves"
    assert chosen({"whole": 1.0, "halves": 0.95}) == "whole"
