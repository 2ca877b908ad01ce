"""What the first page shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    subprocess.run(
        [sys.executable, "-m", "ewallet", "demo", "--out", "demo-out"],
        cwd=place,
        check=True,
        capture_output=True,
    )
    return place


def test_the_python_example_runs(place):
    text = (ROOT / "README.md").read_text()
    [example] = re.findall(r"<!-- example: verify -->\n```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "11100000MB0143028R001" in done.stdout


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_commands_run(place, page):
    commands = re.findall(r"^\.venv/bin/(ewallet .*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        line = f"{shlex.quote(sys.executable)} -m {command}"
        environment = {**os.environ, "XDG_STATE_HOME": str(place / "home")}
        done = subprocess.run(
            line, shell=True, cwd=place, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
