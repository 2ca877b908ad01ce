"""The register: issuing and binding in batches, one lookup, publishing after one change, bulk issue.

Issuing and binding are given as multiples of one raw ES256 signature of this machine, measured around each
batch: the median of the ratios says more than a ratio of medians on a machine that does other things too.
"""

from __future__ import annotations

import csv
import gc
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from ewallet.keys import SigningKey
from ewallet.licenses.binding import check_proof, prove
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.devices import BindRequest
from ewallet.licenses.issuer import Authority, Issued, Issuer, Order
from ewallet.licenses.numbers import uscc
from ewallet.licenses.register import Register

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
TYPE = "business-license"
BATCH = 1000
SMALL = 20_000
LARGE = 1_000_000
_SIGNATURES = 4000


def number(n: int) -> str:
    body = f"91310101MA{n:07}"
    return body + uscc.check_character(body)


def record(n: int) -> dict[str, str]:
    return {
        "uscc": number(n),
        "name": f"上海样例{n}有限公司",
        "company_type": "有限责任公司",
        "legal_representative": "王喆",
        "registered_capital": "100万元人民币",
        "established_on": "2019-03-05",
        "valid_until": "long-term",
        "address": "上海市黄浦区样例路1号",
        "scope": "食品销售；食品互联网销售。",
        "issued_on": "2026-11-20",
    }


def open_issuer(place: Path) -> Issuer:
    return Issuer(
        signer=SigningKey.generate(),
        status_signer=SigningKey.generate(),
        catalog=Catalog.builtin(),
        register=Register.open(place / "register.db"),
        authority=Authority(
            uri="https://sh.ewallet.example/a/market",
            name="上海市样例市场监督管理局",
            name_en="Sample Market Bureau",
            uscc="11310000MA1FL00012",
            area="310000",
            status_base="https://sh.ewallet.example/s/market",
            base="https://ewallet.example",
        ),
    )


def raw_signature(key: SigningKey) -> float:
    """Seconds of one raw ES256 signature, now: over as long a time as half a batch takes."""
    message = b"m" * 300
    begun = time.perf_counter()
    for _ in range(_SIGNATURES):
        key.sign(message)
    return (time.perf_counter() - begun) / _SIGNATURES


def paired(key: SigningKey, act: Any) -> tuple[float, float]:
    """Seconds for each item of a batch, and its ratio to a signature measured before and after."""
    gc.collect()
    gc.disable()  # its passes go over all that a benchmark keeps, whatever is measured
    try:
        before = raw_signature(key)
        begun = time.perf_counter()
        act()
        each = (time.perf_counter() - begun) / BATCH
        after = raw_signature(key)
    finally:
        gc.enable()
    return each, each / ((before + after) / 2)


def _issue(issuer: Issuer, orders: list[Order]) -> list[Any]:
    return issuer.issue_many(orders, type=TYPE, now=NOW)


def fill(issuer: Issuer, first: int, count: int) -> list[Issued]:
    made = []
    for start in range(first, first + count, BATCH):
        orders = [Order(record=record(n)) for n in range(start, start + BATCH)]
        made = [item for item in issuer.issue_many(orders, type=TYPE, now=NOW) if isinstance(item, Issued)]
        assert len(made) == BATCH
    return made


