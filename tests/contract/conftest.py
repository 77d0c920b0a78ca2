"""The API as a caller has it: real HTTP in process, a real database, real credentials."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.credentials import seal
from api.domain import jobs, users
from api.hardware.model import to_json
from api.hardware.parse import parse_probe
from api.jobs.queue import prepare
from api.settings import Settings
from api.states import JobAction, NodeStatus, Reason, Role
from api.store.hardware import record_hardware
from api.store.nodes import add_nodes, move_nodes
from api.store.session import open_database, writing
from tests.fakes import RecordingQueue
from tests.jobs import end_job
from tests.unit.hardware.conftest import RECORDED
from tests.users import ADMIN_PASSWORD, plant_user

EXAMPLES = Path(__file__).parent / "examples"
_NOT_COMPARED = {"audit", "sqlite_sequence"}  # a refused login is written down

Reply = dict[str, Any]


@dataclass
class Api:
    """A running API and one way to call it as each user."""

    http: TestClient
    tokens: dict[str, str]
    settings: Settings

    def call(self, action: str, *, user: str | None = "admin", **fields: Any) -> Reply:
        """The answer to an action, which was read: its status is 200."""
        response = self.send({"action": action, **fields}, user=user)
        assert response.status_code == 200, response.text
        return self.answer(response)

    def refuse(self, ret_code: int, action: str, *words: str, **fields: Any) -> Reply:
        """The refusal of an action: its code, words in its message, and nothing changed."""
        before = self.dump()
        answer = self.call(action, **fields)
        assert answer["ret_code"] == ret_code, answer
        assert answer["action"] == f"{action}Response"
        for word in words:
            assert word in answer["message"]
        assert self.dump() == before
        return answer

    def send(self, body: Any, *, user: str | None = "admin", path: str = "/api") -> Any:
        """The HTTP response to a body: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        return self.http.post(path, content=content, headers=headers)

    def answer(self, response: Any) -> Reply:
        """The envelope in a response."""
        answer: Reply = response.json()
        assert response.headers["content-type"] == "application/json"
        assert isinstance(answer["action"], str)
        assert type(answer["ret_code"]) is int
        if answer["ret_code"]:
            assert set(answer) == {"action", "ret_code", "message", "errors"}
            assert answer["message"]
            assert "\n" not in answer["message"]
        return answer

    def password(self, password: str = ADMIN_PASSWORD, *, age: float = 0) -> str:
        """A value for PASSWORD, made as any client makes it."""
        return seal(self.http.get("/api/public-key").json(), password, time.time() - age)

    def dump(self) -> dict[str, list[Any]]:
        """Every row there is, the queue's too."""
        with sqlite3.connect(self.settings.home / "firstbox.db") as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608  # a name of ours
                for (name,) in names.fetchall()
                if name not in _NOT_COMPARED
            }


@pytest.fixture(scope="session")
def made_home(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The empty home, with the job engine's tables too."""
    home = tmp_path_factory.mktemp("ready") / "home"
    shutil.copytree(made_home, home)
    prepare(Settings(home=home))
    return home


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API on a database of its own, with a user of each role."""
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="session")
def refusing_api(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for tests that change nothing: mostly refusals, which are checked for that."""
    home = tmp_path_factory.mktemp("refusing") / "home"
    shutil.copytree(made_home, home)
    with serving(Settings(home=home)) as api:
        yield api


@contextmanager
def serving(settings: Settings) -> Iterator[Api]:
    """A running API with users named for their roles."""
    tokens = {}
    engine = open_database(settings.database)
    for role in Role:
        plant_user(engine, role.value, role)
        with writing(engine) as connection:
            tokens[role.value] = users.create_token(connection, role.value, name="", days=1)[1]
    engine.dispose()
    with TestClient(create_app(settings)) as http:
        yield Api(http, tokens, settings)


@pytest.fixture(scope="session")
def hardware() -> Reply:
    """What the probe tells of the machine in the reference's example."""
    text = (RECORDED / "ubuntu1604_kvm_bridge.txt").read_text()
    found: Reply = to_json(parse_probe(text, reached_at="172.16.80.3"))
    return found


@pytest.fixture
def add_available(engine: Engine, hardware: Reply) -> Callable[..., list[str]]:
    """Makes nodes whose hardware is known; their ids."""

    def add(*addresses: str) -> list[str]:
        with writing(engine) as connection:
            node_ids = add_nodes(connection, addresses, "default")
            move_nodes(connection, dict.fromkeys(node_ids, NodeStatus.COLLECTING))
            for node_id in node_ids:
                record_hardware(connection, node_id, hardware)
            move_nodes(connection, dict.fromkeys(node_ids, NodeStatus.AVAILABLE))
        return node_ids

    return add


@pytest.fixture
def node_id(add_available: Callable[..., list[str]]) -> str:
    """The machine of the reference's example."""
    return add_available("172.16.80.3")[0]


@pytest.fixture
def failed_job(engine: Engine, node_id: str) -> str:
    """A CollectNodes job at that machine, which failed."""
    with writing(engine) as connection:
        job_id = jobs.start(
            connection, RecordingQueue(), JobAction.COLLECT_NODES, [node_id], user_id="operator"
        )
        end_job(connection, job_id, Reason.WORKER_LOST, "its worker died 3 times")
    return job_id


@pytest.fixture
def busy(api: Api, node_id: str) -> tuple[str, str]:
    """A node and the job that holds it."""
    return node_id, api.call("CollectNodes", node_ids=[node_id])["job_id"]
