"""Fixtures for every test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.actions.envelope import Context
from api.auth.callers import Caller, Callers
from api.auth.keys import make_keys
from api.domain.progress import RecentStatuses
from api.settings import Settings
from api.states import Role
from api.store.session import migrate, open_database, writing
from api.store.users import add_user
from api.trail import following
from tests.fakes import RecordingQueue
from tests.postgres import postgres_cluster, postgres_url
from tests.users import ADMIN_PASSWORD, hash_of

__all__ = ["postgres_cluster", "postgres_url"]


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """What a test's work belongs to is forgotten with the test."""
    with following():
        yield


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with keys and an empty database; copied for each test, never used."""
    home = tmp_path_factory.mktemp("made") / "home"
    settings = Settings(home=home)
    make_keys(settings)
    migrate(settings.database)
    return home


@pytest.fixture
def settings(made_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a home of the test's own, untouched by the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FIRSTBOX_{name.upper()}", raising=False)
    shutil.copytree(made_home, tmp_path / "home")
    return Settings(home=tmp_path / "home")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The test's own migrated database."""
    engine = open_database(settings.database)
    yield engine
    engine.dispose()


@pytest.fixture
def admin(engine: Engine) -> Caller:
    """User `admin`, whose password is `ADMIN_PASSWORD`."""
    with writing(engine) as connection:
        add_user(
            connection,
            user_id="admin",
            password_hash=hash_of(ADMIN_PASSWORD),
            role=Role.ADMIN,
            description="",
        )
    return Caller("admin", Role.ADMIN)


@pytest.fixture
def callers(settings: Settings, engine: Engine) -> Callers:
    """Who is calling, as a process of its own would know."""
    return Callers(settings, engine)


@pytest.fixture
def queue() -> RecordingQueue:
    """A queue that keeps what was put into it."""
    return RecordingQueue()


@pytest.fixture
def context(
    settings: Settings, engine: Engine, queue: RecordingQueue, admin: Caller, callers: Callers
) -> Context:
    """What a handler is given when the admin calls."""
    return Context(
        settings=settings,
        engine=engine,
        queue=queue,
        caller=admin,
        callers=callers,
        statuses=RecentStatuses(),
    )
