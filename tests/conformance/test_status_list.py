"""Token Status List: the appendix's lists, compared entry by entry, and the example tokens."""

import json
from datetime import UTC, datetime

import pytest

from ewallet.errors import Refused
from ewallet.formats import cose, statuslist
from ewallet.formats.statuslist import StatusList, StatusReference
from ewallet.keys import PublicKey
from ewallet.wire import b64u_decode, decode_cbor


@pytest.fixture(scope="session")
def data(vectors_dir):
    return json.loads((vectors_dir / "status-list/status_list.json").read_text())


def test_lists(data, vector_counts):
    passed = 0
    for case in data["lists"]:
        as_json = case["json"]
        as_cbor = decode_cbor(bytes.fromhex(case["cbor_hex"]))
        assert b64u_decode(as_json["lst"]) == as_cbor["lst"]
        entries = StatusList.from_compressed(as_cbor["lst"], bits=as_cbor["bits"])
        assert (entries.bits, entries.size) == (as_json["bits"], case["entries"])
        expected = StatusList(bits=case["bits"], size=case["entries"])
        expected.update(case["values"])
        assert entries == expected
        assert all(entries.get(idx) == value for idx, value in case["values"])
        # And back: another compressor may choose other bytes, but they inflate to the same list.
        assert StatusList.from_compressed(expected.compressed(), bits=case["bits"]) == expected
        passed += 1
    vector_counts("Token Status List, lists", passed=passed, total=len(data["lists"]))


def test_tokens(data, vector_counts):
    passed = 0
    for case in data["tokens"]:
        key = PublicKey.from_jwk(
            {name: value for name, value in case["issuer_jwk"].items() if name in {"kty", "crv", "x", "y"}}
        )
        now = datetime.fromtimestamp(1686920170 + 60, UTC)
        if case["name"].startswith("Referenced"):
            facts = cose.verify_cwt(
                bytes.fromhex(case["hex"]), key, cose.Profile(typ=None, own=False), now=now
            )
            reference = StatusReference.from_claim(facts.claims[statuslist.CLAIM_STATUS])
            listed = case["payload"]["65535"]["status_list"]
            assert (reference.idx, reference.uri) == (listed["idx"], listed["uri"])
        else:
            token = case["compact"] if case["format"] == "jwt" else bytes.fromhex(case["hex"])
            uri = case["payload"].get("sub") or case["payload"]["2"]
            facts = statuslist.verify(token, key, uri=uri, now=now, profile=statuslist.OTHERS)
            first = data["lists"][4]
            assert [facts.entries.get(idx) for idx, _ in first["values"]] == [v for _, v in first["values"]]
            with pytest.raises(Refused) as caught:
                statuslist.verify(token, key, uri=uri + "0", now=now, profile=statuslist.OTHERS)
            assert caught.value.reason == "status.unavailable"
        passed += 1
    vector_counts("Token Status List, tokens", passed=passed, total=len(data["tokens"]))
