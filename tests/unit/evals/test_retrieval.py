"""Passages and the words by which they are found."""

from evals.retrieval import Retriever, passages


def test_passages_are_whole_sentences_of_about_a_length():
    text = "One two three. Four five. Six seven eight nine ten eleven. Twelve."
    assert passages(text, words=5) == ("One two three. Four five.", "Six seven eight nine ten eleven.", "Twelve.")


def test_rare_words_count_more_than_frequent_ones_and_short_passages_more_than_long_ones():
    rare = ["the ferry and the harbour", "the goats and the sheep", "the bell and the tide", "the the the the the"]
    assert Retriever(rare).best("The goats?", 1) == (rare[1],)
    short = ["a ferry of the island's own, painted and tarred each year in spring", "a ferry", "no boat"]
    assert Retriever(short).best("ferry", 1) == (short[1],)


def test_where_no_word_is_shared_the_first_passages_are_taken():
    texts = ["Sheep eat kelp.", "The ferry sails.", "?!"]
    for question in ("Zebra?", "", "???"):
        assert Retriever(texts).best(question, 2) == tuple(texts[:2])
    assert Retriever(["?!", "..."]).best("Which ferry?", 1) == ("?!",)
    assert Retriever([]).best("Which ferry?", 3) == ()


def test_the_best_passages_come_in_the_order_of_the_text():
    found = Retriever(["The ferry sails.", "Sheep eat kelp.", "The ferry is Petrel."]).best("Which ferry?", 2)
    assert found == ("The ferry sails.", "The ferry is Petrel.")
