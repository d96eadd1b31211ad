"""How a document's bytes become text."""

import codecs
import time
import zlib

import pytest

from lift.errors import DocumentBinary, DocumentEmpty, DocumentUndecodable, LiftError, MediaTypeUnknown
from storage import text
from storage.text import read_text


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        ("Grüße, 東京".encode(), "text/plain"),
        ("Grüße, 東京".encode(), "text/markdown; charset=UTF-8"),
        ("Grüße, 東京".encode(), 'Text/Plain ; Charset="utf-8"'),
        ("Grüße, 東京".encode("utf-16"), "text/plain"),
        ("Grüße, 東京".encode("utf-16-le"), "text/plain; charset=utf-16le"),
        ("Grüße, 東京".encode("utf-32"), "text/plain"),
        ("Grüße, 東京".encode("gb18030"), "text/plain; charset=gb18030"),
        (codecs.BOM_UTF8 + "Grüße, 東京".encode(), "text/plain"),
        (codecs.BOM_UTF8 + "Grüße, 東京".encode(), "text/plain; charset=iso-8859-1"),
    ],
)
def test_text_is_read_in_its_character_set(content: bytes, media_type: str) -> None:
    assert read_text(content, media_type) == "Grüße, 東京"


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "latin1", "iso-8859-15", "macintosh"])
def test_old_character_sets_are_read(charset: str) -> None:
    assert read_text("Grüße".encode(charset), f"text/plain; charset={charset}") == "Grüße"


def test_newlines_are_of_one_kind() -> None:
    assert read_text(b"a\r\nb\rc\n", "text/plain") == "a\nb\nc\n"


@pytest.mark.parametrize("content", [b"", b" \n\t ", "\u00a0\u3000".encode(), codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_a_document_without_text_is_empty(content: bytes) -> None:
    with pytest.raises(DocumentEmpty):
        read_text(content, "text/plain")


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"text\0text",
        b"\0",
        zlib.compress(b"a lot of text " * 1000 + bytes(range(256)) * 20),
        bytes(range(1, 32)) * 10,
        codecs.BOM_UTF16_LE + b"a\0\0\0b\0",
    ],
)
def test_binary_data_are_told_from_text(content: bytes) -> None:
    with pytest.raises(DocumentBinary):
        read_text(content, "text/plain")


def test_binary_data_are_told_from_text_in_a_character_set_that_takes_every_byte() -> None:
    with pytest.raises(DocumentBinary):
        read_text(bytes(range(1, 256)) * 4, "text/plain; charset=iso-8859-1")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        ("Grüße aus Köln".encode("latin-1"), "text/plain"),
        ("Grüße aus Köln".encode(), "text/plain; charset=us-ascii"),
        ("Grüße".encode("utf-16-le") + b"\0", "text/plain; charset=utf-16le"),
        (b"caf\xed\xa0\x80", "text/plain"),  # half of a surrogate pair
    ],
)
def test_bytes_that_are_not_of_the_character_set_are_undecodable(content: bytes, media_type: str) -> None:
    with pytest.raises(DocumentUndecodable):
        read_text(content, media_type)


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text",
        "text/html",
        "application/pdf",
        "text/plain\0",
        "text/plain; charset=klingon",
        "text/plain; charset=",
        "text/plain; charset=hex",
        "text/plain; charset=rot13",
        "text/plain; charset=idna",
        "text/plain; charset=unicode_escape",
        "text/plain; charset=../../etc/passwd",
        "text/plain; charset=" + "u" * 10_000,
        "text/plain; x=" + "u" * 10_000,
    ],
)
def test_what_cannot_be_read_is_said_so(media_type: str) -> None:
    with pytest.raises(MediaTypeUnknown) as caught:
        read_text(b"text", media_type)
    assert len(str(caught.value)) < 300


def test_a_parameter_is_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_MEDIA_TYPE_CHARACTERS", 10_000)
    started = time.process_time()
    assert read_text(b"text", "text/plain; a=" + " " * 2_000 + '"x"y') == "text"
    assert time.process_time() - started < 1


def test_an_error_never_quotes_the_document() -> None:
    for content in (b"secret\0", b"secret\xff", b" "):
        with pytest.raises(LiftError) as caught:
            read_text(content, "text/plain")
        assert "secret" not in str(caught.value)
