"""Keys in TUF metadata: any signer of ours signs it, whatever holds the key."""

from __future__ import annotations

import json

import click
import pytest
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature

from ewallet.cli import cli
from ewallet.cli.exits import Exit
from ewallet.keys import SigningKey
from ewallet.trust.ceremony import load_draft
from ewallet.trust.inspection import check
from ewallet.trust.publishing import verify_list
from ewallet.trust.tuf_keys import TufSigner, is_own_id, owner_of, tuf_key
from tests.province import START

SUITES = ["ES256", "Ed25519", "SM2SM3", "ES256+ML-DSA-65"]


class Device:
    """A signer that gives only what the protocol asks for, as a token on PKCS#11 does."""

    def __init__(self, suite):
        self._key = SigningKey.generate(suite)
        self.public_key = self._key.public_key

    def sign(self, message):
        return self._key.sign(message)


@pytest.mark.parametrize("suite", SUITES)
def test_a_device_signs_metadata(suite):
    signer = TufSigner(Device(suite), owner="31")
    signature = signer.sign(b"metadata")
    key = Key.from_dict(signer.public_key.keyid, signer.public_key.to_dict())
    key.verify_signature(signature, b"metadata")
    assert (owner_of(key), is_own_id(key)) == ("31", True)
    for broken, message in (
        (signature, b"other metadata"),
        (Signature(key.keyid, "zz"), b"metadata"),
        (Signature(key.keyid, ""), b"metadata"),
    ):
        with pytest.raises(UnverifiedSignatureError):
            key.verify_signature(broken, message)


@pytest.mark.parametrize("suite", SUITES)
def test_a_key_has_one_id_whoever_lists_it(suite):
    public = SigningKey.generate(suite).public_key
    assert tuf_key(public, owner="31").keyid == tuf_key(public, owner="32").keyid
    assert not is_own_id(Key.from_dict("0" * 64, tuf_key(public, owner="31").to_dict()))


def test_an_unusable_key_is_refused_when_read():
    row = {"keytype": "ewallet", "scheme": "SM2SM3", "keyval": {"public": "00" * 64}}
    with pytest.raises(ValueError, match="unusable"):
        Key.from_dict("0" * 64, row)


def test_a_sandbox_keeps_keys_to_try_changes_with(tmp_path, capsys):
    password = tmp_path / "password"
    password.write_text("exercise\n")
    keys, bundle = tmp_path / "keys", tmp_path / "bundle"
    now = ["--now", START.isoformat()]
    secret = ["--password-file", str(password)]

    def run(*words):
        return cli.main(["trust", *map(str, words)], standalone_mode=False)

    assert run("sandbox", bundle, "--keys", keys, *secret, *now) == Exit.ACCEPTED
    repo, draft = ["--repo", bundle / "repository"], ["--draft", tmp_path / "draft"]
    change = ["--uri", "https://sh.ewallet.example/a/market", "--service", "licenses"]
    assert run("suspend", *repo, *draft, "--province", "31", *change, *now) == Exit.ACCEPTED
    signing = [word for name in ("list-1", "list-3") for word in ("--key", keys / "31" / f"{name}.key")]
    assert run("sign", *repo, *draft, "--province", "31", "--yes", *signing, *secret) == Exit.ACCEPTED
    online = [
        *("--snapshot-key", keys / "online" / "snapshot.key"),
        *("--timestamp-key", keys / "online" / "timestamp.key"),
    ]
    assert run("publish", repo[1], *draft, *online, *secret, *now) == Exit.ACCEPTED
    assert check(bundle, now=START).passed
    market = keys / "31" / "market-licenses.key"
    file = tmp_path / "31.jws"
    assert run("jws", repo[1], file, "--province", "31", "--key", market, *secret) == Exit.ACCEPTED
    public = SigningKey.load(market, "exercise").public_key
    assert verify_list(file.read_text().strip(), public, now=START).sequence > 1
    assert "暂停" in capsys.readouterr().out


def test_passes_that_have_ended_leave_the_hot_list(tmp_path):
    bundle, draft = tmp_path / "bundle", tmp_path / "draft"
    now = ["--now", START.isoformat()]

    def run(*words):
        return cli.main(["trust", *map(str, words)], standalone_mode=False)

    def listed(*words):
        part = ["--repo", bundle / "repository", "--draft", draft, "--province", "31"]
        assert run("hot", *part, *words, *now) == Exit.ACCEPTED
        return json.loads(load_draft(bundle / "repository", draft).files["31-hot/hot.json"])["passes"]

    assert run("sandbox", bundle, *now) == Exit.ACCEPTED
    one, two, three = ("11" * 16, "22" * 16, "33" * 16)
    before = listed(one, two)
    assert {one, two} < set(before)
    after = listed("--ended", one, three)
    assert {two, three} < set(after)
    assert one not in after
    assert set(before) - set(after) == {one}  # the padding stays, so that what left tells nothing more
    last = listed("--only", three)
    assert set(last) & {*before, *after} == {three}
    assert (len(before) % 64, len(after) % 64, len(last)) == (0, 0, 64)
    for wrong in ((), ("--ended", "nothing"), ("zz",)):
        with pytest.raises(click.UsageError):
            listed(*wrong)
