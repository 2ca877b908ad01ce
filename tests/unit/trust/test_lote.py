"""List documents: valid under the published schema, and read back as they were written."""

from __future__ import annotations

import json

import jsonschema
import pytest

from ewallet.errors import Malformed
from ewallet.trust import lists
from ewallet.trust.entries import Service
from ewallet.trust.lote import from_document, to_document, to_json
from tests.province import HOUR, START, World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, ("31", "32"))
    market = made.authority("31", "market", uscc="11310000000000000X")
    made.consortium.rotate_key(market.uri, Service.LICENSES, now=START + HOUR)
    made.consortium.suspend(market.uri, Service.CODES, now=START + HOUR)
    made.consortium.withdraw(market.uri, Service.RECEIPTS, now=START + HOUR, proof_needed=True)
    return made


@pytest.fixture
def validate(vectors_dir):
    schema = json.loads((vectors_dir / "lote" / "lote_schema.json").read_bytes())
    return jsonschema.Draft7Validator(schema).validate


def test_lists_validate_against_the_published_schema(world, validate):
    for listing in world.consortium.listings.values():
        validate(to_document(listing))


def test_the_schema_notices_what_does_not_belong(world, validate):
    document = to_document(world.consortium.listings["31"])
    document["LoTE"]["TrustedEntitiesList"][0]["Scope"] = "everything"
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


@pytest.mark.parametrize("suite", ["ES256", "Ed25519", "SM2SM3"])
def test_every_suite_can_be_listed_and_read_back(tmp_path, suite, validate):
    world = World(tmp_path, ("31", "32"), suite=suite)
    world.authority("31", "market")
    listing = world.consortium.listings["31"]
    document = to_document(listing)
    validate(document)
    assert from_document(to_json(document)) == listing


def test_history_reads_back(world):
    listing = world.consortium.listings["31"]
    assert from_document(to_json(to_document(listing))) == listing


def test_history_is_append_only(world):
    before = world.consortium.listings["31"]
    uri = "https://sh.ewallet.example/a/market"
    world.consortium.restore(uri, Service.CODES, now=START + 2 * HOUR)
    after = world.consortium.listings["31"]
    assert list(lists.rewritten_history(before, after)) == []
    assert any("rewritten" in problem for problem in lists.rewritten_history(after, before))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("LoTE"),
        lambda document: document["LoTE"].update(TrustedEntitiesList=[1]),
        lambda document: document["LoTE"]["ListAndSchemeInformation"].update(SchemeExtensions=[]),
        lambda document: document["LoTE"]["ListAndSchemeInformation"].update(NextUpdate="soon"),
        lambda document: document["LoTE"]["TrustedEntitiesList"].append(
            document["LoTE"]["TrustedEntitiesList"][0]
        ),
        lambda document: document["LoTE"]["ListAndSchemeInformation"]["SchemeExtensions"].append(
            {"uri": "urn:x", "critical": True, "value": 0}
        ),
    ],
)
def test_other_forms_are_refused(world, spoil):
    document = json.loads(to_json(to_document(world.consortium.listings["31"])))
    spoil(document)
    with pytest.raises(Malformed):
        from_document(to_json(document))


def test_unknown_extensions_that_are_not_critical_are_skipped(world):
    document = json.loads(to_json(to_document(world.consortium.listings["31"])))
    service = document["LoTE"]["TrustedEntitiesList"][0]["TrustedEntityServices"][0]
    service["ServiceInformation"]["ServiceInformationExtensions"].append(
        {"uri": "urn:x", "critical": False, "value": 0}
    )
    assert from_document(to_json(document)) == world.consortium.listings["31"]


def test_the_published_example_is_of_another_scheme(vectors_dir):
    with pytest.raises(Malformed):
        from_document((vectors_dir / "lote" / "example_wallet_providers.json").read_bytes())
