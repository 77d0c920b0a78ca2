"""An event reaches the webhook's own address, signed, within its deadline, or there is a reason."""

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest

from api.domain.webhooks import new_secret
from api.jobs import posting
from api.jobs.posting import Letter, Outcome, poster
from tests.lab.bmc.certificate import write_certificate
from tests.receiver import Receiver, receiving

Networks = Sequence[IPv4Network | IPv6Network]

EVERYWHERE: Networks = [ip_network("0.0.0.0/0"), ip_network("::/0")]
LOOPBACK: Networks = [ip_network("127.0.0.0/8")]
SECRET = new_secret()
BODY = '{"event": "job_ended", "message": "größer"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(url: str, *, allowed: Networks = EVERYWHERE, deadline: float = 5) -> Outcome:
    """Post one event, as a worker does."""

    async def do() -> Outcome:
        async with poster(allowed, deadline) as open_poster:
            return await open_poster.post(Letter(url, SECRET, "m-12345678", BODY))

    return asyncio.run(do())


def test_event_comes_as_it_is_and_signed_by_who_knows_the_secret(receiver: Receiver) -> None:
    assert post(receiver.url) == Outcome()

    [got] = receiver.received
    assert got.path == "/hook?key=x"
    assert got.body == BODY.encode()
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == receiver.url.split("/")[2]
    timestamp = got.headers["webhook-timestamp"]
    assert abs(time.time() - int(timestamp)) < 10
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = f"m-12345678.{timestamp}.".encode() + BODY.encode()
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-id"] == "m-12345678"
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert SECRET not in str(got)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome()),
        (299, Outcome()),
        (400, Outcome("HTTP 400", is_about_event=True)),
        (422, Outcome("HTTP 422", is_about_event=True)),
        (404, Outcome("HTTP 404")),
        (429, Outcome("HTTP 429")),
        (500, Outcome("HTTP 500")),
    ],
)
def test_status_says_what_came_of_it(status: int, outcome: Outcome, receiver: Receiver) -> None:
    receiver.answer = lambda _: status

    assert post(receiver.url) == outcome


def test_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.answer = lambda _: 307
        receiver.location = elsewhere.url

        assert "HTTP 307" in post(receiver.url).error

        assert elsewhere.connections == 0


def test_address_outside_of_the_allowed_networks_is_not_called(receiver: Receiver) -> None:
    outcome = post(receiver.url, allowed=[ip_network("10.0.0.0/8")])

    assert "127.0.0.1, outside of FIRSTBOX_ALLOWED_NETWORKS" in outcome.error
    assert receiver.connections == 0


def test_name_is_called_at_the_address_that_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    really = socket.getaddrinfo

    def once(host: str, *rest: object, **more: object) -> object:
        looked_up.append(host)
        there = "127.0.0.1" if len(looked_up) == 1 else "127.0.0.2"
        return really(there, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    port = receiver.url.split(":")[2]

    assert post(f"http://rebinding.example:{port}", allowed=LOOPBACK) == Outcome()

    assert looked_up.count("rebinding.example") == 1
    assert receiver.received[0].headers["host"].startswith("rebinding.example:")


def test_second_address_of_a_name_is_tried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = socket.getaddrinfo

    def two(host: str, *rest: object, **more: object) -> object:
        if host == "two.example":
            return [*really("127.0.0.9", *rest, **more), *really("127.0.0.1", *rest, **more)]
        return really(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", two)

    assert post(f"http://two.example:{receiver.url.split(':')[2]}") == Outcome()


def test_host_without_a_server_is_a_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    assert post(f"http://127.0.0.1:{port}/").error


@pytest.mark.parametrize(
    "words",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12"],
    ids=["nothing", "half a head", "half a body"],
)
def test_answer_that_does_not_end_is_not_waited_for(words: bytes) -> None:
    with speaking(words) as url:
        began = time.monotonic()

        outcome = post(url, deadline=0.3)

        assert outcome.error == "no answer within 0.3 s"
        assert time.monotonic() - began < 3


def test_endless_answer_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with speaking(head + b"10000\r\n" + b"x" * 0x10000 + b"\r\n10000\r\n" + b"x" * 0x10000) as url:
        assert post(url) == Outcome()


def test_answer_that_is_no_http_is_a_reason() -> None:
    with speaking(b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as url:
        error = post(url).error

    assert error
    assert "no answer" not in error


@pytest.fixture
def trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The certificate of `localhost`, which this process trusts, and its key."""
    files = write_certificate(tmp_path, "localhost")
    context = ssl.create_default_context(cafile=str(files[0]))
    monkeypatch.setattr(posting, "_trusted", lambda: context)
    return files


def test_https_is_spoken_with_whom_the_certificate_names(trust: tuple[Path, Path]) -> None:
    with receiving(trust, "localhost") as receiver:
        assert post(receiver.url, allowed=LOOPBACK) == Outcome()
        assert post(receiver.url.replace("localhost", "127.0.0.1")).error  # not the name in it

        assert len(receiver.received) == 1


def test_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    with receiving(write_certificate(tmp_path, "localhost"), "localhost") as receiver:
        outcome = post(receiver.url, allowed=LOOPBACK)

        assert "CERTIFICATE_VERIFY_FAILED" in outcome.error
        assert receiver.received == []


@contextmanager
def speaking(words: bytes) -> Iterator[str]:
    """A server that says these words to whoever calls, and then nothing more; its URL."""
    end = threading.Event()

    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(words)
            end.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        end.set()
        thread.join(10)
