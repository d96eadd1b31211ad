"""Passages and the words by which they are found."""

import pytest

from evals.retrieval import Retriever, passages


def test_passages_are_whole_sentences_of_about_a_length():
    text = "One two three. Four five. Six seven eight nine ten eleven. Twelve."
    assert passages(text, words=5) == ("One two three. Four five.", "Six seven eight nine ten eleven.", "Twelve.")


def test_bm25_is_as_worked_out_by_hand():
    retriever = Retriever(["goats goats sheep", "sheep", "ferry harbour"])
    # goats: in 1 of 3 texts, idf ln(1 + 2.5 / 1.5); twice in 3 words where 2 are the mean: 2 * 2.5 / (2 + 1.5 * 1.375)
    assert retriever._score(retriever._counts[0], {"goats"}) == pytest.approx(0.980829 * 5 / 4.0625, abs=1e-5)


def test_the_best_passages_come_in_the_order_of_the_text():
    found = Retriever(["The ferry sails.", "Sheep eat kelp.", "The ferry is Petrel."]).best("Which ferry?", 2)
    assert found == ("The ferry sails.", "The ferry is Petrel.")
