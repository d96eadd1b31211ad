"""What options of several numbers come to."""

import pytest

from lift.cli.options import numbers
from lift.errors import InvalidOption


def test_each_number_is_taken_once_in_the_order_given():
    assert numbers("adapters", "8,1, 8") == (8, 1)


@pytest.mark.parametrize("text", ["", "1,", "1;2", "a lot", "1.5"])
def test_what_is_no_whole_number_is_refused_with_the_option(text):
    with pytest.raises(InvalidOption, match="lengths"):
        numbers("lengths", text)
