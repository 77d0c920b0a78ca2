"""People at work with the service, each in a thread: they read, they write, and they remember what they wrote."""

import http.client
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

_TIMEOUT = 30.0  # seconds a client waits for an answer
_PAGE = 100
FIELDS = ("description", "product_name", "product_type", "sub_roles")

Written = dict[tuple[str, str], Any]
"""(node id, field) -> the last value that a client was told is written."""


@dataclass
class Place:
    """What all clients have before them."""

    port: int
    token: str
    node_ids: Sequence[str]
    busy_ids: Sequence[str]  # those that jobs are at meanwhile
    jobs: list[str] = field(default_factory=list)  # CollectNodes jobs at work now


class Asker:
    """One connection to the service, kept open; counts what it asks and what goes wrong."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=_TIMEOUT)
        self.seconds: dict[str, list[float]] = defaultdict(list)  # by what was asked
        self.failures: list[str] = []

    def ask(self, name: str, action: str, **parameters: Any) -> dict[str, Any] | None:
        """The answer to an action, timed under `name`; None if it is not what it should be."""
        body = orjson.dumps({"action": action, **parameters})
        answer = self._send(name, "POST", "/api", body)
        if answer is None:
            return None
        read: dict[str, Any] = orjson.loads(answer)
        if read["ret_code"]:
            self.failures.append(f"{name}: {read['ret_code']} {read['message']}")
            return None
        return read

    def touch(self) -> None:
        """Ask what costs the service nothing: the way there and back."""
        self._send("/healthz", "GET", "/healthz", None)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _send(self, name: str, method: str, path: str, body: bytes | None) -> bytes | None:
        headers = {"Authorization": f"Bearer {self._place.token}"}
        started = time.perf_counter()
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"{name}: {type(error).__name__} {error}")
            self._connection.close()  # the next request opens it again
            return None
        self.seconds[name].append(time.perf_counter() - started)
        if response.status != 200:
            self.failures.append(f"{name}: HTTP {response.status}")
            return None
        return content


class Client(threading.Thread):
    """Asks so many times a second for one thing or another, until it is told to stop.

    Clients share every node and never a field of one: client 3 writes descriptions of one half of the
    nodes, client 4 product names of the same, and so on. A service that wrote back a whole row that it
    read before would lose some of that.
    """

    def __init__(self, number: int, place: Place, pace: float, over: threading.Event) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.asker = Asker(place)
        self.written: Written = {}
        self.registered: dict[str, str] = {}  # node id -> description
        self._number = number
        self._place = place
        self._pause = 1 / pace
        self._over = over
        self._random = random.Random(number)  # noqa: S311  # the same work each time, not a secret
        self._logs: dict[str, int] = {}  # job id -> last line seen
        self._writes = 0
        self.went_home = False  # at the end, and not for a fault of our own
        lot = number // len(FIELDS)
        self._own = [*place.node_ids[lot::4], *place.busy_ids[lot::4] * 4]

    def run(self) -> None:
        things: list[tuple[Callable[[], None], int]] = [
            (self._status, 40),
            (self._log, 10),
            (self._page, 15),
            (self._filter, 5),
            (self._jobs, 5),
            (self._write, 15),
            (self._register, 3),
            (self.asker.touch, 7),
        ]
        each, weights = zip(*things, strict=True)
        due = time.monotonic() + self._random.random() * self._pause
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic())
            self._random.choices(each, weights)[0]()
        self.asker.close()
        self.went_home = True

    def _status(self) -> None:
        if job_id := self._a_job():
            self.asker.ask("GetStatus", "GetStatus", job_action="CollectNodes", job_id=job_id)

    def _log(self) -> None:
        if job_id := self._a_job():
            after = self._logs.get(job_id, 0)
            asked = {"job_action": "CollectNodes", "job_id": job_id, "after": after}
            if (answer := self.asker.ask("GetLog", "GetLog", **asked)) and answer["log"]:
                self._logs[job_id] = max(map(int, answer["log"]))

    def _page(self) -> None:
        offset = self._random.randrange(0, len(self._place.node_ids) - _PAGE)
        self.asker.ask("DescribeNodes, a page of 100", "DescribeNodes", limit=_PAGE, offset=offset)

    def _filter(self) -> None:
        word = f"host-{self._random.randrange(len(self._place.node_ids))}"
        self.asker.ask("DescribeNodes, by a word", "DescribeNodes", limit=_PAGE, search_word=word)

    def _jobs(self) -> None:
        self.asker.ask("DescribeJobs", "DescribeJobs", limit=20)

    def _write(self) -> None:
        node_id = self._random.choice(self._own)
        column = FIELDS[self._number % len(FIELDS)]
        self._writes += 1
        text = f"c{self._number}-{self._writes}"
        value = [text] if column == "sub_roles" else text
        change = {"node_id": node_id, column: value}
        if self.asker.ask("ModifyNodeAttributes", "ModifyNodeAttributes", **change) is not None:
            self.written[node_id, column] = value

    def _register(self) -> None:
        self._writes += 1
        name = f"m{self._number}-{self._writes}"
        machine = {
            "hostname": name,
            "os_version": "12",
            "cpu_arch": "x86_64",
            "ipmi_network_address": f"127.{100 + self._number}.{self._writes >> 8}.{self._writes & 255}",
            "ipmi_username": "admin",
            "ipmi_password": "of-no-machine",
            "pxe_network_mac_addr": f"52:54:00:{self._number:02x}:{self._writes >> 8:02x}:{self._writes & 255:02x}",
            "description": f"of {name}",
        }
        answer = self.asker.ask("RegisterBMNodes", "RegisterBMNodes", **machine)
        if answer is not None:
            self.registered[answer["node_ids"][0]] = machine["description"]

    def _a_job(self) -> str:
        jobs = list(self._place.jobs)
        return self._random.choice(jobs) if jobs else ""


def lost(clients: Iterable[Client], asker: Asker, count: int) -> list[str]:
    """What clients wrote and the service does not show any more, a sentence each."""
    nodes: dict[str, dict[str, Any]] = {}
    for offset in range(0, count, 1000):
        asked = {"limit": 1000, "offset": offset, "fields": list(FIELDS), "sort_key": "node_id"}
        answer = asker.ask("DescribeNodes, to compare", "DescribeNodes", **asked)
        nodes |= {node["node_id"]: node for node in (answer or {"node_set": []})["node_set"]}
    machines: dict[str, str] = {}
    answer = asker.ask("DescribeBMNodes, to compare", "DescribeBMNodes")
    for machine in (answer or {"node_set": []})["node_set"]:
        machines[machine["node_id"]] = machine["description"]
    missing = []
    for client in clients:
        for (node_id, column), value in client.written.items():
            found = nodes.get(node_id, {}).get(column)
            if found != value:
                missing.append(f"{node_id}: {column} is {found!r}, {client.name} wrote {value!r}")
        for node_id, description in client.registered.items():
            if machines.get(node_id) != description:
                missing.append(f"{node_id}: {client.name} registered it, and it is not there")
    return missing
