import pytest

from trainer.examples.batches import Example
from trainer.learners.prefixes import ON_CPU, ON_GPU, forest


def example(*tokens: int, answer: int = 1) -> Example:
    return Example(tokens=tokens, answer_start=len(tokens) - answer)


def tree(examples):
    return forest([(examples, 1.0)])


def test_what_examples_begin_with_is_there_once():
    laid_out = tree([example(1, 2, 3, 4), example(1, 2, 5), example(1, 2, 3, 6)])
    assert laid_out.tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert laid_out.positions.tolist() == [0, 1, 2, 3, 2, 3]
    assert laid_out.nodes.tolist() == [[0, 1, 2, 3], [0, 1, 4, 4], [0, 1, 2, 5]]
    assert laid_out.lengths.tolist() == [4, 3, 4]


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
    grown = forest([([example(1, 2, 3), example(1, 2, 4)], 1.0), ([example(1, 2, 3)], 0.5)])
    assert grown.tokens.tolist() == [1, 2, 3, 4, 1, 2, 3]
    assert grown.trees == (slice(0, 4), slice(4, 7))
    assert grown.answers.tolist() == [1, 1, 5]
    assert grown.tree_answers == (slice(0, 2), slice(2, 3))
    assert grown.weights.tolist() == [0.5, 0.5, 0.5]
    assert grown.shared.tolist() == [0, 1]


@pytest.mark.parametrize("sizes", [ON_CPU, ON_GPU], ids=["cpu", "gpu"])
def test_a_padded_forest_has_its_examples_and_what_is_added_stands_where_no_example_does(sizes):
    grown = tree([example(1, 2, 3, answer=2), example(1, 4), example(5, 6, 7, 8)])
    padded = grown.padded(sizes)
    count, width = padded.nodes.shape
    assert padded.nodes[:, : grown.nodes.shape[1]].tolist() == grown.nodes.tolist()
    nodes = len(grown.tokens)
    assert padded.tokens[:nodes].tolist() == grown.tokens.tolist()
    assert padded.nodes.view(-1)[padded.places[:nodes]].tolist() == list(range(nodes))
    assert {*padded.places[nodes:].tolist(), *padded.sharing[len(grown.sharing) :].tolist()} == {count * width - 1}
    assert count * width - 1 not in {*padded.places[:nodes].tolist(), *padded.sharing[: len(grown.sharing)].tolist()}
    assert padded.lengths.tolist() == [3, 2, 5]  # the last one's last place is that of what is added
    assert min(padded.shared[len(grown.shared) :].tolist()) >= nodes
    answers = len(grown.answers)
    assert padded.weights[:answers].tolist() == grown.weights.tolist()
    assert not padded.weights[answers:].any()
    assert not padded.chances[answers:].any()
    assert (count, padded.trees, padded.tree_answers) == (3, (slice(0, len(padded.tokens)),), (slice(0, 32),))


def test_what_is_added_to_a_forest_of_several_adapters_belongs_to_the_last():
    grown = forest([([example(1, 2, 3)], 0.5), ([example(4, 5)], 0.5)])
    padded = grown.padded(ON_CPU)
    assert (padded.trees[0], padded.tree_answers[0]) == (grown.trees[0], grown.tree_answers[0])
    assert padded.trees[1] == slice(grown.trees[1].start, len(padded.tokens))
    assert padded.tree_answers[1] == slice(grown.tree_answers[1].start, len(padded.answers))


@pytest.mark.parametrize(("sizes", "few"), [(ON_CPU, 8), (ON_GPU, 5)], ids=["cpu", "gpu"])
def test_padded_forests_have_few_layouts(sizes, few):
    layouts = {
        tuple(
            tensor.shape
            for tensor in tree([example(*range(n), n, m) for m in range(24)]).padded(sizes).tensors().values()
        )
        for n in range(20, 30)
    }
    assert len(layouts) < few