def measure(*, rounds: int) -> list[dict[str, Any]]:
    turns = max(rounds // 6, 3)
    with tempfile.TemporaryDirectory() as directory:
        issuer = open_issuer(Path(directory))
        with issuer.register:
            fill(issuer, 0, 2 * BATCH)
            issuing, binding, with_proof = [], [], []
            device = SigningKey.generate()
            for turn in range(turns):
                orders = [Order(record=record((turn + 2) * BATCH + n)) for n in range(BATCH)]
                made: list[Any] = []
                issuing.append(
                    paired(
                        issuer.signer,
                        lambda o=orders, m=made: m.extend(_issue(issuer, o)),
                    )
                )
                requests = [
                    BindRequest(
                        license=item.license.identifier,
                        holder_index=0,
                        device_key=device.public_key,
                        proof=prove(device, authority=issuer.authority.uri, nonce=issuer.challenge(NOW)),
                    )
                    for item in made
                ]
                whole = paired(issuer.signer, lambda r=requests: issuer.bind_many(r, now=NOW))
                checking = paired(issuer.signer, lambda r=requests: _check(issuer, r))
                with_proof.append(whole)
                binding.append((whole[0] - checking[0], whole[1] - checking[1]))
            fill(issuer, 1_000_000, max(SMALL - (turns + 2) * BATCH, BATCH))
            rows = [
                _ratio("issue one license (SQLite, batches of 1,000)", issuing, 10),
                _ratio("bind one device: both credentials, entries, rows", binding, 14),
                _ratio("bind one device, with the check of its proof", with_proof, None),
                *_answers(issuer, Path(directory), f"{SMALL:,}"),
            ]
    return rows


def _check(issuer: Issuer, requests: list[BindRequest]) -> None:
    secret = issuer.register.secret()
    for item in requests:
        check_proof(item.proof, item.device_key, authority=issuer.authority.uri, secret=secret, now=NOW)


def _ratio(operation: str, found: list[tuple[float, float]], target: int | None) -> dict[str, Any]:
    row = {
        "operation": operation,
        "ratio": median(ratio for _, ratio in found),
        "against": "raw ES256 signature",
        "us": median(each for each, _ in found) * 1e6,
    }
    return row if target is None else {**row, "target": target}


def _answers(issuer: Issuer, place: Path, size: str) -> list[dict[str, Any]]:
    """One lookup by identifier and by number, and publishing after one change."""
    register = issuer.register
    found = register.find(type_code=issuer.catalog[TYPE].code, number=number(1))[0]
    lookups = []
    for _ in range(200):
        begun = time.perf_counter()
        register.current(found.identifier)
        lookups.append(time.perf_counter() - begun)
    register.publish_status(place / "status", issuer.status_signer, now=NOW)
    publishing = []
    for turn in range(5):
        later = NOW + timedelta(minutes=turn + 1)
        act = issuer.restore if turn % 2 else issuer.suspend
        act(found, reason="measured", now=later)
        begun = time.perf_counter()
        files = register.publish_status(place / "status", issuer.status_signer, now=later)
        publishing.append(time.perf_counter() - begun)
        assert len(files) == 2
    return [
        {
            "operation": f"look up one of {size} licenses",
            "value": median(lookups) * 1000,
            "unit": "ms",
            "target": 1,
        },
        {
            "operation": f"publish after one change, {size} licenses",
            "value": median(publishing) * 1000,
            "unit": "ms",
            "target": 200,
        },
    ]


def measure_large() -> list[dict[str, Any]]:
    """A register of a million licenses, and bulk jobs of 20,000 and 100,000 rows."""
    rows = bulk_rows()
    with tempfile.TemporaryDirectory() as directory:
        issuer = open_issuer(Path(directory))
        with issuer.register:
            fill(issuer, 0, LARGE)
            size = (Path(directory) / "register.db").stat().st_size / 1e9
            rows.append({"operation": f"register of {LARGE:,} licenses", "value": size, "unit": "GB"})
            rows += _answers(issuer, Path(directory), f"{LARGE:,}")
    return rows


_CONFIG = """
register = "register-{name}.db"
licenses_key = "licenses.key"
status_key = "status.key"
password_file = "password"
[authority]
uri = "https://sh.ewallet.example/a/market"
name = "上海市样例市场监督管理局"
name_en = "Sample Market Bureau"
uscc = "11310000MA1FL00012"
area = "310000"
status_base = "https://sh.ewallet.example/s/market"
base = "https://ewallet.example"
"""


def bulk_rows() -> list[dict[str, Any]]:
    """Memory of a job is flat in its rows, and two processes do it faster than one."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "password").write_text("benchmark\n")
        for name in ("licenses.key", "status.key"):
            SigningKey.generate().save(place / name, "benchmark")
        for rows in (SMALL, 100_000):
            _write_export(place / f"{rows}.csv", rows)
        took, memory = {}, {}
        for name, rows, workers in (("a", SMALL, 1), ("b", 100_000, 1), ("c", 100_000, 2)):
            (place / f"{name}.toml").write_text(_CONFIG.format(name=name))
            command = [
                *(sys.executable, "-m", "ewallet", "issue", str(place / f"{rows}.csv"), "--type", TYPE),
                *("--config", str(place / f"{name}.toml"), "--out", str(place / name)),
                *("--workers", str(workers)),
            ]
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            took[name] = time.perf_counter() - begun
            memory[name] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        growth = memory["b"] - memory["a"]
    assert growth < 20, "memory of a bulk job grows with its rows"
    return [
        {"operation": "bulk issue, 100,000 rows: memory", "value": memory["b"], "unit": "MB", "target": 300},
        {
            "operation": "bulk issue: growth, 20,000 to 100,000 rows",
            "value": growth,
            "unit": "MB",
            "target": 20,
        },
        {
            "operation": "bulk issue: two processes against one",
            "ratio": took["b"] / took["c"],
            "against": "one process",
            "target": 1.6,
            "more_is_better": True,
        },
        {"operation": "bulk issue, one process", "value": 100_000 / took["b"], "unit": "rows a second"},
    ]


def _write_export(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            [
                *("统一社会信用代码", "企业名称", "类型", "法定代表人", "注册资本", "成立日期", "营业期限至"),
                *("住所", "经营范围", "登记日期"),
            ]
        )
        for n in range(rows):
            values = record(n)
            writer.writerow(
                [
                    *(values[key] for key in ("uscc", "name", "company_type", "legal_representative")),
                    *(values[key] for key in ("registered_capital", "established_on")),
                    "长期",
                    *(values[key] for key in ("address", "scope", "issued_on")),
                ]
            )
