"""A consortium to try things out: authorities in each province, rules between them, a gate bundle."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ewallet.keys import SigningKey
from ewallet.trust.authoring import PROVINCES, Consortium
from ewallet.trust.bundle import write_bundle
from ewallet.trust.entries import Service
from ewallet.trust.mappings import builtin_rules
from ewallet.trust.tuf_keys import ONLINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from ewallet.keys import Signer
    from ewallet.trust.bundle import Bundle

_AUTHORITIES: Final[dict[str, tuple[str, str, tuple[Service, ...]]]] = {
    "market": ("市场监督管理局（示例）", "market regulator (example)", (Service.LICENSES, Service.STATUS)),
    "transport": ("交通运输局（示例）", "transport authority (example)", (Service.LICENSES, Service.STATUS)),
    "codes": ("身份码中心（示例）", "identity code center (example)", (Service.CODES, Service.STATUS)),
    "registry": ("登记证明中心（示例）", "registry (example)", (Service.REGISTER, Service.OBJECTIONS)),
    "hall": ("政务服务中心（示例）", "service hall (example)", (Service.VERIFY, Service.RECEIPTS)),
}


def make_sandbox(
    directory: Path,
    *,
    provinces: Sequence[str],
    now: datetime,
    keys: Path | None = None,
    password: str = "",
) -> Bundle:
    """Makes a whole consortium as a gate bundle.

    Args:
        directory: the bundle.
        provinces: codes among the four.
        now: the time.
        keys: where everybody's key files are kept, to try changes out with; None: they are forgotten.
        password: of the key files.
    """
    consortium = Consortium.sandbox(provinces, now=now)
    populate(consortium, now=now)
    if keys is not None:
        _save_keys(consortium, keys, password)
    repository = consortium.publish(directory / "repository", now=now)
    home = provinces[0]
    policy = {"scene": "counter", "venue": f"{consortium.base(home)}v/hall", "province": home}
    return write_bundle(directory, repository=repository, policy=policy)


def populate(consortium: Consortium, *, now: datetime) -> None:
    """Adds the example authorities and the built-in rules, approved by both sides."""
    for code in consortium.provinces:
        zh, en, _ = PROVINCES[code]
        for label, (zh_label, en_label, services) in _AUTHORITIES.items():
            names = {"zh": zh + zh_label, "en": f"{en} {en_label}"}
            consortium.add_authority(code, label, names=names, services=services, now=now)
    rules = builtin_rules(consortium.provinces, start=now, until=now + timedelta(days=365))
    consortium.set_rules(rules, now=now)


def _save_keys(consortium: Consortium, place: Path, password: str) -> None:
    """Key files as `ewallet trust keys` names them, and `<label>-<service>.key` of the authorities."""
    counts: dict[str, int] = {}
    for role, owner, signer in consortium.signers:
        name = role.removeprefix(f"{owner}-")
        if role == owner:
            counts[owner] = counts.get(owner, 0) + 1
            name = f"list-{counts[owner]}"
        _save(signer, place / owner / f"{name}.key", password)
    for name, signer in consortium.online.items():
        _save(signer, place / ONLINE / f"{name}.key", password)
    for uri, authority in consortium.authorities.items():
        label = uri.rpartition("/")[2]
        for service, signer in authority.signers.items():
            _save(signer, place / authority.province / f"{label}-{service.value}.key", password)


def _save(signer: Signer, file: Path, password: str) -> None:
    if not isinstance(signer, SigningKey):
        raise TypeError("only file keys can be saved")
    file.parent.mkdir(parents=True, exist_ok=True)
    signer.save(file, password)
