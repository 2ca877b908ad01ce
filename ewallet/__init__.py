"""Electronic licenses and rotating identity codes: issue, print, show, verify, recognize.

```python
from ewallet import Outcome, open_verifier
```

The nouns that most programs need are here, each imported when it is first used; the rest comes from
`ewallet.keys`, `ewallet.formats`, `ewallet.trust`, `ewallet.licenses`, `ewallet.code` and `ewallet.verify`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ewallet.errors import EwalletError, Refused
from ewallet.reasons import REASONS, Outcome, Reason

if TYPE_CHECKING:
    from ewallet.code.authority import CodeAuthority
    from ewallet.code.passes import Pass
    from ewallet.code.rotating import show
    from ewallet.formats.qr import qr_image, read_image
    from ewallet.keys import PublicKey, Signer, SigningKey
    from ewallet.licenses.catalog import Catalog
    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.license import License
    from ewallet.licenses.register import Register
    from ewallet.trust.distribution import TrustStore
    from ewallet.trust.trust import Trust
    from ewallet.verify.counter import open_verifier
    from ewallet.verify.policy import Policy
    from ewallet.verify.result import Verification
    from ewallet.verify.verifier import Verifier

__version__ = "0.1.0"

_PLACES: Final = {
    "Catalog": "ewallet.licenses.catalog",
    "CodeAuthority": "ewallet.code.authority",
    "Issuer": "ewallet.licenses.issuer",
    "License": "ewallet.licenses.license",
    "Pass": "ewallet.code.passes",
    "Policy": "ewallet.verify.policy",
    "PublicKey": "ewallet.keys",
    "Register": "ewallet.licenses.register",
    "Signer": "ewallet.keys",
    "SigningKey": "ewallet.keys",
    "Trust": "ewallet.trust.trust",
    "TrustStore": "ewallet.trust.distribution",
    "Verification": "ewallet.verify.result",
    "Verifier": "ewallet.verify.verifier",
    "open_verifier": "ewallet.verify.counter",
    "qr_image": "ewallet.formats.qr",
    "read_image": "ewallet.formats.qr",
    "show": "ewallet.code.rotating",
}

__all__ = [
    "REASONS",
    "Catalog",
    "CodeAuthority",
    "EwalletError",
    "Issuer",
    "License",
    "Outcome",
    "Pass",
    "Policy",
    "PublicKey",
    "Reason",
    "Refused",
    "Register",
    "Signer",
    "SigningKey",
    "Trust",
    "TrustStore",
    "Verification",
    "Verifier",
    "open_verifier",
    "qr_image",
    "read_image",
    "show",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'ewallet' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
