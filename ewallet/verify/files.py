"""What somebody hands over as a file: told by its first bytes, then verified like anything scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ewallet.errors import Refused
from ewallet.reasons import Layer
from ewallet.verify.result import Check, StepResult, refuse

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.code.challenge import Challenge, Request
    from ewallet.verify.result import Verification
    from ewallet.verify.verifier import Verifier

MAX_FILE: Final = 32 * 1024 * 1024
"""Bytes of a file: a scanned page of the largest original in colour."""

_PDF: Final = b"%PDF-"
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF")
"""PNG, JPEG, BMP, WebP."""


def verify_file(
    verifier: Verifier, data: bytes, *, now: datetime, answering: Challenge | Request | None = None
) -> Verification:
    """Verifies the content of a picture, a PDF, a credential file or a text file. Never raises for it.

    Args:
        verifier: the counter.
        data: content of the file.
        now: the time of the check.
        answering: as in `Verifier.verify`; a PDF answers nothing.

    Raises:
        MissingExtra: pictures and PDFs need the extra `scan`.
        ValueError: as `Verifier.verify`.
    """
    if len(data) > MAX_FILE:
        return _ended("code.too_long", "a file of that size", now)
    if data.startswith(_PDF):
        from ewallet.verify.pdf import verify_pdf  # noqa: PLC0415 (the PDF reader)

        return verify_pdf(verifier, data, now=now)
    if data.startswith(_PICTURES):
        from ewallet.formats.qr import read_image  # noqa: PLC0415 (Pillow and the reader)

        try:
            codes = read_image(data)
        except Refused as refused:
            return _ended(refused.reason, refused.detail, now)
        return verifier.verify(codes, now=now, answering=answering)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return verifier.verify(data, now=now, answering=answering)
    return verifier.verify(text.strip(), now=now, answering=answering)


def _ended(reason: str, detail: str, now: datetime) -> Verification:
    check = Check(step=1, name="form", layer=Layer.GENUINE, result=StepResult.FAILED, detail=detail)
    return refuse(reason, (check,), at=now)
