"""Client certificates: only a proxy's word counts, and a certificate opens the doors of its partner only."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from ewallet.errors import Conflict, KeyMaterialError

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

from starlette.requests import Request

from ewallet.cli import cli
from ewallet.service.doors import COUNTER, ISSUE, Doors, Role, add_partner, load_partners
from ewallet.service.http import Problem
from ewallet.service.proxies import (
    CERTIFICATE,
    Proxies,
    certificate_of_header,
    check_proxies,
    read_certificate,
)
from tests.services_tls import DAY, CertificateAuthority, der, pem

HEADER = "X-Client-Certificate"


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority()


@pytest.fixture(scope="module")
def bank(authority):
    return authority.issue("bank")[0]


@pytest.fixture(scope="module")
def hotel(authority):
    return authority.issue("hotel")[0]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "partners.json"


def escaped(certificate) -> bytes:
    """As nginx writes `$ssl_client_escaped_cert`."""
    return quote(pem(certificate).decode(), safe="-_.~").encode()


def sequence(certificate) -> bytes:
    """As RFC 9440 writes `Client-Cert`."""
    return b":" + b64encode(der(certificate)) + b":"


def digest(certificate) -> str:
    return sha256(der(certificate)).hexdigest()


def through(*values: bytes, peer="127.0.0.1", proxies=("127.0.0.1",), header=HEADER, more=()) -> Request:
    """A call as the application sees it behind `Proxies`."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    headers = [(HEADER.lower().encode(), value) for value in values]
    scope = {"type": "http", "headers": [*headers, *more], "client": (peer, 1)}
    asyncio.run(Proxies(app, trusted=proxies, header=header)(scope, None, None))
    return Request(seen[0])


def with_key(key: str, *values: bytes) -> Request:
    return through(*values, more=[(b"authorization", f"Bearer {key}".encode())])


def title(opened: Doors, call: Request, roles=COUNTER) -> tuple[int, str]:
    with pytest.raises(Problem) as refused:
        opened.admit(call, roles)
    return refused.value.status, refused.value.title


@pytest.mark.parametrize("write", [escaped, sequence])
def test_both_spellings_name_the_certificate(bank, write):
    assert certificate_of_header(write(bank)).digest == digest(bank)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b":",
        b"::",
        b":%%%:",
        b":AAAA:",
        b"-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----",
        b"CN=bank",
        b"%ff%fe",
        b":" + b"A" * 40_000 + b":",
    ],
)
def test_what_is_no_certificate_is_refused(value):
    with pytest.raises(KeyMaterialError):
        certificate_of_header(value)


def test_two_certificates_in_one_value_are_refused(bank, hotel):
    for both in (escaped(bank) + escaped(hotel), b":" + b64encode(der(bank) + der(hotel)) + b":"):
        with pytest.raises(KeyMaterialError):
            certificate_of_header(both)


def test_a_certificate_opens_the_doors_of_its_partner(file, bank, hotel):
    given = {"file": file, "with_key": False}
    assert add_partner(name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)], **given) == ""
    opened = Doors(file)
    for shown in (escaped(bank), sequence(bank)):
        partner = opened.admit(through(shown), COUNTER)
        assert partner is not None
        assert partner.name == "bank"
    assert title(opened, through(escaped(bank)), ISSUE)[0] == 403
    assert title(opened, through(escaped(hotel))) == (401, "an unknown client certificate")
    assert title(opened, through())[0] == 401
    assert title(opened, through(b"CN=bank")) == (401, "the client certificate cannot be read")


@pytest.mark.parametrize("peer", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "testclient", ""])
def test_a_caller_that_is_no_proxy_cannot_say_who_it_is(file, bank, peer):
    add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)], with_key=False)
    call = through(escaped(bank), peer=peer, more=[(b"x-forwarded-for", b"127.0.0.1")])
    assert CERTIFICATE not in call.scope
    assert call.client is not None
    assert call.client.host == peer
    assert title(Doors(file), call)[0] == 401


def test_without_the_option_no_header_counts(file, bank):
    add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)], with_key=False)
    assert title(Doors(file), through(escaped(bank), header=""))[0] == 401


def test_the_address_behind_a_proxy_does_not_change_whose_word_counts(file, bank):
    add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)], with_key=False)
    call = through(escaped(bank), more=[(b"x-forwarded-for", b"192.0.2.9")])
    assert call.client is not None
    assert call.client.host == "192.0.2.9"
    assert Doors(file).admit(call, COUNTER) is not None


