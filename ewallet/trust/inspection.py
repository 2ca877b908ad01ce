"""Looking at a published repository: a complete check, a description, and the difference of two.

`check` sees what a verifier sees (through the real store) and what a verifier cannot see: that history was
not rewritten between the issues that lie in the repository, that no key is listed twice, that nothing is
about to end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from ewallet.errors import ConfigError, Malformed, Refused, TrustError
from ewallet.moments import instant, seconds
from ewallet.trust.distribution import TrustStore, first_root, thumbprint
from ewallet.trust.entries import SERVICE_NAMES
from ewallet.trust.image import GRANTS, RECOGNITION
from ewallet.trust.lists import rewritten_history
from ewallet.trust.lote import from_document
from ewallet.trust.recognition import rule_from_json
from ewallet.trust.repository import Repository
from ewallet.trust.times import time_text
from ewallet.trust.words import changes
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from ewallet.trust.lote import ProvinceList
    from ewallet.trust.trust import Trust
    from ewallet.trust.words import Words

SOON: Final = timedelta(hours=12)
"""What ends within this time is worth a warning."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What `check` found.

    Attributes:
        problems: what must be put right; any: the check failed.
        warnings: what an operator should know.
    """

    problems: list[Words] = field(default_factory=list)
    warnings: list[Words] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def problem(self, zh: str, en: str) -> None:
        """Notes a problem."""
        self.problems.append((zh, en))

    def warning(self, zh: str, en: str) -> None:
        """Notes a warning."""
        self.warnings.append((zh, en))


def open_fresh(directory: Path, *, now: datetime, root: bytes | None = None) -> Trust:
    """What a verifier without any state makes of a published repository.

    Raises:
        TrustError: it refuses the lists.
    """
    with TemporaryDirectory() as place:
        return TrustStore.open(place, root=root).refresh(directory, now)


def check(directory: Path, *, now: datetime, root: bytes | None = None) -> Report:
    """Checks a whole published repository.

    Args:
        directory: with `metadata/` and `targets/`, or a bundle.
        now: the time.
        root: pins the first root.
    """
    report = Report()
    inner = directory / "repository"
    directory = inner if inner.is_dir() else directory
    try:
        trust = open_fresh(directory, now=now, root=root)
        repository = Repository.load(directory)
    except TrustError as error:
        report.problem(f"名单无法使用：{error.detail}", f"the lists cannot be used: {error}")
        return report
    except ConfigError as error:
        report.problem("名单文件不完整", str(error))
        return report
    _check_state(trust, now, report)
    for problem in repository.problems():
        report.problem(f"结构不符：{problem}", problem)
    _check_keys(trust, report)
    _check_history(directory, repository, report)
    _check_bounds(repository, report)
    _check_rules(repository, trust, report)
    _check_ends(repository, now, report)
    return report


def _check_state(trust: Trust, now: datetime, report: Report) -> None:
    try:
        trust.freshness(now)
    except Refused as refusal:
        report.problem(f"名单不够新：{refusal.detail}", f"{refusal.reason}: {refusal.detail}")
    for code, province in trust.provinces.items():
        if province.fault:
            report.problem(f"{code} 的名单不可用：{province.detail}", f"{code}: {province.detail}")
        elif seconds(now) >= province.until:
            report.problem(f"{code} 的名单已到期", f"the list of {code} is at its end")
        if trust.hot(code, now) is None:
            report.warning(f"{code} 没有可用的热名单", f"{code} has no usable hot list")


def _check_keys(trust: Trust, report: Report) -> None:
    """One key, one service, one owner; one kid, one key."""
    seen: dict[bytes, tuple[str, str]] = {}
    for listed in trust.all_keys():
        owner = (listed.entity.uri, listed.service.value)
        other = seen.setdefault(listed.key.kid, owner)
        if other != owner:
            kid = listed.key.kid.hex()
            report.problem(
                f"密钥 {kid} 同时列在 {other[0]} 和 {owner[0]} 名下",
                f"key {kid} is listed for {' '.join(other)} and for {' '.join(owner)}",
            )
        if listed.void:
            report.problem(
                f"{owner[0]} 的服务无效：{listed.void}", f"{' '.join(owner)} is void: {listed.void}"
            )


def _issues(directory: Path, code: str) -> Iterator[ProvinceList]:
    """All issues of a province's list whose files are still there, oldest first."""
    files = sorted(
        (directory / "metadata").glob(f"*.{code}.json"), key=lambda file: int(file.name.split(".")[0])
    )
    for file in files:
        try:
            issue: Metadata[Any] = Metadata.from_file(str(file))
            info = issue.signed.targets.get(f"{code}/list.json")
            if info is None:
                continue
            place = directory / "targets" / code / f"{info.hashes['sha256']}.list.json"
            yield from_document(place.read_bytes())
        except (OSError, Malformed, RepositoryError, AttributeError):
            continue  # what is still needed was read before; an older issue may have been cleared away


def _check_history(directory: Path, repository: Repository, report: Report) -> None:
    for code in repository.signed("targets").delegations.roles:
        before: ProvinceList | None = None
        for issue in _issues(directory, code) if code.isdigit() else ():
            if before is not None and issue.sequence != before.sequence:
                for problem in rewritten_history(before, issue):
                    report.problem(f"{code} 改写历史：{problem}", f"{code} rewrites history: {problem}")
            before = issue


