"""Importing the package stays light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ewallet

HEAVY = (
    "sqlalchemy",
    "alembic",
    "typst",
    "jwt",
    "tuf",
    "PIL",
    "fastapi",
    "starlette",
    "uvicorn",
    "qrcode",
    "cryptography",
)


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_ewallet_pulls_in_nothing_heavy():
    assert not loaded_after("import ewallet") & set(HEAVY)


@pytest.mark.parametrize(
    "code", ["from ewallet import Verifier, Policy", "from ewallet.verify.counter import open_verifier"]
)
def test_a_verifier_needs_neither_database_nor_pictures(code):
    found = loaded_after(code)
    assert "ewallet" in found
    assert not found & {"sqlalchemy", "alembic", "typst", "tuf", "PIL", "fastapi", "qrcode", "pypdfium2"}


def test_every_public_name_is_there():
    for name in ewallet.__all__:
        assert getattr(ewallet, name) is not None
    with pytest.raises(AttributeError):
        ewallet.nothing  # noqa: B018
