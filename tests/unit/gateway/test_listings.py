"""Pages that one message holds."""

from functools import partial

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from lift.v1.documents_pb2 import ListDocumentsRequest
from server.gateway import listings
from storage.catalogue.pages import page_at


@pytest.mark.parametrize(
    ("mebibytes", "pages"),
    [
        ([], [[]]),
        ([0.5, 0.5], [[0.5, 0.5]]),
        ([0.5, 3, 0.5], [[0.5], [3], [0.5]]),
        ([3, 3], [[3], [3]]),
        ([0.6] * 7, [[0.6] * 3, [0.6] * 3, [0.6]]),
    ],
)
async def test_a_page_holds_two_mebibytes_or_one_row(mebibytes, pages):
    show = listings.each(lambda size: BytesValue(value=bytes(int(size * 2**20))))
    found, token = [], ""
    while not found or token:
        rows, token = await listings.page(ListDocumentsRequest(page_token=token), partial(page_at, mebibytes), show)
        found.append([round(len(row.value) / 2**20, 1) for row in rows])
    assert found == pages


async def test_a_page_of_small_rows_is_listed_once():
    asked = []

    def listed(size, token):
        asked.append((size, token))
        return page_at(range(9), size, token)

    show = listings.each(lambda _: BytesValue(value=b"row"))
    rows, token = await listings.page(ListDocumentsRequest(page_size=5), listed, show)
    assert (len(rows), token, asked) == (5, "5", [(5, "")])
