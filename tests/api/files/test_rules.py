"""What is taken is judged by its bytes; names are made harmless."""

import zipfile
from io import BytesIO

import pytest
from openpyxl import Workbook

from api.files.rules import DOCX, ENDINGS, LONGEST_NAME, XLSX, clean_name, disposition, media_type_of, narrower

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(40)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(40)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(40)
MOV = b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  " + bytes(40)


def package(*parts: str) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for part in parts:
            archive.writestr(part, "<x/>")
    return content.getvalue()


def workbook() -> bytes:
    content = BytesIO()
    Workbook().save(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (PNG, "evil.html", "image/png"),
        (JPEG, "x", "image/jpeg"),
        (PDF, "x.exe", "application/pdf"),
        (MP4, "x.mp4", "video/mp4"),
        (MOV, "x.mov", "video/quicktime"),
        (workbook(), "x.xlsx", XLSX),
        (package("[Content_Types].xml", "word/document.xml"), "x.docx", DOCX),
        (package("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"), "x.docx", None),
        (package("word/document.xml"), "x.docx", None),
        (package("a.txt"), "x.xlsx", None),
        (workbook()[:200], "cut.xlsx", None),
        ("Größe;5\n".encode(), "x.csv", "text/csv"),
        ("Größe;5\n".encode("latin-1"), "x.csv", None),
        (b"a\x00b", "x.txt", None),
        (b"plain words", "x.log", "text/plain"),
        (b"plain words", "x", None),
        (b"<html><script>alert(1)</script>", "x.html", None),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "x.svg", None),
        (b"MZ" + bytes(100), "x.txt", None),
        (b"PK\x03\x04", "x.docx", None),
    ],
)
def test_the_bytes_say_what_it_is(content: bytes, name: str, media_type: str | None) -> None:
    assert media_type_of(content, name) == media_type


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("pump.JPG", "pump.jpg"),
        ("../../etc/passwd", "passwd.jpg"),
        ("C:\\photos\\pump 1 .jpeg", "pump 1.jpeg"),
        ("photo.exe", "photo.exe.jpg"),
        (".htaccess", "htaccess.jpg"),
        ("a\r\nSet-Cookie: x.jpg", "aSet-Cookie_ x.jpg"),
        ("\u202egpj.exe", "gpj.exe.jpg"),
        ("   ", "file.jpg"),
        ("泵.jpg", "泵.jpg"),
        ("x" * 500 + ".jpg", "x" * (LONGEST_NAME - 4) + ".jpg"),
    ],
)
def test_names_are_made_harmless(given: str, cleaned: str) -> None:
    assert clean_name(given, "image/jpeg") == cleaned
    assert clean_name(cleaned, "image/jpeg") == cleaned


def test_a_download_is_saved_and_never_shown() -> None:
    assert disposition(clean_name('a"泵.jpg', "image/jpeg")) == (
        "attachment; filename=\"a__.jpg\"; filename*=UTF-8''a_%E6%B3%B5.jpg"
    )


def test_nothing_that_a_browser_would_run_is_taken() -> None:
    assert not {"text/html", "image/svg+xml", "application/javascript", "application/xhtml+xml"} & set(ENDINGS)


def test_an_audience_only_narrows() -> None:
    assert (narrower("all", "staff"), narrower("staff", "all"), narrower("partner", "all")) == (
        "staff",
        "staff",
        "partner",
    )