def _check_bounds(repository: Repository, report: Report) -> None:
    """What a province lists beyond its bounds does not count, and its operator should know."""
    bounds = decode_json(repository.files[GRANTS], limit=1 << 24)["provinces"]
    for code, bound in bounds.items():
        data = repository.files.get(f"{code}/list.json")
        for item in from_document(data).entities if data else ():
            uri = item.entity.uri
            if not any(uri.startswith(base) for base in bound["bases"]):
                report.problem(f"{uri} 不在 {code} 的地址之下", f"{uri} is not under the URIs of {code}")
            for service in item.services:
                allowed = bound["services"].get(service.service.value)
                for grant in service.grants:
                    outside = [region for region in grant.regions if not region.startswith(code)]
                    if allowed is None or outside:
                        report.problem(
                            f"{uri} 的授权超出 {code} 的上限",
                            f"{uri}: a grant for {service.service.value} is beyond the bounds of {code}",
                        )


def _check_rules(repository: Repository, trust: Trust, report: Report) -> None:
    effective = {rule.digest for rule in trust.rules}
    for row in decode_json(repository.files[RECOGNITION], limit=1 << 24)["rules"]:
        rule = rule_from_json(row)
        if rule.digest not in effective:
            report.warning(
                f"规则 {rule.id} 尚未获双方认可", f"rule {rule.id} is not approved by both provinces"
            )


def _check_ends(repository: Repository, now: datetime, report: Report) -> None:
    for name, role in repository.roles.items():
        end = role.signed.expires
        if now < end < now + SOON:
            text = time_text(end)
            report.warning(f"{name} 将于 {text} 到期", f"{name} ends at {text}")


# --- showing ------------------------------------------------------------------------------------------------


def describe(trust: Trust, now: datetime) -> Iterator[Words]:
    """What the lists say now, sentence by sentence."""
    signed = time_text(trust.signed_at)
    yield f"首份根指纹 {trust.root}", f"first root {trust.root}"
    yield f"签署时间 {signed}", f"signed at {signed}"
    for code, province in trust.provinces.items():
        state_zh, state_en = ("不可用", "cannot be used") if province.fault else ("可用", "usable")
        name = province.names.get("zh", code)
        end = time_text(instant(province.until))
        yield (
            f"{code} {name}：第{province.version}版，{state_zh}，至 {end}",
            f"{code} {province.names.get('en', code)}: version {province.version}, {state_en}, until {end}",
        )
    for listed in trust.all_keys():
        zh, en = SERVICE_NAMES[listed.service]
        state = listed.state_at(seconds(now))
        status = state.status.value if state else "not yet granted"
        kid = listed.key.kid.hex()
        yield (
            f"  {listed.entity.names.get('zh', '')} {zh} 密钥 {kid}（{listed.key.suite.name}）{status}",
            f"  {listed.entity.uri} {en}: key {kid} ({listed.key.suite.name}) {status}",
        )
    for entry in trust.brakes(now):
        yield f"刹停：{entry.reason}", f"stopped: {entry.reason}"
    yield f"互认规则 {len(trust.rules)} 条", f"{len(trust.rules)} recognition rules"


# --- difference of two --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How two published repositories differ.

    Attributes:
        same_anchor: whether they start from the same first root.
        contradictions: roles that were signed twice with one version number: proof of a split view.
        changes: what the second says that the first does not.
    """

    same_anchor: bool
    contradictions: tuple[str, ...]
    changes: tuple[Words, ...]


def difference(first: Path, second: Path) -> Difference:
    """Compares two copies of a repository, as two gates hand them in.

    A contradiction is named only if both copies carry valid signatures of the role's own keys: nobody can
    make the consortium look two-faced with a forged file.
    """
    before, after = Repository.load(first), Repository.load(second)
    contradictions = [f"{name} version {version}" for name, version in sorted(_signed_twice(first, second))]
    anchors = [thumbprint(first_root(place)) for place in (first, second)]
    return Difference(
        same_anchor=anchors[0] == anchors[1],
        contradictions=tuple(contradictions),
        changes=tuple(changes(before, after)),
    )


def _signed_twice(first: Path, second: Path) -> Iterator[tuple[str, int]]:
    one, other = _validly_signed(first), _validly_signed(second)
    for key in one.keys() & other.keys():
        if one[key] != other[key]:
            yield key


def _validly_signed(directory: Path) -> dict[tuple[str, int], bytes]:
    """Signed part of every metadata file whose signatures hold, by role and version.

    From the first root on: each root by the one before, other roles by a root, delegated ones by a signed
    role of the consortium.
    """
    files = {file: file.name.removesuffix(".json").rpartition(".")[2] for file in _metadata_files(directory)}
    found: dict[tuple[str, int], bytes] = {}
    delegators: list[Any] = []
    for wanted in (("root",), ("targets", "snapshot", "timestamp"), None):
        for file, name in files.items():
            if name not in wanted if wanted else name in _TOP:
                continue
            loaded: Metadata[Any] = Metadata.from_file(str(file))
            if (not delegators and name == "root") or _holds(delegators, name, loaded):
                found[name, loaded.signed.version] = loaded.signed_bytes
                if name in ("root", "targets"):
                    delegators.append(loaded.signed)
    return found


_TOP: Final = ("root", "targets", "snapshot", "timestamp")


def _metadata_files(directory: Path) -> list[Path]:
    def version(file: Path) -> int:
        number = file.name.split(".")[0]
        return int(number) if number.isdigit() else 0

    return sorted((directory / "metadata").glob("*.json"), key=version)


def _holds(delegators: list[Any], name: str, loaded: Metadata[Any]) -> bool:
    for delegator in delegators:
        try:
            delegator.verify_delegate(name, loaded.signed_bytes, loaded.signatures)
        except (RepositoryError, ValueError):
            continue
        return True
    return False
