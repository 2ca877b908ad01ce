"""Metadata in and out, archive packages, and the comprehensive license."""

import io
import json
import zipfile
from datetime import date, timedelta

import pytest

from ewallet.errors import Conflict, NotAllowed, NotFound, RecordError, Refused
from ewallet.formats import sdjwt
from ewallet.keys import SigningKey
from ewallet.licenses import archive, comprehensive
from ewallet.licenses.comprehensive import Permit
from ewallet.licenses.exchange import from_metadata, to_metadata
from ewallet.licenses.issuer import Issuer
from ewallet.licenses.lifecycle import State
from ewallet.verify.claims import DOCUMENT
from tests.agency import CATALOG, NOW, TWO, Agency, record

LATER = NOW + timedelta(days=2)


@pytest.mark.parametrize("key", [item.key for item in CATALOG])
def test_metadata_of_every_type_comes_back(agency, key):
    issued = agency.issue(key)
    type_ = CATALOG[key]
    found = to_metadata(issued.license, type_, State.VALID)
    assert found["ZZBS"] == issued.license.identifier
    assert found["ZZZT"] == "01"
    again, values = from_metadata(found, CATALOG)
    assert again is type_
    assert [(name, values[name]) for name, _ in issued.license.face] == list(issued.license.face)


def test_metadata_that_is_wrong_names_its_key(agency):
    good = to_metadata(agency.issue().license, CATALOG["business-license"], State.VALID)
    for change, field in (
        ({"ZZBS": good["ZZBS"][:-1] + "!"}, "ZZBS"),
        ({"ZZBS": ""}, "ZZBS"),
        ({"ZZLXDM": "310101360000100"}, "ZZBS"),
        ({"KZ_成立日期": "昨天"}, "established_on"),
        ({"KZ_名称": ""}, "name"),
    ):
        with pytest.raises(RecordError) as caught:
            from_metadata({**good, **change}, CATALOG)
        assert caught.value.field == field
    with pytest.raises(NotFound):
        from_metadata({**good, "ZZLXDM": "000000000000000"}, CATALOG)


# --- Archive ------------------------------------------------------------------------------------------------


@pytest.fixture
def package(agency, tmp_path):
    issued = agency.issue()
    agency.issuer.amend(issued.license, {"address": "新址"}, reason="moved", now=LATER)
    fresh = SigningKey.generate()
    rotated = Issuer(
        signer=fresh,
        status_signer=agency.status_key,
        catalog=CATALOG,
        register=agency.register,
        authority=agency.issuer.authority,
    )
    rotated.resign_due(now=LATER)
    rotated.revoke(issued.license, reason="closed", case=TWO, now=LATER)
    file = archive.write_package(
        agency.register,
        issued.license.identifier,
        tmp_path / "a" / "package.zip",
        catalog=CATALOG,
        signer=fresh,
        issuer_keys=[agency.key.public_key],
        attachments={"printed/1.pdf": b"%PDF"},
        now=LATER,
    )
    return file.read_bytes(), agency.key.public_key, fresh.public_key


def test_a_package_proves_itself(package):
    data, old, new = package
    found = archive.check_package(data, trusted=[old, new])
    assert (found.state, found.events, len(found.versions)) == (State.REVOKED, 4, 2)
    assert found.trusted is True
    assert found.signer == new.thumbprint()
    assert found.archived_at == LATER
    assert found.files["printed/1.pdf"] == b"%PDF"
    assert archive.check_package(data).trusted is None
    assert archive.check_package(data, trusted=[new]).trusted is False
    assert json.loads(found.files["metadata.json"])["ZZZT"] == "07"


def _repacked(data, change):
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    change(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda f: f.update({"history.json": f["history.json"].replace(b"closed", b"opened")}),
            "credential.malformed",
        ),
        (lambda f: f.pop("printed/1.pdf"), "credential.malformed"),
        (lambda f: f.update({"extra": b""}), "credential.malformed"),
        (lambda f: f.pop("manifest.jws"), "credential.malformed"),
        (lambda f: f.update({"../x": b""}), "credential.malformed"),
        (lambda f: f.update({"keys.json": b'{"keys":[]}'}), "issuer.key_unknown"),
        (
            lambda f: f.update({"manifest.jws": f["manifest.jws"][:-4] + b"AAAA"}),
            "signature.issuer",
        ),
    ],
)
def test_a_changed_package_is_refused(package, change, reason):
    with pytest.raises(Refused) as caught:
        archive.check_package(_repacked(package[0], change))
    assert caught.value.reason == reason


