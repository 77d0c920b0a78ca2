"""The guard, on real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.jobs import guard
from tests.service import wait_until

# A command with a child in a session of its own, as Ansible's workers are; both ignore SIGTERM.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(60)
"""


@contextmanager
def guarded(
    *command: str, silence: float = 30, grace: float = 1
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-I", guard.__file__, str(silence), str(grace), *command],
        stdin=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.stdin and not process.stdin.closed:
            process.stdin.close()
        process.wait(15)


def started(file: Path) -> list[int]:
    """Pids of the two stubborn processes."""
    wait_until(lambda: file.is_file() and len(file.read_text().split()) == 2, 10, what="both run")
    return [int(pid) for pid in file.read_text().split()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_guard_passes_the_exit_code_on() -> None:
    with guarded("/bin/sh", "-c", "exit 7") as process:
        assert process.wait(10) == 7


def test_end_of_input_ends_every_descendant(tmp_path: Path) -> None:
    with guarded(sys.executable, "-c", STUBBORN, str(tmp_path / "pids")) as process:
        pids = started(tmp_path / "pids")
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 128 + 15
    assert not any(is_alive(pid) for pid in pids)


def test_silence_ends_every_descendant_and_words_keep_them(tmp_path: Path) -> None:
    with guarded(sys.executable, "-c", STUBBORN, str(tmp_path / "pids"), silence=1) as process:
        assert process.stdin
        pids = started(tmp_path / "pids")
        for _ in range(4):
            process.stdin.write(guard.ALIVE)
            process.stdin.flush()
            time.sleep(0.5)
        assert process.poll() is None
        assert process.wait(10) == 128 + 15
    assert not any(is_alive(pid) for pid in pids)


def test_cancel_lets_the_command_write_down_its_end(tmp_path: Path) -> None:
    script = f"sleep 60; echo ended > {tmp_path}/end"
    with guarded("/bin/sh", "-c", script, grace=5) as process:
        assert process.stdin
        wait_until(lambda: _child_names(process.pid) >= {"sh", "sleep"}, 5, what="sleep runs")
        process.stdin.write(guard.CANCEL)
        process.stdin.flush()
        process.wait(10)
    assert (tmp_path / "end").read_text() == "ended\n"


def test_what_a_command_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    script = f"setsid sleep 60 & echo $! > {tmp_path}/pid; sleep 0.3"
    with guarded("/bin/sh", "-c", script) as process:
        assert process.wait(10) == 0
    left = [int(word) for word in (tmp_path / "pid").read_text().split()]
    assert not any(is_alive(pid) for pid in left)


def _child_names(pid: int) -> set[str]:
    names, waiting = set(), [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            below = [int(word) for word in task.read_text().split()]
            waiting += below
            names |= {Path(f"/proc/{child}/comm").read_text().strip() for child in below}
    return names


def test_guard_needs_nothing_but_the_standard_library() -> None:
    code = "import sys; import api.jobs.guard; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=os.getcwd(),
    ).stdout.split()
    foreign = [name for name in loaded if name.split(".")[0] in ("sqlalchemy", "dbos", "pydantic")]
    assert foreign == []


def test_a_cancelled_command_is_fenced_while_it_puts_things_in_order() -> None:
    with guarded("/bin/sh", "-c", "sleep 60; sleep 60", silence=1, grace=30) as process:
        assert process.stdin
        time.sleep(0.3)
        process.stdin.write(guard.CANCEL)
        process.stdin.flush()
        began = time.monotonic()

        assert process.wait(10) == 128 + 15

    assert time.monotonic() - began < 8  # grace is 30


def test_a_cancelled_command_has_its_grace_and_no_more() -> None:
    with guarded("/bin/sh", "-c", "sleep 60; sleep 60", silence=30, grace=1) as process:
        assert process.stdin
        time.sleep(0.3)
        process.stdin.write(guard.CANCEL)
        process.stdin.flush()

        assert process.wait(10) == 128 + 15
