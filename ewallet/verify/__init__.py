"""The relying side: verify what is shown, decide, and remember.

Everything is imported when it is first used: a gate that reads codes loads no SQL and no PDF reader.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ewallet.verify.coverage import Acceptance, Coverage, accept, cover
    from ewallet.verify.counter import open_verifier
    from ewallet.verify.matters import Matter, Matters
    from ewallet.verify.pdf import verify_pdf
    from ewallet.verify.policy import Policy
    from ewallet.verify.replay import FileGuard, MemoryGuard, ReplayGuard
    from ewallet.verify.result import Check, Facts, Kind, LicenseFacts, Notice, Party, Verification
    from ewallet.verify.sources import StatusDirectory, StatusMirror, StatusSource
    from ewallet.verify.verifier import Verifier

_PLACES: Final = {
    "Acceptance": "coverage",
    "Coverage": "coverage",
    "Matter": "matters",
    "Matters": "matters",
    "accept": "coverage",
    "cover": "coverage",
    "Check": "result",
    "Facts": "result",
    "FileGuard": "replay",
    "Kind": "result",
    "LicenseFacts": "result",
    "MemoryGuard": "replay",
    "Notice": "result",
    "Party": "result",
    "Policy": "policy",
    "ReplayGuard": "replay",
    "StatusDirectory": "sources",
    "StatusMirror": "sources",
    "StatusSource": "sources",
    "Verification": "result",
    "Verifier": "verifier",
    "open_verifier": "counter",
    "verify_pdf": "pdf",
}

__all__ = [
    "Acceptance",
    "Check",
    "Coverage",
    "Facts",
    "FileGuard",
    "Kind",
    "LicenseFacts",
    "Matter",
    "Matters",
    "MemoryGuard",
    "Notice",
    "Party",
    "Policy",
    "ReplayGuard",
    "StatusDirectory",
    "StatusMirror",
    "StatusSource",
    "Verification",
    "Verifier",
    "accept",
    "cover",
    "open_verifier",
    "verify_pdf",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
