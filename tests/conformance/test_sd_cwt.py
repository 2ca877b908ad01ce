"""SD-CWT: every file of the draft's example set.

The tokens are verified; the diagnostic notation beside them is read and compared with what they hold, so that
the data and its description are both used.
"""

import csv
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cbor2 import CBORSimpleValue, CBORTag
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ewallet.errors import Refused
from ewallet.formats import sdcwt
from ewallet.keys import PublicKey
from ewallet.wire import cbor_bytes, decode_cbor, encode_cbor

NOW = datetime.fromtimestamp(1725244240, UTC)
AUDIENCE = "https://verifier.example/app"
CNONCE = bytes.fromhex("8c0f5f523b95bea44a9a48c649240803")
PROFILE = sdcwt.Profile(own=False)
TAGS = frozenset((18, 60))

FACTS = {
    "issuer_cwt": {
        500: True,
        501: "ABCD-123456",
        502: [1549560720, 1612560720, 1674004740],
        503: {"country": "us", "region": "ca", "postal_code": "94188"},
    },
    "kbt": {
        500: True,
        501: "ABCD-123456",
        502: [1549560720, 1674004740],
        503: {"country": "us", "region": "ca"},
    },
    "nested_issuer_cwt": {
        504: [
            {500: True, 501: "DCBA-101777", 502: 1549560720, 503: {1: "us", 2: "co", 3: "80302"}},
            {500: True, 501: "EFGH-789012", 502: 1612560720, 503: {1: "us", 2: "nv", 3: "89155"}},
            {500: True, 501: "ABCD-123456", 502: 1674004740, 503: {1: "us", 2: "ca", 3: "94188"}},
        ]
    },
    "nested_kbt": {
        504: [
            {500: True, 501: "DCBA-101777", 502: 1549560720, 503: {1: "us"}},
            {500: True, 501: "ABCD-123456", 502: 1674004740, 503: {1: "us", 2: "ca"}},
        ]
    },
    "decoy": {98: ["fr"], 500: True},
}
FACTS["nested_cwt"] = FACTS["nested_kbt"]
DISCLOSURES = {
    "issuer_cwt": 5,
    "nested_issuer_cwt": 15,
    "kbt": 3,
    "nested_kbt": 7,
    "nested_cwt": 7,
    "decoy": 4,
}
GRAMMAR = "CDDL grammar: no instance of the format"
ENCRYPTED = "encrypted disclosures: no suite here decrypts"


# --- Extended diagnostic notation, as far as the examples use it --------------------------------------------

_TOKEN = re.compile(
    r"""(?P<space> (?:\s|,|\#[^\n]*|/[^/]*/)+ )
      | (?P<hex> h'[^']*' ) | (?P<bytes> '[^']*' ) | (?P<text> "[^"]*" ) | (?P<embed> <<|>> )
      | (?P<simple> simple\(59\) ) | (?P<number> -?\d+ ) | (?P<word> true|false|null|\.\.\. )
      | (?P<mark> [\[\]{}():] )""",
    re.VERBOSE,
)


class Notation:
    """Reads one item; commas are optional, as two of the examples want."""

    def __init__(self, text: str) -> None:
        self.tokens = []
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            assert found, text[position : position + 40]
            position = found.end()
            if found.lastgroup != "space":
                self.tokens.append((found.lastgroup, found.group()))
        self.at = 0

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def until(self, end: str) -> list:
        items = []
        while self.peek() != end:
            items.append(self.item())
        self.at += 1
        return items

    def pairs(self, end: str) -> dict:
        members = {}
        while self.peek() != end:
            key = self.item()
            assert self.next()[1] == ":"
            members[key] = self.item()
        self.at += 1
        return members

    def item(self):
        kind, text = self.next()
        if kind == "hex":
            return bytes.fromhex(re.sub(r"\s", "", text[2:-1]))
        if kind == "bytes":
            return text[1:-1].encode()
        if kind == "text":
            return text[1:-1]
        if kind == "simple":
            return CBORSimpleValue(59)
        if kind == "word":
            return {"true": True, "false": False, "null": None, "...": ...}[text]
        if kind == "number" and self.peek() == "(":
            self.next()
            (value,) = self.until(")")
            return CBORTag(int(text), value)
        if kind == "number":
            return int(text)
        if text == "<<":
            return Embedded(self.until(">>"))
        return self.pairs("}") if text == "{" else self.until("]")


