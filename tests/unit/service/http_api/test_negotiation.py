"""Accept × format → the form of the answer."""

import pytest

from service.errors import InvalidRequest
from service.http_api.negotiation import OFFERED, Answer, Format, choose

JSON, ZIP, PNG = "application/json", "application/zip", "image/png"


@pytest.mark.parametrize(
    ("accept", "body_format", "media_type", "image_format"),
    [
        (None, None, JSON, "png"),
        ("", None, JSON, "png"),
        ("*/*", None, JSON, "png"),
        ("application/*", None, JSON, "png"),
        ("image/*", None, PNG, "png"),
        (JSON, None, JSON, "png"),
        (ZIP, None, ZIP, "png"),
        (PNG, None, PNG, "png"),
        ("image/jpeg", None, "image/jpeg", "jpeg"),
        ("image/webp", None, "image/webp", "webp"),
        ("application/x-npy", None, "application/x-npy", "png"),
        ("IMAGE/PNG", None, PNG, "png"),
        (None, "png", PNG, "png"),
        ("*/*", "png", PNG, "png"),
        ("*/*", "npy", "application/x-npy", "png"),
        (None, "npz", "application/x-npz", "png"),
        (None, "raw", "application/octet-stream", "png"),
        ("image/*", "jpeg", "image/jpeg", "jpeg"),
        (JSON, "jpeg", JSON, "jpeg"),
        (ZIP, "webp", ZIP, "webp"),
        (f"{JSON}, */*", "npy", "application/x-npy", "png"),
        ("text/html, image/png", None, PNG, "png"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None, JSON, "png"),
        (f"{JSON};q=0.5, {ZIP};q=0.9", None, ZIP, "png"),
        (f"{JSON};q=0, {PNG}", None, PNG, "png"),
        (f"{JSON};q=0, */*", None, ZIP, "png"),
        (f"{PNG};q=0, image/*", None, "image/jpeg", "jpeg"),
        ("image/png; charset=x ; q=0.1", None, PNG, "png"),
    ],
)
def test_the_header_and_the_format_together_choose(
    accept: str | None, body_format: Format | None, media_type: str, image_format: str
) -> None:
    assert choose(accept, body_format) == Answer(media_type, image_format)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accept", "body_format", "allowed"),
    [
        ("text/html", None, ", ".join(OFFERED)),
        ("image/gif", None, ", ".join(OFFERED)),
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
