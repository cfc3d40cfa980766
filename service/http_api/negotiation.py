"""Which form an answer takes: `format` in the body together with the Accept header (RFC 9110 §12.5.1)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from runtime.sequences import FileFormat
from service.errors import InvalidRequest

Format = Literal["png", "jpeg", "webp", "gif", "npy", "npz", "raw"]
Layout = Literal["images", "grid"]

_IMAGES: dict[str, FileFormat] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
    "image/gif": "gif",
}
_MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "raw": "application/octet-stream",
}
_ENVELOPES = ("application/json", "application/zip")
OFFERED = (*_ENVELOPES, *_MEDIA_TYPES.values())
STREAMED = ("text/event-stream", "application/x-ndjson")
_WILDCARDS = {"*/*": "application/json", "application/*": "application/json", "image/*": "image/png"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen form.

    Attributes:
        media_type: Content-Type of the answer.
        file_format: how single images or sequences are encoded, inside JSON and archives too; None leaves it to
            the model.
    """

    media_type: str
    file_format: FileFormat | None


def choose_stream(accept: str | None, body_format: Format | None) -> Answer:
    """The form of a stream: server-sent events, or a line of JSON for each image where ``Accept`` prefers that.

    Raises:
        InvalidRequest: ``Accept`` allows neither, or `format` is an array's.
    """
    if body_format is not None and _MEDIA_TYPES[body_format] not in _IMAGES:
        raise InvalidRequest.field("format", body_format, f"{', '.join(_IMAGES.values())} where stream is true")
    ranges, refused = _by_preference(accept or "*/*")
    for accepted in ranges:
        for offer in STREAMED:
            if _covers(accepted, offer) and offer not in refused:
                return Answer(offer, _IMAGES[_MEDIA_TYPES[body_format]] if body_format else None)
    raise InvalidRequest.field("Accept", accept, f"{' or '.join(STREAMED)} where stream is true")


@lru_cache(64)
def choose(accept: str | None, body_format: Format | None) -> Answer:
    """The form that both the header and the body's `format` allow.

    ``Accept`` absent or ``*/*`` leaves it to `format`, whose absence means JSON. ``application/json`` and
    ``application/zip`` carry images encoded as `format` says, or as suits the model.

    Raises:
        InvalidRequest: nothing acceptable is offered, or the two contradict each other.
    """
    wanted = _MEDIA_TYPES[body_format] if body_format else None
    carried = wanted is None or wanted in _IMAGES  # an array has no place in an envelope
    file_format = _IMAGES.get(wanted or "")
    ranges, refused = _by_preference(accept or "*/*")
    for accepted in ranges:
        if wanted in refused:
            break
        if wanted and _covers(accepted, wanted):
            return Answer(wanted, file_format)
        if accepted in _ENVELOPES and carried:
            return Answer(accepted, file_format)
        if wanted:
            continue
        media_type = _WILDCARDS.get(accepted, accepted)
        if media_type in refused:
            media_type = next((offer for offer in OFFERED if _covers(accepted, offer) and offer not in refused), "")
        if media_type in OFFERED:
            return Answer(media_type, _IMAGES.get(media_type))
    if wanted:
        raise InvalidRequest.field("Accept", accept, f"{wanted}, since format is {body_format}")
    raise InvalidRequest.field("Accept", accept, ", ".join(OFFERED))


def _covers(accepted: str, media_type: str) -> bool:
    if accepted in ("*/*", media_type):
        return True
    return accepted.endswith("/*") and media_type.startswith(accepted[:-1])


def _by_preference(accept: str) -> tuple[list[str], set[str]]:
    """Media ranges in the order of their weight, and those of weight 0, which are refused."""
    weighted = []
    for part in accept.split(","):
        media_type, *parameters = (piece.strip() for piece in part.lower().split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    raise InvalidRequest.field("Accept", accept, "weights like q=0.5") from None
        if media_type:
            weighted.append((weight, media_type))
    ordered = [media_type for weight, media_type in sorted(weighted, key=lambda pair: -pair[0]) if weight > 0]
    return ordered, {media_type for weight, media_type in weighted if weight <= 0}
