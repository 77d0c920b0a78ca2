"""What the boot server bears: `python -m bench.boot` prints a table.

A thousand machines ask for their boot scripts in the same moment, through the role's nginx; and a file of an
image is fetched through that nginx and, in turn, through one with nothing in its configuration but
the directory. Needs root: both are on a network of their own.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from api.settings import Settings
from api.states import DEFAULT_ZONE, BmNodeStatus, JobAction
from api.store.bm_nodes import BM_NODE
from api.store.boots import open_boot, token_of
from api.store.jobs import Part, create_job
from api.store.runs import Run, claim
from api.store.sealing import Seal
from api.store.session import writing
from bench.report import Line, above, below, say, table
from tests.lab.boot_server import ADDRESS, RAMDISK, BootServer, registration
from tests.lab.segment import Host, Segment
from tests.nodes import plant_nodes
from tests.service import wait_until

MACHINES = 1_000
ROUNDS = 5
CHUNK = "00000.zst"
SIZE = 512 << 20  # bytes of the file; larger than what sockets buffer, smaller than memory
_REPOSITORY = Path(__file__).parents[1]
_PLAIN = """
user root;
daemon off;
pid {home}/plain.pid;
error_log stderr warn;
worker_processes auto;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    server {{ listen {address}:81; root {home}/images; }}
}}
"""


def main() -> None:
    """Measure and print; with `--ask`, be the machines."""
    if sys.argv[1:] == ["--ask"]:
        print(json.dumps(asyncio.run(ask_all(sys.stdin.read().split()))))
        return
    print(table(measure()))


def measure() -> list[Line]:
    """All lines of this part."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        Segment(f"{ADDRESS}/24") as segment,
        BootServer(Path(scratch), segment) as server,
    ):
        client = segment.add_host("52:54:00:00:00:02")
        client.ip("address add 10.77.0.2/24 dev eth0")
        return [*scripts(server, client), files(server, client)]


def scripts(server: BootServer, client: Host) -> Iterator[Line]:
    """How long a thousand machines wait that ask at once."""
    server.add_ramdisk(lambda directory: None)
    tokens = plant_boots(server.settings, server.engine)
    wait_until(lambda: server.starts() > 1, 30, what="DHCP knows them")
    paths = "\n".join(f"/boot/{token}/script.ipxe" for token in tokens)
    rounds = []
    for number in range(ROUNDS):
        say(f"boot: {MACHINES} scripts at once, round {number + 1}")
        done = subprocess.run(
            client.command(sys.executable, "-m", "bench.boot", "--ask"),
            input=paths,
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        rounds.append(sorted(json.loads(done.stdout)))
        assert len(rounds[-1]) == MACHINES, "a machine got no script"
        time.sleep(1)
    p99 = statistics.median(seconds[int(MACHINES * 0.99)] for seconds in rounds)
    p50 = statistics.median(seconds[MACHINES // 2] for seconds in rounds)
    what = f"iPXE scripts for {MACHINES:,} machines at once, 99 of 100 within"
    yield below(what, p99, 1, " s", f" (half of them within {p50:.2g} s)")


def plant_boots(settings: Settings, engine: Engine) -> dict[str, str]:
    """Machines, a job that boots all of them, and their tokens: token -> MAC."""
    macs = {
        f"n-{number:08}": f"52:54:00:01:{number >> 8:02x}:{number & 255:02x}"
        for number in range(MACHINES)
    }
    plant_nodes(settings.database, *({"node_id": one, "address": None} for one in macs))
    rows = [
        registration(node_id, mac, mgmt_network_address=f"10.78.{number >> 8}.{number & 255}")
        for number, (node_id, mac) in enumerate(macs.items())
    ]
    seal = Seal(settings.keys)
    with writing(engine) as connection:
        connection.execute(insert(BM_NODE), rows)
        statuses = dict.fromkeys(macs, BmNodeStatus.PROVISIONING)
        job_id = create_job(
            connection,
            JobAction.PROVISION_BM_NODES,
            [Part(DEFAULT_ZONE, statuses)],
            user_id="bench",
        )
        claim(connection, Run(job_id, 1, "bench"), 3600)
        boots = [
            open_boot(
                connection,
                node_id=node_id,
                job_id=job_id,
                provision_id="p-00000001",
                mac=mac,
                method="image",
                image="debian12",
                seconds=3600,
            )
            for node_id, mac in macs.items()
        ]
    return {token_of(seal, boot_id): mac for boot_id, mac in zip(boots, macs.values(), strict=True)}


async def ask_all(paths: Sequence[str]) -> list[float]:
    """Seconds from the common start to each machine's script; who gets none is left out."""
    started = time.monotonic()

    async def one(path: str) -> float:
        reader, writer = await asyncio.open_connection(ADDRESS, 80)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: boot\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
        writer.close()
        assert b"\r\n#!ipxe" in answer, answer[:200]
        return time.monotonic() - started

    return list(await asyncio.gather(*(one(path) for path in paths)))


def files(server: BootServer, client: Host) -> Line:
    """A file of an image through the role's nginx, beside the plainest nginx there is."""
    path = server.settings.images / RAMDISK / CHUNK
    with path.open("wb") as file:
        file.truncate(SIZE)
    urls = (f"{server.url}/files/{RAMDISK}/{CHUNK}", f"http://{ADDRESS}:81/{RAMDISK}/{CHUNK}")
    with plain_nginx(server):
        for url in urls:  # once unseen, for the caches
            rate(client, url)
        rates = []
        for number in range(ROUNDS):
            say(f"boot: a file, round {number + 1}")
            rates.append([rate(client, url) for url in urls])
    ratio = statistics.median(own / plain for own, plain in rates)
    own, plain = (statistics.median(pair[side] for pair in rates) / 1e6 for side in (0, 1))
    more = f" ({own:,.0f} MB/s / {plain:,.0f} MB/s)"
    return above(
        "a file of an image through the role's nginx / a plain nginx", ratio, 0.9, more=more
    )


@contextlib.contextmanager
def plain_nginx(server: BootServer) -> Iterator[None]:
    """An nginx that knows a directory and nothing else."""
    configuration = server.settings.home / "plain.conf"
    text = _PLAIN.format(home=server.settings.home, address=ADDRESS)
    configuration.write_text(text)
    server.start("plain", "nginx", "-c", str(configuration))
    try:
        wait_until(
            lambda: server.segment.run("curl", "-s", f"http://{ADDRESS}:81/").returncode == 0,
            15,
            what="the plain nginx answers",
        )
        yield
    finally:
        server.stop("plain")


def rate(client: Host, url: str) -> float:
    """Bytes a second of one fetch."""
    words = (
        "curl",
        "--silent",
        "--fail",
        "--output",
        "/dev/null",
        "--write-out",
        "%{speed_download}",
    )
    done: Any = client.run(*words, url, timeout=120)
    assert done.returncode == 0, url
    return float(done.stdout)


if __name__ == "__main__":
    main()