def test_networks_of_proxies_may_be_named(file, bank):
    add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)], with_key=False)
    inside = through(escaped(bank), peer="10.1.2.3", proxies=("10.1.0.0/16",))
    outside = through(escaped(bank), peer="10.2.2.3", proxies=("10.1.0.0/16",))
    assert Doors(file).admit(inside, COUNTER) is not None
    assert title(Doors(file), outside)[0] == 401


def test_a_proxy_that_adds_instead_of_overwriting_is_noticed(file, bank, hotel):
    for name, each in (("bank", bank), ("hotel", hotel)):
        add_partner(file, name=name, roles=[Role.VERIFIER], certificates=[digest(each)], with_key=False)
    call = through(escaped(bank), escaped(hotel))
    assert title(Doors(file), call) == (401, "more than one client certificate")


def test_key_and_certificate_must_belong_together(file, bank, hotel, authority):
    both = add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)])
    add_partner(file, name="hotel", roles=[Role.VERIFIER], certificates=[digest(hotel)], with_key=False)
    plain = add_partner(file, name="hall", roles=[Role.VERIFIER])
    opened = Doors(file, open_counter=True)
    admitted = opened.admit(with_key(both, escaped(bank)), COUNTER)
    assert admitted is not None
    assert admitted.name == "bank"
    for call in (
        with_key(both),  # a key that was stolen
        with_key(both, escaped(hotel)),
        through(escaped(bank)),  # a certificate without its key
        with_key(plain, escaped(hotel)),  # two partners
        with_key("ewk_unknown", escaped(hotel)),
        through(escaped(hotel), more=[(b"authorization", b"Basic x")]),
    ):
        assert title(opened, call)[0] == 401
    # what the proxy asks of everybody does not disturb a partner that is known by its key
    assert opened.admit(with_key(plain, escaped(authority.issue("any")[0])), COUNTER) is not None


def test_a_certificate_outside_its_dates_is_refused(file, authority):
    now = datetime.now(UTC)
    old, _ = authority.issue("old", start=now - 3 * DAY, life=2 * DAY)
    new, _ = authority.issue("new", start=now + DAY)
    both = [digest(old), digest(new)]
    add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=both, with_key=False)
    for each in (old, new):
        refused = title(Doors(file), through(escaped(each)))
        assert refused == (401, "the client certificate is outside its dates")
    assert Doors(file, now=lambda: now - 2 * DAY).admit(through(escaped(old)), COUNTER) is not None
    assert Doors(file, now=lambda: now + 1.5 * DAY).admit(through(escaped(new)), COUNTER) is not None


def test_one_certificate_is_one_partner(file, bank):
    add_partner(file, name="bank", roles=[Role.VERIFIER], certificates=[digest(bank)], with_key=False)
    with pytest.raises(Conflict):
        add_partner(file, name="other", roles=[Role.ISSUER], certificates=[digest(bank)])
    with pytest.raises(ValueError, match="known by"):
        add_partner(file, name="nobody", roles=[Role.ISSUER], with_key=False)


@pytest.mark.parametrize(
    ("proxies", "header"),
    [(("localhost",), ""), (("10.0.0.1/8",), ""), ((), "Client Cert"), ((), "X_Cert"), ((), "x:\r\ny")],
)
def test_wrong_settings_are_told(proxies, header):
    with pytest.raises(ValueError, match=r"."):
        check_proxies(proxies, header)


def run(*words: str):
    return CliRunner().invoke(cli, list(words), standalone_mode=False)


def test_the_command_takes_certificates_from_files(tmp_path, file, bank, authority):
    known, expired = tmp_path / "bank.pem", tmp_path / "old.pem"
    known.write_bytes(pem(bank))
    old, _ = authority.issue("old", start=datetime.now(UTC) - 3 * DAY, life=timedelta(days=1))
    expired.write_bytes(pem(old))
    add = ["partner", "add", "--file", str(file), "--role", "verifier", "--certificate"]
    done = run(*add, str(known), "bank")
    assert done.exception is None, done.exception
    assert done.output.split() == [digest(bank)]
    [partner] = load_partners(file)
    assert (partner.digest, partner.certificates) == ("", (digest(bank),))
    assert read_certificate(der(bank)).digest == digest(bank)
    for refused in ((str(expired), "old"), (str(known), "again"), (str(file), "none")):
        assert run(*add, *refused).exception is not None
    [listed] = run("partner", "list", "--file", str(file)).output.splitlines()
    assert listed.split("\t") == ["bank", "verifier", "-", "600", digest(bank)[:16]]
