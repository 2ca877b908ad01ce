"""The operating guide and the examples of deployments name only what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from ewallet.cli import cli
from ewallet.cli.service_commands import serve
from tests.services_tls import CertificateAuthority, pem

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "operating.md").read_text(encoding="utf-8")
OPTIONS = {name for option in serve.params for name in option.opts}


def test_every_option_that_is_named_exists():
    unit = (ROOT / "examples" / "deployment" / "ewallet@.service").read_text()
    started = unit.partition("ExecStart=")[2].partition("\nRestart=")[0]
    container = (ROOT / "examples" / "deployment" / "Containerfile").read_text().partition("ENTRYPOINT")[2]
    table = "".join(re.findall(r"^\| `(--[^|]*)\|", GUIDE, re.MULTILINE))
    for text in (started, container, table):
        named = set(re.findall(r"--[a-z-]+", text))
        assert named
        assert named <= OPTIONS, named - OPTIONS


def test_the_partner_commands_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys, certificates = re.findall(r"```sh\n(ewallet partner.*?)```", GUIDE, re.DOTALL)
    authority = CertificateAuthority()
    for name in re.findall(r"--certificate (\S+)", certificates):
        (tmp_path / name).write_bytes(pem(authority.issue(name)[0]))
    outputs = []
    for line in (keys + certificates).splitlines():
        result = CliRunner().invoke(cli, shlex.split(line, comments=True)[1:], standalone_mode=False)
        assert result.exception is None, (line, result.exception)
        outputs.append(result.output)
    assert outputs[0].startswith("ewk_")
    assert outputs[1].split()[:2] == ["hall", "verifier"]
    assert [each.split()[0][:4] == "ewk_" for each in outputs[3:]] == [False, True]
    assert outputs[0].strip() not in (tmp_path / "partners.json").read_text()
    assert (tmp_path / "partners.json").stat().st_mode & 0o077 == 0


def test_beyond_this_machine_keys_are_needed(tmp_path):
    given = ["serve", "--host", "0.0.0.0", "--trust", str(tmp_path)]
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 2
    assert "--partners" in result.output
