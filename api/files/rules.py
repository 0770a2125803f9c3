"""Which files are taken, what they are by their bytes, and what they are called."""

import struct
import unicodedata
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Literal
from urllib.parse import quote

import filetype

Audience = Literal["all", "partner", "staff"]

# What is taken, with the endings its names may have; the first is put on where none of them stands.
ENDINGS: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/webp": ("webp",),
    "image/gif": ("gif",),
    "image/heic": ("heic", "heif"),
    "application/pdf": ("pdf",),
    "video/mp4": ("mp4", "m4v"),
    "video/quicktime": ("mov",),
    "text/plain": ("txt", "log"),
    "text/csv": ("csv",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("xlsx",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("docx",),
}
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TAKEN = "JPEG, PNG, WebP, GIF, HEIC, PDF, MP4, MOV, XLSX and DOCX without macros, TXT and CSV in UTF-8"

LONGEST_NAME = 120
_SAME: Mapping[str, str] = {"video/x-m4v": "video/mp4"}
# Text has no mark of its own: the name must say so, and the bytes must be nothing else.
_TEXT: Mapping[str, str] = {"txt": "text/plain", "log": "text/plain", "csv": "text/csv"}
_TEXT_CONTROLS = frozenset("\t\r\n\f")
_OFFICE: Mapping[str, str] = {"xl/workbook.xml": XLSX, "word/document.xml": DOCX}
_MOST_ENTRIES = 10_000
# Not in a name on some system or other, or with a meaning in a header.
_FORBIDDEN = frozenset('<>:"|?*;%')


def media_type_of(content: bytes, name: str) -> str | None:
    """What a file is by its bytes, or None when that is nothing we take.

    Args:
        content: The whole file.
        name: As the sender calls it; counts only for text, which has no mark of its own.
    """
    if content.startswith(b"PK\x03\x04"):
        return _office_type(content)
    kind = filetype.guess_mime(content)
    if kind is not None:
        kind = _SAME.get(kind, kind)
        return kind if kind in ENDINGS else None
    media_type = _TEXT.get(_ending(name))
    return media_type if media_type is not None and _is_text(content) else None


def _office_type(content: bytes) -> str | None:
    """XLSX or DOCX by the parts inside; nothing is unpacked."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as package:
            parts = set(package.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, IndexError, struct.error):
        return None
    if len(parts) > _MOST_ENTRIES or "[Content_Types].xml" not in parts:
        return None
    if any(part.lower().endswith("vbaproject.bin") for part in parts):
        return None
    return next((media_type for part, media_type in _OFFICE.items() if part in parts), None)


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(unicodedata.category(letter) == "Cc" and letter not in _TEXT_CONTROLS for letter in set(text))


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return ending.strip().lower() if dot and stem else ""


def clean_name(name: str, media_type: str) -> str:
    """A name that is safe on every system and says what the file is.

    Folders, control and direction characters and leading dots go; an ending that is not one of the type's is followed
    by one that is.
    """
    letters = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = (
        "_" if letter in _FORBIDDEN else letter
        for letter in letters
        if not unicodedata.category(letter).startswith("C")
    )
    whole = " ".join("".join(kept).split()).strip(". ")
    endings = ENDINGS[media_type]
    ending = _ending(whole)
    if ending in endings:
        stem = whole[: -len(ending) - 1].rstrip(". ")
    else:
        stem, ending = whole, endings[0]
    return f"{stem[: LONGEST_NAME - len(ending) - 1] or 'file'}.{ending}"


def disposition(name: str) -> str:
    """Content-Disposition of a download (RFC 6266): always as an attachment, never shown in place."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace("\\", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


_WIDTH: Mapping[Audience, int] = {"staff": 0, "partner": 1, "all": 2}


def narrower(one: Audience, other: Audience) -> Audience:
    """The audience of fewer people."""
    return min(one, other, key=_WIDTH.__getitem__)
