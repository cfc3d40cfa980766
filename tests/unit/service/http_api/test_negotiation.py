"""Accept × format → the form of the answer."""

import pytest

from runtime.sequences import FileFormat
from service.errors import InvalidRequest
from service.http_api.negotiation import OFFERED, Answer, Format, choose

JSON, ZIP, PNG = "application/json", "application/zip", "image/png"


@pytest.mark.parametrize(
    ("accept", "body_format", "media_type", "file_format"),
    [
        (None, None, JSON, None),
        ("", None, JSON, None),
        ("*/*", None, JSON, None),
        ("application/*", None, JSON, None),
        ("image/*", None, PNG, "png"),
        (JSON, None, JSON, None),
        (ZIP, None, ZIP, None),
        (PNG, None, PNG, "png"),
        ("image/jpeg", None, "image/jpeg", "jpeg"),
        ("image/webp", None, "image/webp", "webp"),
        ("image/gif", None, "image/gif", "gif"),
        (None, "gif", "image/gif", "gif"),
        (JSON, "gif", JSON, "gif"),
        ("application/x-npy", None, "application/x-npy", None),
        ("IMAGE/PNG", None, PNG, "png"),
        (None, "png", PNG, "png"),
        ("*/*", "png", PNG, "png"),
        ("*/*", "npy", "application/x-npy", None),
        (None, "npz", "application/x-npz", None),
        (None, "raw", "application/octet-stream", None),
        ("image/*", "jpeg", "image/jpeg", "jpeg"),
        (JSON, "jpeg", JSON, "jpeg"),
        (ZIP, "webp", ZIP, "webp"),
        (f"{JSON}, */*", "npy", "application/x-npy", None),
        ("text/html, image/png", None, PNG, "png"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None, JSON, None),
        (f"{JSON};q=0.5, {ZIP};q=0.9", None, ZIP, None),
        (f"{JSON};q=0, {PNG}", None, PNG, "png"),
        (f"{JSON};q=0, */*", None, ZIP, None),
        (f"{PNG};q=0, image/*", None, "image/jpeg", "jpeg"),
        ("image/png; charset=x ; q=0.1", None, PNG, "png"),
    ],
)
def test_the_header_and_the_format_together_choose(
    accept: str | None, body_format: Format | None, media_type: str, file_format: FileFormat | None
) -> None:
    assert choose(accept, body_format) == Answer(media_type, file_format)


@pytest.mark.parametrize(
    ("accept", "body_format", "allowed"),
    [
        ("text/html", None, ", ".join(OFFERED)),
        ("image/bmp", None, ", ".join(OFFERED)),
        (f"{PNG};q=0, */*", "png", "image/png, since format is png"),
        ("*/*;q=0", None, ", ".join(OFFERED)),
        ("application/json;q=x", None, "weights like q=0.5"),
        (JSON, "npy", "application/x-npy, since format is npy"),
        (PNG, "jpeg", "image/jpeg, since format is jpeg"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(accept: str, body_format: Format | None, allowed: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        choose(accept, body_format)
    assert refusal.value.message == f"Accept: got {accept!r}; allowed: {allowed}"
    assert refusal.value.param == "Accept"
