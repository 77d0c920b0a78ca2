"""Fixtures for the tests of one module at a time."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine

from api.settings import Settings
from api.store.session import migrate, open_database
from api.tracing import Tracing
from tests.otlp import Collector, collecting


@pytest.fixture(scope="session")
def migrated_postgres(postgres_cluster: str) -> str:
    """Name of a database with empty tables; copied for each test, never used."""
    with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE made")
    migrate(f"{postgres_cluster}/made".replace("postgresql://", "postgresql+psycopg://"))
    return "made"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A migrated database of the test's own; the test runs once on each kind."""
    if request.param == "sqlite":
        settings: Settings = request.getfixturevalue("settings")
        engine = open_database(settings.database)
        yield engine
        engine.dispose()
        return
    cluster: str = request.getfixturevalue("postgres_cluster")
    template: str = request.getfixturevalue("migrated_postgres")
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(f"{cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        url = f"{cluster}/{name}".replace("postgresql://", "postgresql+psycopg://")
        engine = open_database(url)
        yield engine
        engine.dispose()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of traces that listens during the test."""
    with collecting() as listening:
        yield listening


@pytest.fixture
def tracing(settings: Settings, collector: Collector) -> Tracing:
    """Sends its spans to the collector."""
    return Tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "tested")
