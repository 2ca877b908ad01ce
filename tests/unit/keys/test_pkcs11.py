"""The PKCS#11 signer on a real SoftHSM2 token, made for this run."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ewallet.errors import ConfigError, MissingExtra, SignerError
from ewallet.keys.pkcs11 import KeyUri, Pkcs11Signer, _library
from ewallet.trust.authoring import Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.inspection import check
from tests.province import START

try:
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
    from pkcs11.util.ec import encode_named_curve_parameters
except ImportError:
    pkcs11 = None

PIN = "271828"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def missing(what):
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing: in CI the token test must run")
    pytest.skip(f"notice: {what} is missing; the signer on a token was not tested")


@pytest.fixture(scope="session")
def module():
    found = next((path for path in MODULES if Path(path).exists()), None)
    return found or missing("SoftHSM2 (Debian package softhsm2)")


@pytest.fixture(scope="session")
def token(module, tmp_path_factory):
    """A fresh token with keys of both suites, one P-384 key, and a pair whose halves do not match."""
    if pkcs11 is None:
        missing("python-pkcs11")
    home = tmp_path_factory.mktemp("softhsm")
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(
        f"directories.tokendir = {home / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    # The library reads the variable when it is loaded: one token for all tests of a process.
    os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "issuing", "--pin", PIN, "--so-pin", "314159"],
        check=True,
        capture_output=True,
    )
    ed25519 = bytes.fromhex("06032b6570")
    curves = (
        ("licenses", b"\x01", KeyType.EC, encode_named_curve_parameters("secp256r1"), {}),
        (
            "codes",
            b"\x02",
            KeyType.EC_EDWARDS,
            ed25519,
            {"mechanism": Mechanism.EC_EDWARDS_KEY_PAIR_GEN},
        ),
        ("large", b"\x03", KeyType.EC, encode_named_curve_parameters("secp384r1"), {}),
        ("torn", b"\x04", KeyType.EC, encode_named_curve_parameters("secp256r1"), {}),
        ("other", b"\x05", KeyType.EC, encode_named_curve_parameters("secp256r1"), {}),
    )
    # Through the signer's own door, so that the module is set up for threads.
    library, _ = _library(KeyUri.parse(f"pkcs11:token=issuing;object=x?module-path={module}"))
    with library.get_token(token_label="issuing").open(user_pin=PIN, rw=True) as session:
        for label, identifier, kind, parameters, how in curves:
            domain = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: parameters}, local=True)
            domain.generate_keypair(id=identifier, label=label, store=True, **how)
        pairs = {
            key[Attribute.LABEL]: key
            for key in session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})
        }
        pairs["torn"].destroy()
        pairs["other"][Attribute.ID] = b"\x04"
    return f"pkcs11:token=issuing;object={{}}?module-path={module}"


@pytest.mark.parametrize(("label", "suite"), [("licenses", "ES256"), ("codes", "Ed25519")])
def test_signs(token, label, suite):
    with Pkcs11Signer.open(token.format(label), pin=PIN) as signer:
        assert signer.public_key.suite.name == suite
        assert signer.custody == "pkcs11"
        for message in (b"", b"a license", bytes(70_000)):
            assert signer.public_key.verify(signer.sign(message), message)
    with pytest.raises(SignerError, match="closed"):
        signer.sign(b"after the end")


def test_batch_keeps_the_order_and_serves_threads(token):
    messages = [f"license {number}".encode() for number in range(200)]
    with Pkcs11Signer.open(token.format("licenses"), pin=PIN, sessions=3) as signer:
        for message, signature in zip(messages, signer.sign_many(messages), strict=True):
            assert signer.public_key.verify(signature, message)
        assert not hasattr(signer._turn, "locked"), "calls take turns: the device is not kept busy"
        with ThreadPoolExecutor(8) as pool:
            for message, signature in zip(messages, pool.map(signer.sign, messages), strict=True):
                assert signer.public_key.verify(signature, message)


def test_batch_with_a_failure_returns_nothing(token, monkeypatch):
    with Pkcs11Signer.open(token.format("licenses"), pin=PIN, sessions=3) as signer:
        whole = signer._sign_with
        done = []

        def failing(key, message):
            if message == b"10":
                raise SignerError("the token failed")
            done.append(message)
            return whole(key, message)

        monkeypatch.setattr(signer, "_sign_with", failing)
        with pytest.raises(SignerError, match="failed"):
            signer.sign_many(str(number).encode() for number in range(500))
        assert len(done) < 499
        monkeypatch.undo()
        assert signer.sign_many([]) == []
        assert len(signer.sign_many([b"again"])) == 1


def test_key_by_identifier_and_pin_from_a_file(token, tmp_path):
    (tmp_path / "pin").write_text(PIN + "\n")
    uri = (
        token.format("x").replace("object=x", "id=%02;type=private") + f"&pin-source=file:{tmp_path / 'pin'}"
    )
    with Pkcs11Signer.open(uri) as signer:
        assert signer.public_key.suite.name == "Ed25519"
        assert PIN not in repr(signer)


@pytest.mark.parametrize(
    ("label", "pin", "message"),
    [
        ("nothing", PIN, "0 private keys"),
        ("large", PIN, "neither P-256"),
        ("torn", PIN, "does not belong"),
        ("licenses", "000000", "PinIncorrect"),
        ("licenses", None, "0 private keys"),
    ],
)
def test_what_the_token_cannot_do_is_an_error_of_the_signer(token, label, pin, message):
    with pytest.raises(SignerError, match=message) as caught:
        Pkcs11Signer.open(token.format(label), pin=pin)
    assert PIN not in str(caught.value)


def test_missing_module_token_and_pin_file(token, module, tmp_path):
    for uri, message in (
        (f"pkcs11:token=issuing;object=licenses?module-path={tmp_path}/none.so", "cannot be loaded"),
        ("pkcs11:token=issuing;object=licenses", "names no module"),
        (f"pkcs11:token=none;object=licenses?module-path={module}", "0 tokens"),
        (token.format("licenses") + "&pin-source=/none", "PIN cannot be read"),
    ):
        with pytest.raises(SignerError, match=message):
            Pkcs11Signer.open(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.example",
        "pkcs11:token=a",
        "pkcs11:object=a",
        "pkcs11:token=a;object=b;object=c",
        "pkcs11:token=a;object",
        "pkcs11:token=a;object=b;color=red",
        "pkcs11:token=a;object=b;type=public",
        "pkcs11:token=a;object=b?pin-value=1234",
        "pkcs11:slot-id=one;object=b",
        "pkcs11:token=%ff;object=b",
    ],
)
def test_uris_that_name_no_key_are_refused(uri):
    with pytest.raises(ValueError):
        KeyUri.parse(uri)


def test_uri_is_read_whole():
    uri = KeyUri.parse(
        "pkcs11:token=a%20b;slot-id=7;object=%E8%AF%81;id=%00%ff?module-path=/m.so&pin-source=/p"
    )
    assert (uri.token, uri.slot, uri.label, uri.identifier) == ("a b", 7, "证", b"\x00\xff")
    assert (uri.module, uri.pin_source) == (Path("/m.so"), Path("/p"))


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(MissingExtra, match="pkcs11"):
        Pkcs11Signer.open("pkcs11:token=a;object=b?module-path=/none.so")


@pytest.mark.parametrize(("role", "label"), [("root", "licenses"), ("31", "codes"), ("31", "licenses")])
def test_a_key_on_a_token_signs_trust_lists(token, tmp_path, role, label):
    """A province one of whose keys never leaves a device: for the root, or for its own list."""
    with Pkcs11Signer.open(token.format(label), pin=PIN) as held:

        class WithToken(Consortium):
            def _key(self, name, owner):
                if (name, owner) != (role, "31") or any(item[2] is held for item in self.signers):
                    return super()._key(name, owner)
                self.signers.append((name, owner, held))
                return held.public_key

        consortium = WithToken.sandbox(("31", "32"), now=START)
        # As many keys are there as must sign: nothing is published without the token's.
        spare = [item for item in consortium.signers if item[0] == role == "31" and item[2] is not held]
        there = [item for item in consortium.signers if item not in spare[1:]]
        consortium.signers = [item for item in there if item[2] is not held]
        with pytest.raises(ConfigError):
            consortium.publish(tmp_path / "without", now=START)
        consortium.signers = there
        directory = consortium.publish(tmp_path / "published", now=START)
    trust = TrustStore.open(tmp_path / "gate").refresh(directory, START)
    assert [province.fault for province in trust.provinces.values()] == ["", ""]
    assert check(directory, now=START).passed