class Embedded(list):
    """CBOR inside a byte string."""

    def __hash__(self):
        return 0


def agree(described, found) -> bool:
    if isinstance(described, Embedded):
        inner = decode_cbor(found, tags=TAGS, redacted=True)
        return agree(described[0], inner)
    if described is ...:
        return True
    if isinstance(described, CBORTag):
        return described.tag == found.tag and agree(described.value, found.value)
    if isinstance(described, dict):
        return list(described) == list(found) and all(agree(described[k], found[k]) for k in described)
    if isinstance(described, list):
        return len(described) == len(found) and all(map(agree, described, found))
    return type(described) is type(found) and described == found


# --- The set ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def folder(vectors_dir) -> Path:
    return vectors_dir / "sd-cwt"


def key(folder, name) -> PublicKey:
    private = load_pem_private_key((folder / f"{name}_privkey.pem").read_bytes(), None)
    return PublicKey.from_pem(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def verify(folder, name):
    data = (folder / f"{name}.cbor").read_bytes()
    if name.endswith("kbt"):
        parsed = sdcwt.parse_kbt(data, PROFILE)
        facts = sdcwt.verify_kbt(
            parsed, key(folder, "issuer"), PROFILE, now=NOW, audience=AUDIENCE, cnonce=CNONCE
        )
        return parsed.credential, facts.credential
    parsed = sdcwt.parse(data, PROFILE)
    return parsed, sdcwt.verify(parsed, key(folder, "issuer"), PROFILE, now=NOW)


def check_token(folder, name):
    parsed, facts = verify(folder, name)
    own = {number: value for number, value in facts.claims.items() if number > 90}
    assert own == FACTS[name]
    assert len(parsed.disclosures) == DISCLOSURES[name]
    assert facts.holder_key == key(folder, "holder")
    # The salts are those of the published lists.
    listed = {row[1] for path in ("salt_list", "decoy_list") for row in rows(folder, path)}
    assert {decode_cbor(item, tags=TAGS, redacted=True)[0].hex() for item in parsed.disclosures} <= listed


def check_notation(folder, name):
    described = Notation((folder / f"{name}.edn").read_text()).item()
    assert agree(described, decode_cbor((folder / f"{name}.cbor").read_bytes(), tags=TAGS))


def rows(folder, name):
    return list(csv.reader((folder / f"{name}.csv").read_text().splitlines()))


def check_salts(folder, name):
    assert all(len(bytes.fromhex(row[1])) == 16 for row in rows(folder, name))


def check_chosen(folder, name):
    token = "nested_kbt" if "nested" in name else "kbt"
    described = Notation((folder / f"{name}.edn").read_text()).pairs("")[17]
    parsed, _ = verify(folder, token)
    assert agree(described, list(parsed.disclosures))


def check_elided(folder, name):
    described = Notation((folder / f"{name}.edn").read_text()).item()
    found = decode_cbor((folder / "kbt.cbor").read_bytes(), tags=TAGS)
    assert agree(described, found)


def first(folder) -> bytes:
    return (folder / "first-disclosure.cborseq").read_bytes()


def check_first(folder, name):
    parsed, _ = verify(folder, "issuer_cwt")
    assert first(folder) == parsed.disclosures[0]
    digests = next(v for k, v in parsed.unverified_claims.items() if isinstance(k, CBORSimpleValue))
    assert hashlib.sha256(cbor_bytes(first(folder))).digest() in digests
    (described,) = Notation((folder / "first-disclosure.edn").read_text()).until("")
    assert agree(described, first(folder))
    assert encode_cbor(described[0]) == first(folder)
    lines = (folder / "first-disclosure.pretty").read_text().splitlines()
    assert bytes.fromhex("".join(line.split("#")[0] for line in lines)) == first(folder)


def check_stale(folder, name):
    """The two files hash the bare array, as no token does: a reader that follows them fails all tokens."""
    bare = hashlib.sha256(first(folder)).hexdigest()
    if name == "first-blinded-hash":
        assert (folder / "first-blinded-hash.txt").read_text().strip() == bare
    else:
        described = Notation((folder / "first-redacted.edn").read_text()).pairs("")
        assert described[CBORSimpleValue(59)] == [bytes.fromhex(bare)]
    parsed, _ = verify(folder, "issuer_cwt")
    digests = next(v for k, v in parsed.unverified_claims.items() if isinstance(k, CBORSimpleValue))
    assert bytes.fromhex(bare) not in digests


def check_key(folder, name):
    assert key(folder, name.removesuffix("_privkey")).suite.name == (
        "ES384" if name.startswith("issuer") else "ES256"
    )


CHECKS = {
    "issuer_cwt.cbor": check_token,
    "nested_issuer_cwt.cbor": check_token,
    "nested_cwt.cbor": check_token,
    "decoy.cbor": check_token,
    "kbt.cbor": check_token,
    "nested_kbt.cbor": check_token,
    "issuer_cwt.edn": check_notation,
    "nested_issuer_cwt.edn": check_notation,
    "nested_cwt.edn": check_notation,
    "decoy.edn": check_notation,
    "kbt.edn": check_notation,
    "nested_kbt.edn": check_notation,
    "chosen-disclosures.edn": check_chosen,
    "chosen-nested-disclosures.edn": check_chosen,
    "elided-kbt.edn": check_elided,
    "first-disclosure.cborseq": check_first,
    "first-disclosure.edn": check_first,
    "first-disclosure.pretty": check_first,
    "first-blinded-hash.txt": check_stale,
    "first-redacted.edn": check_stale,
    "salt_list.csv": check_salts,
    "decoy_list.csv": check_salts,
    "issuer_privkey.pem": check_key,
    "holder_privkey.pem": check_key,
}


def test_the_whole_set(folder, vector_counts):
    passed, skipped, total = 0, {}, 0
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        total += 1
        if path.suffix == ".cddl":
            skipped[GRAMMAR] = skipped.get(GRAMMAR, 0) + 1
        elif path.name == "aead-claim-array.edn":
            skipped[ENCRYPTED] = skipped.get(ENCRYPTED, 0) + 1
        else:
            CHECKS[path.name](folder, path.stem)
            passed += 1
    vector_counts("SD-CWT draft", passed=passed, total=total, not_applicable=skipped)


def test_a_changed_payload_is_refused(folder):
    data = bytearray((folder / "issuer_cwt.cbor").read_bytes())
    data[data.index(b"https://device")] ^= 1
    with pytest.raises(Refused) as caught:
        sdcwt.verify(bytes(data), key(folder, "issuer"), PROFILE, now=NOW)
    assert caught.value.reason == "signature.issuer"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audience": "https://other.example"}, "code.audience"),
        ({"cnonce": bytes(16)}, "code.challenge"),
        ({"cnonce": None}, "code.challenge"),
        ({"now": datetime.fromtimestamp(1725244237 + 31, UTC)}, "code.expired"),
        ({"now": datetime.fromtimestamp(1725244237 - 11, UTC)}, "code.from_future"),
    ],
)
def test_key_binding_is_checked(folder, change, reason):
    arguments = {"now": NOW, "audience": AUDIENCE, "cnonce": CNONCE} | change
    with pytest.raises(Refused) as caught:
        sdcwt.verify_kbt((folder / "kbt.cbor").read_bytes(), key(folder, "issuer"), PROFILE, **arguments)
    assert caught.value.reason == reason
