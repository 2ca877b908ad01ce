"""The guide docs/guides/joining-province.md, followed from an empty directory."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from ewallet.cli import cli

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "joining-province.md"


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line]


def run(line: str) -> int:
    words = shlex.split(line)
    match words:
        case ["ewallet", *args]:
            return cli.main(args, standalone_mode=False) or 0
        case ["mkdir", *names]:
            for name in names:
                Path(name).mkdir()
        case ["echo", text, ">", name]:
            Path(name).write_text(text + "\n")
        case ["cp", "-r", source, target]:
            shutil.copytree(source, target)
        case ["cp", source, target]:
            shutil.copy(source, target)
        case _:
            pytest.fail(f"the guide has a command that this test does not run: {line}")
    return 0


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # `ewallet trust conformance` starts the program that the guide names.
    scripts = Path(__import__("sys").executable).parent
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_the_guide_from_an_empty_directory(place, capsys):
    for line in commands():
        assert run(line) == 0, line
    told = capsys.readouterr().out
    assert "新增机关 安徽省市场监督管理局（示例）" in told
    assert "刹停 entity=https://ah.ewallet.example/a/market" in told
    assert "0 项不符" in told
    assert (place / "bundle.zip").stat().st_size < 200_000


def test_one_signature_too_few_publishes_nothing(place, capsys):
    lines = commands()
    begun = lines.index(next(line for line in lines if " publish " in line))
    for line in lines[:begun]:
        # Only one province signs its lists, and only one of three the root.
        if "trust sign" not in line or "--province 31" in line:
            run(line)
    from ewallet.errors import ConfigError

    with pytest.raises(ConfigError, match=r"root: 1 signature\(s\) missing"):
        run(lines[begun].replace("--draft jiangsu/draft --draft zhejiang/draft", ""))
    assert not (place / "published").exists()
    assert "root" in capsys.readouterr().out
