"""The issuing side: license types, records, the register, status lists, printed copies.

Names load when first asked for: a verifier that reads seals never pulls in SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ewallet.licenses.binding import prove
    from ewallet.licenses.catalog import Catalog, LicenseType
    from ewallet.licenses.devices import BindRequest, HolderCredentials
    from ewallet.licenses.intake import read_export
    from ewallet.licenses.issuer import Authority, Issued, Issuer, Order
    from ewallet.licenses.license import Holder, License
    from ewallet.licenses.lifecycle import Case, Event, EventKind, State
    from ewallet.licenses.printed import PrintedCopy, PrintOrder
    from ewallet.licenses.register import Register

__all__ = [
    "Authority",
    "BindRequest",
    "Case",
    "Catalog",
    "Event",
    "EventKind",
    "Holder",
    "HolderCredentials",
    "Issued",
    "Issuer",
    "License",
    "LicenseType",
    "Order",
    "PrintOrder",
    "PrintedCopy",
    "Register",
    "State",
    "prove",
    "read_export",
]

_HOME: Final = {
    "Authority": "issuer",
    "BindRequest": "devices",
    "Case": "lifecycle",
    "Catalog": "catalog",
    "Event": "lifecycle",
    "EventKind": "lifecycle",
    "Holder": "license",
    "HolderCredentials": "devices",
    "Issued": "issuing",
    "Issuer": "issuer",
    "License": "license",
    "LicenseType": "catalog",
    "Order": "issuing",
    "PrintOrder": "printed",
    "PrintedCopy": "printed",
    "Register": "register",
    "State": "lifecycle",
    "prove": "binding",
    "read_export": "intake",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
