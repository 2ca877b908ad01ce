"""The partner guide's scripts, run as they stand, against two services."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest

from ewallet.licenses.asking import make_consent
from ewallet.moments import day_of
from tests.agency import record
from tests.services import BUSINESS, Land, clock

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "partner.md"


@pytest.fixture(scope="module")
def scripts():
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def run(place: Path, script: str, *arguments: str, **environment: str):
    file = place / "script.py"
    file.write_text(script)
    return subprocess.run(
        [sys.executable, str(file), *arguments],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_stranger_verifies_and_a_partner_retrieves(tmp_path, scripts):
    (tmp_path / "land").mkdir()
    land = Land(tmp_path / "land")
    try:
        issued, device, _ = land.issue("31", 5)
        land.publish_status()
        service = land.serve("31")
        verify, retrieve = scripts
        assert len(verify.splitlines()) <= 35
        (tmp_path / "license").write_text(issued.document)
        found = run(tmp_path, verify, service.url, "license")
        assert found.returncode == 0, found.stderr
        assert "ACCEPTED" in found.stdout
        (tmp_path / "license").write_text(issued.document.replace("ey", "eZ", 1))
        assert run(tmp_path, verify, service.url, "license").returncode == 1

        [example] = re.findall(r"```json\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
        ask = json.loads(example)
        ask |= {
            "holder": record(BUSINESS, 5)["uscc"],
            "until": (day_of(clock()) + timedelta(days=3)).isoformat(),
        }
        consent = make_consent(
            device,
            identifier=issued.license.identifier,
            recipient=land.hall.uri,
            matter=ask["matter"],
            case=ask["case"],
            purpose=ask["purpose"],
            now=clock(),
        )
        ask["consent"] = b64encode(consent).decode()
        (tmp_path / "ask.json").write_text(json.dumps(ask))
        given = {"EWALLET_API_KEY": land.keys["31/window"]}
        found = run(tmp_path, retrieve, service.url, "ask.json", **given)
        assert (found.returncode, found.stdout.split()[0]) == (0, "0"), found.stderr + found.stdout
        assert (tmp_path / "copy.pdf").read_bytes().startswith(b"%PDF-")
        (tmp_path / "ask.json").write_text(json.dumps({**ask, "case": "another"}))
        refused = run(tmp_path, retrieve, service.url, "ask.json", **given)
        assert (refused.returncode, refused.stdout.split()[0]) == (1, "100")
    finally:
        land.close()
