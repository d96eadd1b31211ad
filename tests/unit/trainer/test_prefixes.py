from trainer.batches import Example
from trainer.prefixes import forest


def example(*tokens: int, answer: int = 1) -> Example:
    return Example(tokens=tokens, answer_start=len(tokens) - answer)


def tree(examples):
    return forest([examples])


def test_what_examples_begin_with_is_there_once():
    laid_out = tree([example(1, 2, 3, 4), example(1, 2, 5), example(1, 2, 3, 6)])
    assert laid_out.tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert laid_out.positions.tolist() == [0, 1, 2, 3, 2, 3]
    assert laid_out.nodes.tolist() == [[0, 1, 2, 3], [0, 1, 4, 4], [0, 1, 2, 5]]


def test_the_same_token_behind_another_beginning_is_another_node():
    assert tree([example(1, 3), example(2, 3)]).tokens.tolist() == [1, 3, 2, 3]


def test_every_node_has_a_place_of_its_own_and_further_places_name_it():
    laid_out = tree([example(1, 2, 3), example(1, 2, 4), example(1, 2, 3)])
    places = laid_out.nodes.view(-1)
    assert places[laid_out.places].tolist() == list(range(4))
    assert places[laid_out.sharing].tolist() == laid_out.shared.tolist() == [0, 1, 0, 1, 2]


def test_places_behind_an_end_count_for_no_node():
    laid_out = tree([example(1, 2), example(3, 4, 5, 6)])
    assert not {2, 3} & {*laid_out.places.tolist(), *laid_out.sharing.tolist()}


def test_answers_are_predicted_one_token_earlier_also_where_they_differ_behind_one_prompt():
    laid_out = tree([example(1, 2, 3, answer=2), example(1, 4), example(1, 5)])
    assert laid_out.answers.tolist() == [0, 1, 0, 0]
    assert laid_out.targets.flatten().tolist() == [2, 3, 4, 5]


def test_adapters_share_nothing():
    grown = forest([[example(1, 2, 3), example(1, 2, 4)], [example(1, 2, 3)]])
    assert grown.tokens.tolist() == [1, 2, 3, 4, 1, 2, 3]
    assert grown.trees == (slice(0, 4), slice(4, 7))
    assert grown.answers.tolist() == [1, 1, 5]
    assert grown.tree_answers == (slice(0, 2), slice(2, 3))
    assert grown.shared.tolist() == [0, 1]
