"""The register's tables: migrations make exactly what the code expects, and other versions are refused."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ewallet.errors import ConfigError, RegisterError
from ewallet.licenses import status, tables
from ewallet.licenses.deployment import Deployment
from ewallet.licenses.register import Register


def test_migrations_make_the_tables(register):
    with register.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == tables.HEAD
        assert compare_metadata(context, tables.metadata) == []


def test_another_version_is_refused(register, database):
    with register.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(RegisterError, match="migrate"):
        Register.open(database)


def test_what_cannot_be_opened(tmp_path):
    for url in ("nothing://x", f"sqlite:///{tmp_path}/no/such/place.db", "postgresql://127.0.0.1:1/none"):
        with pytest.raises(RegisterError):
            Register.open(url)


def test_the_verify_path_does_without_a_database():
    code = (
        "import sys, ewallet, ewallet.licenses, ewallet.licenses.seal, ewallet.verify.verifier;"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_exported_name_is_there():
    import ewallet.licenses as rooms

    for name in rooms.__all__:
        assert getattr(rooms, name) is not None
    with pytest.raises(AttributeError):
        rooms.nothing  # noqa: B018


@pytest.mark.parametrize("size", [1, 2, 3, 16, 1000, 1024])
def test_every_index_is_given_once(size):
    assert sorted(status.permute(b"seed", n, size) for n in range(size)) == list(range(size))
    if size > 16:
        assert [status.permute(b"seed", n, size) for n in range(size)] != [
            status.permute(b"other", n, size) for n in range(size)
        ]


def test_an_address_that_leads_elsewhere_is_not_written():
    assert status.file_of("https://sh.ewallet.example/s/1") == "sh.ewallet.example/s/1"
    for uri in ("http://x.example/a", "https://x.example/../a", "https://x.example/a//b", "file:///etc/a"):
        with pytest.raises(ConfigError):
            status.file_of(uri)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("surprise = 1", "unknown key"),
        ("[authority]", "needs uri"),
        ("= not toml", "not TOML"),
        ('catalog = "types"', "list of directories"),
        ("", "missing"),
    ],
)
def test_a_wrong_deployment_file_is_refused(tmp_path, change, problem):
    file = tmp_path / "authority.toml"
    text = 'register = "r.db"\nlicenses_key = "a"\nstatus_key = "b"\npassword_file = "c"\n'
    file.write_text((text if change else "") + change)
    with pytest.raises(ConfigError, match=problem):
        Deployment.load(file)