def test_what_is_no_package(package):
    for data in (b"", b"PK", package[0][:-30], package[0][: len(package[0]) // 2]):
        with pytest.raises(Refused):
            archive.check_package(data)


# --- Comprehensive license ----------------------------------------------------------------------------------


def _permit(key, agency=None, n=1, **more):
    kind = {item.key: item for item in comprehensive.industries()["pharmacy"]}[key]
    document = "" if agency is None else agency.issue("food-business-permit", n).document
    return Permit(
        key=key,
        name=kind.zh,
        authority=f"https://sh.ewallet.example/a/{key}",
        authority_name=kind.authority,
        number=f"{key.upper()}-{n}",
        document=document,
        **more,
    )


@pytest.fixture
def pharmacy(agency):
    values = {key: value for key, value in record("comprehensive-license").items() if key != "permits_text"}
    permits = [_permit("drug"), _permit("food", agency, valid_until=date(2027, 1, 31))]
    return comprehensive.issue(agency.issuer, values, permits, reason="opened", now=NOW).license


def test_industries_are_data():
    found = comprehensive.industries()
    assert len(found) >= 6
    assert found.keys() == CATALOG.codes["industry"].keys()
    assert all(any(not kind.optional for kind in kinds) for kinds in found.values())


def test_the_state_of_the_whole_is_derived_and_explained(agency, pharmacy):
    register, issuer = agency.register, agency.issuer
    identifier = pharmacy.identifier
    assert "药品经营许可证 DRUG-1（药品监督管理部门）" in pharmacy.fields["permits_text"]
    whole = comprehensive.whole_state(register, identifier, now=NOW)
    assert (whole.state, whole.complete, whole.en) == (State.VALID, True, "valid")
    comprehensive.act_on_permit(issuer, pharmacy, "food", "suspend", reason="hygiene", now=LATER)
    whole = comprehensive.whole_state(register, identifier, now=LATER)
    assert (whole.state, whole.complete) == (State.VALID, False)
    assert whole.en == "valid except 食品经营许可证, suspended since 2026-11-25"
    assert whole.zh == "有效（除外：食品经营许可证，自2026-11-25起暂停）"
    assert comprehensive.covers(register, identifier, "drug", now=LATER) == (True, "")
    assert comprehensive.covers(register, identifier, "food", now=LATER) == (
        False,
        "食品经营许可证, suspended since 2026-11-25",
    )
    assert comprehensive.covers(register, identifier, "device", now=LATER)[0] is False
    with pytest.raises(NotAllowed, match="suspended"):
        comprehensive.act_on_permit(issuer, pharmacy, "food", "suspend", reason="again", now=LATER)
    comprehensive.act_on_permit(issuer, pharmacy, "food", "restore", reason="clean", now=LATER)
    later = NOW + timedelta(days=200)
    assert "ended on 2027-01-31" in comprehensive.whole_state(register, identifier, now=later).en
    comprehensive.act_on_permit(issuer, pharmacy, "drug", "revoke", reason="sold fakes", now=LATER)
    whole = comprehensive.whole_state(register, identifier, now=LATER)
    assert whole.state is State.SUSPENDED
    assert whole.en.startswith("no required permit in force")
    with pytest.raises(NotFound):
        comprehensive.act_on_permit(issuer, pharmacy, "device", "suspend", reason="r", now=LATER)
    with pytest.raises(ValueError, match="permit is"):
        comprehensive.act_on_permit(issuer, pharmacy, "food", "paint", reason="r", now=LATER)


def test_every_permit_verifies_alone(agency, pharmacy):
    food = comprehensive.permits_of(agency.register, pharmacy.identifier)[1]
    claims = sdjwt.verify(food.document, agency.key.public_key, DOCUMENT, now=NOW).claims
    assert claims["permit_number"] == record("food-business-permit")["permit_number"]


def test_a_permit_is_added_and_replaced(agency, pharmacy):
    second = comprehensive.put_permit(
        agency.issuer, pharmacy, _permit("device"), reason="more", now=LATER
    ).license
    assert second.version == 2
    third = comprehensive.put_permit(
        agency.issuer, second, _permit("drug", n=2), reason="renewed", now=LATER
    ).license
    found = comprehensive.permits_of(agency.register, pharmacy.identifier)
    assert [(item.key, item.number) for item in found] == [
        ("device", "DEVICE-1"),
        ("drug", "DRUG-2"),
        ("food", "FOOD-1"),
    ]
    assert third.fields["permits_text"].count("\n") == 2
    events = agency.register.history(pharmacy.identifier)
    assert events[-1].detail["permit"] == "drug"


def test_a_wrong_set_of_permits_is_refused(agency):
    values = {key: value for key, value in record("comprehensive-license").items() if key != "permits_text"}
    for permits in ([], [_permit("food")], [_permit("drug"), _permit("drug")]):
        with pytest.raises(RecordError) as caught:
            comprehensive.issue(agency.issuer, values, permits, now=NOW)
        assert caught.value.field == "permits_text"
    with pytest.raises(Conflict):
        comprehensive.issue(agency.issuer, values, [_permit("drug", state=State.SUSPENDED)], now=NOW)
    with pytest.raises(RecordError, match="industry"):
        comprehensive.check_permits("moon", [])
    assert isinstance(agency, Agency)
