"""Turns a document's bytes and media type into its text, or says why they are none."""

import codecs
import re

from lift.errors import DocumentBinary, DocumentEmpty, DocumentUndecodable, MediaTypeUnknown

MEDIA_TYPES = ("text/plain", "text/markdown")
MAX_MEDIA_TYPE_CHARACTERS = 200

# A mark at the start says more than the charset parameter. UTF-32's little-endian mark starts with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python knows codecs that are no character sets of documents (idna, unicode_escape, rot13): only these are used.
_CHARSETS = re.compile(
    r"ascii|utf-(8|16|32)(-(le|be|sig))?|iso8859-\d+|cp(125\d|437|850|852|866|932|949|950)|mac-roman|koi8-[rut]|tis-620"
    r"|gb2312|gbk|gb18030|big5(hkscs)?|euc_(jp|kr|jis_2004)|shift_jis(_2004)?|iso2022_jp"
)
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Nothing is given back (*+): spaces may be of the value or stand around it, and to try each would take their cube.
_PARAMETER = re.compile(r"\s*+([A-Za-z0-9-]++)\s*+=\s*+\"?+([^\";]*+)\"?+\s*+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_MAX_CONTROL_SHARE = 0.05


def read_text(content: bytes, media_type: str) -> str:
    """The text, with newlines as \\n and without a byte order mark.

    DocumentEmpty, DocumentBinary, DocumentUndecodable, MediaTypeUnknown.
    """
    charset = _charset(media_type)
    if not content:
        raise DocumentEmpty()
    encoding, body = _marked(content) or (charset, content)
    wide = encoding.startswith(("utf-16", "utf-32"))
    if b"\0" in body and not wide:
        raise DocumentBinary(media_type=media_type[:80])
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        if not wide and len(_CONTROL_BYTE.findall(body)) > _MAX_CONTROL_SHARE * len(body):
            raise DocumentBinary(media_type=media_type[:80]) from error
        raise DocumentUndecodable(charset=encoding, position=error.start) from error
    if "\0" in text or len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        raise DocumentBinary(media_type=media_type[:80])
    if not text.strip().strip("\ufeff\u200b"):
        raise DocumentEmpty()
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _charset(media_type: str) -> str:
    if len(media_type) > MAX_MEDIA_TYPE_CHARACTERS:
        raise MediaTypeUnknown(media_type=media_type[:80], limit_characters=MAX_MEDIA_TYPE_CHARACTERS)
    kind, *parameters = media_type.split(";")
    if kind.strip().lower() not in MEDIA_TYPES:
        raise MediaTypeUnknown(media_type=media_type[:80], known=", ".join(MEDIA_TYPES))
    values = {m[1].lower(): m[2] for parameter in parameters if (m := _PARAMETER.fullmatch(parameter))}
    name = values.get("charset", "utf-8").strip()
    try:
        charset = codecs.lookup(name).name if _TOKEN.fullmatch(name) else ""
    except LookupError:
        charset = ""
    if not _CHARSETS.fullmatch(charset):
        raise MediaTypeUnknown(charset=name[:40])
    return charset


def _marked(content: bytes) -> tuple[str, bytes] | None:
    return next(((name, content[len(mark) :]) for mark, name in _MARKS if content.startswith(mark)), None)
