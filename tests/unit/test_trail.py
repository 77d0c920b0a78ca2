"""What the work at hand belongs to, and how a log shows it."""

import json
import logging

import pytest

from api.logs import JsonLine, TextLine, log_to_stderr
from api.trail import Threads, following, learn, request_id, trail


def record(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("firstbox.api", logging.INFO, "", 1, text, arguments, None)


def test_threads_know_what_their_work_belongs_to() -> None:
    with Threads(1) as threads, following(request_id="r-1"):
        first = threads.submit(trail)
        with following(job_id="j-1"):
            second = threads.submit(trail)

    assert (first.result().request_id, first.result().job_id) == ("r-1", "")
    assert (second.result().request_id, second.result().job_id) == ("r-1", "j-1")


def test_what_is_learned_is_forgotten_with_the_work() -> None:
    with following(request_id="r-1"):
        learn(user="ada")
        assert trail().user == "ada"

    assert trail().user == trail().request_id == ""


@pytest.mark.parametrize("given", ["0f8fad5b-d9cb-469f-a165-70867728950e", "a", "A" * 64])
def test_well_formed_id_of_a_caller_is_taken(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "A" * 65, "a b", 'a"', "a\n", "-a", "ä", "a;b"])
def test_other_requests_get_an_id_of_their_own(given: str | None) -> None:
    made = request_id(given)

    assert made != given
    assert made != request_id(given)
    assert request_id(made) == made


def test_json_line_is_one_object_whatever_is_said() -> None:
    with following(request_id="r-1", job_id="j-1", action="AddNodes", user="ada"):
        line = JsonLine().format(record('a "word"\nand %s', "\x00 more\n"))

    assert "\n" not in line
    read = json.loads(line)
    assert read.pop("time").endswith("+00:00")
    assert read == {
        "level": "INFO",
        "logger": "firstbox.api",
        "message": 'a "word"\nand \x00 more\n',
        "request_id": "r-1",
        "job_id": "j-1",
        "action": "AddNodes",
        "user": "ada",
    }


def test_json_line_leaves_out_what_is_not_known() -> None:
    assert set(json.loads(JsonLine().format(record("word")))) == {
        "time", "level", "logger", "message",
    }  # fmt: skip


def test_text_line_ends_with_request_and_job() -> None:
    with following(request_id="r-1", job_id="j-1"):
        assert TextLine().format(record("word")).endswith(" INFO firstbox.api: word (r-1 j-1)")
    assert TextLine().format(record("word")).endswith(" INFO firstbox.api: word")


def test_a_fault_is_one_object_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log_to_stderr("json")
        logging.getLogger("firstbox.api").error("fault", exc_info=ValueError("of ours"))
        logging.getLogger("dbos").error("chatter")
    finally:
        root.handlers, root.level = before, level

    fault, chatter = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert "ValueError: of ours" in fault["traceback"]
    assert chatter["logger"] == "dbos"
