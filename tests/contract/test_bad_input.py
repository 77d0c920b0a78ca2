"""What is wrong with a request is refused at the door, by name and value, and changes nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import RSAKey
from sqlalchemy import Engine

from api.store.nodes import update_node
from api.store.session import writing
from tests.contract.conftest import Api
from tests.users import ADMIN_PASSWORD

UNKNOWN = "n-00000000"
TEMPLATE = "{{ lookup('pipe','touch /tmp/template-was-run') }}"
DEEP = 100_000


# --- bodies that cannot be read -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"action": "DescribeNodes",}', "not JSON"),
        (b"action=DescribeNodes", "not JSON"),
        (b'{"action": "DescribeNodes", "limit": NaN}', "not JSON"),
        (b'{"action": "DescribeNodes", "limit": 1' + b"0" * 400 + b"}", "not JSON"),
        (b"[" * DEEP, "not JSON"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "not JSON"),
        (b'{"action": "DescribeNodes", "role": "\\ud800"}', "not JSON"),
        (b'{"action": "DescribeNodes", "role": "\xed\xa0\x80"}', "not JSON"),
        (b'{"action": "DescribeNodes", "role": "\0"}', "not JSON"),
        (b"[]", "not an object"),
        (b'"DescribeNodes"', "not an object"),
        (b"{}", "action: is missing"),
        (b'{"action": null}', "action: is missing"),
        (b'{"action": 5}', "action: is not a text, but 5"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else "",
)
def test_body_without_an_action_in_it_is_400(body: bytes, word: str, refusing_api: Api) -> None:
    before = refusing_api.dump()

    response = refusing_api.send(body)

    assert response.status_code == 400
    answer = refusing_api.answer(response)
    assert (answer["action"], answer["ret_code"]) == ("Response", 1100)
    assert word in answer["message"]
    assert refusing_api.dump() == before


def test_body_that_is_too_large_is_413(refusing_api: Api) -> None:
    most = refusing_api.settings.max_body
    body = b'{"action": "DescribeNodes"}'

    assert refusing_api.send(body.ljust(most)).status_code == 200
    response = refusing_api.send(body.ljust(most + 1))

    assert response.status_code == 413
    answer = refusing_api.answer(response)
    assert answer["ret_code"] == 2500
    assert str(most) in answer["message"]


def test_address_and_body_must_name_the_same_action(refusing_api: Api) -> None:
    before = refusing_api.dump()

    response = refusing_api.send(
        {"action": "DeleteNodes", "node_ids": [UNKNOWN]}, path="/api/DescribeNodes"
    )

    assert response.status_code == 400
    answer = refusing_api.answer(response)
    assert (answer["action"], answer["ret_code"]) == ("DescribeNodesResponse", 1100)
    assert "'DeleteNodes'" in answer["message"]
    assert "DescribeNodes" in answer["message"]
    assert refusing_api.dump() == before


@pytest.mark.parametrize("name", ["DescribeNode", "describenodes", "", TEMPLATE, "x\n", "__init__"])
def test_unknown_action_is_named(name: str, refusing_api: Api) -> None:
    answer = refusing_api.refuse(1100, name, repr(name))

    assert [error["field"] for error in answer["errors"]] == ["action"]


def test_a_callers_value_is_not_repeated_at_length(refusing_api: Api) -> None:
    long = "x" * 450_000

    for body in (
        {"action": long},
        {"action": "DescribeNodes", long: 1},
        {"action": "DescribeNodes", "role": long},
        {"action": "DescribeNodes", "limit": [long]},
        {"action": "AddNodes", "ip_start": long, "ip_end": long},
    ):
        response = refusing_api.send(body)
        assert refusing_api.answer(response)["ret_code"] == 1100
        assert len(response.content) < 2000


# --- ranges -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ret_code", "ip_start", "ip_end", "words"),
    [
        (1100, "10.0.0.9", "10.0.0.1", ("ip_end", "10.0.0.1 comes before 10.0.0.9")),
        (2500, "10.0.0.0", "10.0.4.0", ("1025 addresses", "at most 1024")),
        (2500, "2001:db8::", "2001:db8:1::", ("at most 1024",)),
        (1100, "10.0.0.1", "fd00::1", ("ip_end", "fd00::1", "family")),
        (1100, "fe80::1%eth0", "fe80::2%eth0", ("ip_start", "fe80::1%eth0", "zone")),
        (1100, "224.0.0.1", "224.0.0.2", ("ip_start", "224.0.0.1", "one machine")),
        (1100, "223.255.255.255", "224.0.0.1", ("ip_end", "224.0.0.1", "one machine")),
        (1100, "ff02::1", "ff02::2", ("ip_start", "ff02::1", "one machine")),
        (1100, "0.0.0.0", "0.0.0.5", ("ip_start", "0.0.0.0", "one machine")),  # noqa: S104  # bound to by nobody
        (1100, "::", "::5", ("ip_start", "one machine")),
        (1100, "255.255.255.255", "255.255.255.255", ("255.255.255.255", "one machine")),
        (1100, "::ffff:10.0.0.1", "::ffff:10.0.0.2", ("ip_start", "write 10.0.0.1")),
        (1100, "10.0.0.1/24", "10.0.0.9", ("ip_start", "'10.0.0.1/24'", "not an IP address")),
        (1100, "10.0.0.01", "10.0.0.9", ("ip_start", "'10.0.0.01'")),
        (1100, "", "10.0.0.9", ("ip_start", "''")),
        (1100, " 10.0.0.1", "10.0.0.9", ("ip_start",)),
        (1100, "10.0.0.1\0", "10.0.0.9", ("ip_start",)),
        (1100, TEMPLATE, "10.0.0.9", ("ip_start", "lookup")),
        (1100, "\u0661\u0660.0.0.1", "10.0.0.9", ("ip_start",)),  # Arabic digits
        (1100, 167772161, "10.0.0.9", ("ip_start", "167772161")),
        (1100, ["10.0.0.1"], "10.0.0.9", ("ip_start", "10.0.0.1")),
        (1100, None, "10.0.0.9", ("ip_start", "None")),
    ],
)
def test_range_that_is_none_is_refused(
    ret_code: int, ip_start: Any, ip_end: Any, words: tuple[str, ...], refusing_api: Api
) -> None:
    refusing_api.refuse(ret_code, "AddNodes", *words, ip_start=ip_start, ip_end=ip_end)


@pytest.mark.parametrize(
    ("ip_start", "ip_end", "first", "count"),
    [
        ("10.0.0.0", "10.0.3.255", "10.0.0.0", 1024),
        ("fd00:0::00FF", "fd00::102", "fd00::ff", 4),
        ("10.0.0.7", "10.0.0.7", "10.0.0.7", 1),
    ],
)
def test_range_that_is_one_is_added(
    ip_start: str, ip_end: str, first: str, count: int, api: Api
) -> None:
    answer = api.call("AddNodes", ip_start=ip_start, ip_end=ip_end)

    assert answer["total_count"] == len(set(answer["node_ids"])) == count
    [node] = api.call("DescribeNodes", node_ids=answer["node_ids"][:1])["node_set"]
    assert (node["address"], node["status"]) == (first, "collecting")


def test_addresses_known_before_keep_their_node(api: Api) -> None:
    known = api.call("AddNodes", ip_start="fd00::2", ip_end="fd00::2")["node_ids"]

    answer = api.call("AddNodes", ip_start="fd00::1", ip_end="FD00:0::3")

    assert answer["total_count"] == len(answer["node_ids"]) == 2
    assert answer["existing"] == [{"address": "fd00::2", "node_id": known[0]}]


def test_a_range_known_before_makes_no_job(api: Api) -> None:
    api.call("AddNodes", ip_start="10.0.0.1", ip_end="10.0.0.3")
    before = api.dump()

    answer = api.call("AddNodes", ip_start="10.0.0.1", ip_end="10.0.0.3")

    assert (answer["node_ids"], answer["total_count"], answer["job_id"]) == ([], 0, "")
    assert len(answer["existing"]) == 3
    assert api.dump() == before


# --- types and texts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("DescribeNodes", {"limit": "5"}),
        ("DescribeNodes", {"limit": True}),
        ("DescribeNodes", {"limit": 5.0}),
        ("DescribeNodes", {"limit": 0}),
        ("DescribeNodes", {"limit": -1}),
        ("DescribeNodes", {"limit": 2**63}),
        ("DescribeNodes", {"offset": None}),
        ("DescribeNodes", {"offset": -1}),
        ("DescribeNodes", {"offset": 2**63 - 1}),
        ("DescribeNodes", {"offset": 2**64 - 1}),
        ("DescribeNodes", {"reverse": 1}),
        ("DescribeNodes", {"reverse": "true"}),
        ("DescribeNodes", {"sort_key": "hardware"}),
        ("DescribeNodes", {"sort_key": None}),
        ("DescribeNodes", {"fields": ["hostnam"]}),
        ("DescribeNodes", {"fields": "hostname"}),
        ("DescribeNodes", {"node_ids": UNKNOWN}),
        ("DescribeNodes", {"node_ids": [1]}),
        ("DescribeNodes", {"node_ids": {"a": 1}}),
        ("DescribeNodes", {"node_ids": ["a\0b"]}),
        ("DescribeNodes", {"role": "a\0b"}),
        ("DescribeNodes", {"status": "\x1b[31m"}),
        ("DescribeNodes", {"search_word": "a\0b"}),
        ("DescribeNodes", {"sub_roles": ['a", "b']}),
        ("DescribeNodes", {"sub_roles": ["x"] * 65}),
        ("DescribeNodes", {"node_id": UNKNOWN}),
        ("DescribeNodes", {"USER_ID": "a", "request_type": "node"}),
        ("AddNodes", {"ip_start": "10.0.0.1", "ip_end": "10.0.0.1", "zone_id": "a/b"}),
        ("AddNodes", {"ip_start": "10.0.0.1"}),
        ("DeleteNodes", {}),
        ("DeleteNodes", {"node_ids": None}),
        ("DeleteNodes", {"node_ids": []}),
        ("DeleteNodes", {"node_ids": ["n-1"]}),
        ("DeleteNodes", {"node_ids": [UNKNOWN + "\n"]}),
        ("DeleteNodes", {"node_ids": ["N-00000000"]}),
        ("CollectNodes", {"node_ids": [UNKNOWN, None]}),
        ("GetStatus", {"job_action": "Collect"}),
        ("GetStatus", {"job_action": "CollectNodes", "job_id": ""}),
        ("GetStatus", {"job_action": "CollectNodes", "job_id": "a\0b"}),
        ("GetLog", {"job_action": "CollectNodes", "job_status": "step1x"}),
        ("GetLog", {"job_action": "CollectNodes", "after": 2**63}),
        ("GetLog", {"job_action": "CollectNodes", "after": False}),
        ("DescribeJobs", {"job_ids": ["a\0b"]}),
        ("DescribeJobs", {"job_ids": ["j"] * 100_000}),
        ("DescribeJobs", {"status": "a\0b"}),
        ("DescribeJobs", {"node_id": "a\0b"}),
        ("DescribeJobs", {"offset": 2**63}),
        ("CancelJob", {"job_id": "j-1"}),
        ("RetryJob", {"job_id": 1}),
        ("CreateUser", {"user_id": "bob"}),
    ],
    ids=str,
)
def test_malformed_parameter_is_named(
    action: str, fields: dict[str, Any], refusing_api: Api
) -> None:
    answer = refusing_api.refuse(1100, action, **fields)

    assert answer["errors"]
    assert answer["message"].startswith(f"{answer['errors'][0]['field']}: ")
    if fields:
        assert answer["errors"][0]["field"].split(".")[0] in {
            *fields,
            *({"ip_end", "password"} - {*fields}),
        }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("nothing to change",)),
        ({"hostname": TEMPLATE}, ("hostname", "lookup('pipe'")),
        ({"hostname": "-a"}, ("hostname", "'-a'")),
        ({"hostname": "a_b"}, ("hostname", "'a_b'")),
        ({"hostname": "a\n"}, ("hostname",)),
        ({"hostname": ""}, ("hostname", "''")),
        ({"hostname": "a" * 64}, ("hostname",)),
        ({"hostname": ".".join(["a" * 60] * 5)}, ("hostname", "253")),
        ({"role": TEMPLATE}, ("role", "lookup")),
        ({"sub_roles": [TEMPLATE]}, ("sub_roles.0", "lookup")),
        ({"sub_roles": "mon"}, ("sub_roles", "'mon'")),
        ({"product_type": "a;b"}, ("product_type", "'a;b'")),
        ({"zone_id": "../x"}, ("zone_id", "'../x'")),
        ({"zone_id": ""}, ("zone_id", "''")),
        ({"description": "a\0"}, ("description",)),
        ({"description": "a\nb"}, ("description",)),
        ({"description": "x" * 1025}, ("description", "1024")),
        ({"type": "ssd"}, ("data_disks",)),
        ({"status": 0}, ("data_disks",)),
        ({"data_disks": "vdc"}, ("type or status",)),
        ({"data_disks": "", "type": "ssd"}, ("data_disks",)),
        ({"data_disks": " , ", "type": "ssd"}, ("data_disks", "no disk")),
        ({"data_disks": "../vdc", "type": "ssd"}, ("data_disks", "'../vdc'")),
        ({"data_disks": TEMPLATE, "type": "ssd"}, ("data_disks", "lookup")),
        ({"data_disks": ["vdc"], "type": "ssd"}, ("data_disks", "vdc")),
        ({"data_disks": "vdc", "type": "floppy"}, ("type", "'floppy'")),
        ({"data_disks": "vdc", "status": 2}, ("status", "2")),
        ({"data_disks": "vdc", "status": True}, ("status", "True")),
        ({"data_disks": "vdc", "status": "1"}, ("status", "'1'")),
        ({"forget_host_key": True}, ("forget_host_key", "True")),
        ({"role": "mon", "address": "10.0.0.1"}, ("address", "no such parameter")),
    ],
    ids=str,
)
def test_malformed_attributes_change_nothing(
    fields: dict[str, Any], words: tuple[str, ...], refusing_api: Api
) -> None:
    refusing_api.refuse(1100, "ModifyNodeAttributes", *words, node_id=UNKNOWN, **fields)
    assert not Path("/tmp/template-was-run").exists()


def test_a_value_of_a_thousand_levels_is_just_malformed(refusing_api: Api) -> None:
    deep = b'{"a":' * 1000 + b"1" + b"}" * 1000

    answer = refusing_api.answer(
        refusing_api.send(b'{"action": "DescribeNodes", "role": ' + deep + b"}")
    )

    assert answer["ret_code"] == 1100
    assert answer["message"].startswith("role: ")


def test_passwords_are_not_repeated(refusing_api: Api) -> None:
    answer = refusing_api.refuse(1100, "CreateUser", "password", user_id="bob", password="in clear")
    assert "in clear" not in json.dumps(answer)
    answer = refusing_api.refuse(1100, "CreateUser", user_id="bob", password=["in clear"])
    assert "in clear" not in json.dumps(answer)


# --- things that are not there, and too many of them --------------------------------------------


def test_unknown_nodes_are_simply_not_described(api: Api, node_id: str) -> None:
    answer = api.call("DescribeNodes", node_ids=[UNKNOWN, node_id, "no id at all", node_id])

    assert [node["node_id"] for node in answer["node_set"]] == [node_id]
    assert answer["total_count"] == 1


@pytest.mark.parametrize("action", ["DeleteNodes", "CollectNodes"])
def test_unknown_nodes_among_known_ones_are_listed(action: str, api: Api, node_id: str) -> None:
    other = "n-11111111"

    answer = api.refuse(2100, action, UNKNOWN, other, node_ids=[UNKNOWN, node_id, other])

    assert node_id not in answer["message"]


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("ModifyNodeAttributes", {"node_id": UNKNOWN, "role": "mon"}),
        ("GetStatus", {"job_action": "CollectNodes", "job_id": "j-00000000"}),
        ("GetLog", {"job_action": "CollectNodes", "job_id": "j-00000000"}),
        ("CancelJob", {"job_id": "j-00000000"}),
        ("RetryJob", {"job_id": "j-00000000"}),
        ("ModifyUserAttributes", {"user_id": "nobody", "role": "viewer"}),
        ("DeleteUsers", {"user_ids": ["viewer", "nobody"]}),
    ],
)
def test_what_is_not_there_is_named(action: str, fields: dict[str, Any], refusing_api: Api) -> None:
    name = next(value for key, value in fields.items() if key.endswith(("_id", "_ids")))

    refusing_api.refuse(2100, action, name if isinstance(name, str) else name[-1], **fields)


@pytest.mark.parametrize("action", ["GetStatus", "GetLog"])
def test_without_any_job_there_is_no_newest(action: str, refusing_api: Api) -> None:
    refusing_api.refuse(2100, action, "CollectNodes", job_action="CollectNodes")


@pytest.mark.parametrize("action", ["DescribeNodes", "DeleteNodes", "CollectNodes"])
def test_ten_thousand_ids_are_looked_up_and_one_more_is_too_many(
    action: str, refusing_api: Api
) -> None:
    ids = [f"n-{number:08}" for number in range(10_001)]

    refusing_api.refuse(2500, action, "10001", "10000", node_ids=ids)
    answer = refusing_api.call(action, node_ids=ids[:-1])

    assert answer["ret_code"] == (0 if action == "DescribeNodes" else 2100)
    assert answer["ret_code"] == 0 or "and 9950 more" in answer["message"]


def test_ten_thousand_nodes_are_collected_and_deleted_in_one_call(api: Api, engine: Engine) -> None:
    ids = []
    for second in range(10):
        range_ = {"ip_start": f"10.{second}.0.0", "ip_end": f"10.{second}.3.231"}
        answer = api.call("AddNodes", **range_)
        ids += answer["node_ids"]
        api.call("CancelJob", job_id=answer["job_id"])
    assert len(ids) == 10_000

    job_id = api.call("CollectNodes", node_ids=ids)["job_id"]
    api.call("CancelJob", job_id=job_id)

    assert api.call("DeleteNodes", node_ids=ids)["total_count"] == 10_000
    assert api.call("DescribeNodes")["total_count"] == 0


# --- conflicts ----------------------------------------------------------------------------------


def test_nodes_given_twice_count_once(api: Api, node_id: str) -> None:
    job_id = api.call("CollectNodes", node_ids=[node_id, node_id])["job_id"]
    api.call("CancelJob", job_id=job_id)

    answer = api.call("DeleteNodes", node_ids=[node_id, node_id])

    assert (answer["node_ids"], answer["total_count"]) == ([node_id], 1)


def test_a_node_is_deleted_once(api: Api, node_id: str) -> None:
    api.call("DeleteNodes", node_ids=[node_id])

    api.refuse(2100, "DeleteNodes", node_id, node_ids=[node_id])


@pytest.mark.parametrize("action", ["DeleteNodes", "CollectNodes"])
def test_a_busy_node_is_left_alone(
    action: str, api: Api, busy: tuple[str, str], add_available: Callable[..., list[str]]
) -> None:
    node_id, job_id = busy
    [idle] = add_available("172.16.80.4")

    answer = api.refuse(2200, action, node_id, job_id, node_ids=[idle, node_id])

    assert idle not in answer["message"]


def test_a_node_in_use_is_not_collected(
    api: Api, node_id: str, add_available: Callable[..., list[str]]
) -> None:
    [idle] = add_available("172.16.80.4")
    api.call("ModifyNodeAttributes", node_id=node_id, role="storage")

    api.refuse(2200, "CollectNodes", node_id, "storage", node_ids=[idle, node_id])
    api.call("ModifyNodeAttributes", node_id=node_id, role="")
    assert api.call("CollectNodes", node_ids=[idle, node_id])["ret_code"] == 0


@pytest.mark.parametrize("disks", ["vdc, vdz", "vdy,vdz", "vda", "vdb"])
def test_unknown_disks_are_named_and_known_ones_stay(disks: str, api: Api, node_id: str) -> None:
    unknown = [name for name in disks.replace(" ", "").split(",") if name != "vdc"]

    answer = api.refuse(
        2100,
        "ModifyNodeAttributes",
        node_id,
        *unknown,
        node_id=node_id,
        data_disks=disks,
        type="ssd",
        role="mon",
    )

    assert "vdc" not in answer["message"]


def test_disks_of_a_node_nobody_looked_into_are_unknown(api: Api) -> None:
    [node_id] = api.call("AddNodes", ip_start="10.0.0.1", ip_end="10.0.0.1")["node_ids"]

    api.refuse(2100, "ModifyNodeAttributes", "vdc", node_id=node_id, data_disks="vdc", type="ssd")


def test_a_hostname_belongs_to_one_node(api: Api, add_available: Callable[..., list[str]]) -> None:
    first, second = add_available("172.16.80.3", "172.16.80.4")
    api.call("ModifyNodeAttributes", node_id=first, hostname="r01n01.example")

    api.refuse(2200, "ModifyNodeAttributes", first, node_id=second, hostname="R01N01.example")
    again = api.call("ModifyNodeAttributes", node_id=first, hostname="r01n01.example")
    assert again["ret_code"] == 0


def test_a_finished_job_is_not_cancelled_and_a_running_one_not_retried(
    api: Api, failed_job: str
) -> None:
    api.refuse(2200, "CancelJob", failed_job, "failed", job_id=failed_job)
    running = api.call("RetryJob", job_id=failed_job)["job_id"]
    api.refuse(2200, "RetryJob", running, "step0", job_id=running)
    api.refuse(2200, "RetryJob", running, job_id=failed_job)


def test_a_template_in_the_database_is_only_a_text(api: Api, engine: Engine, node_id: str) -> None:
    with writing(engine) as connection:
        update_node(connection, node_id, {"hostname": TEMPLATE})

    [node] = api.call("DescribeNodes", node_ids=[node_id])["node_set"]

    assert node["hostname"] == TEMPLATE
    assert not Path("/tmp/template-was-run").exists()


# --- credentials --------------------------------------------------------------------------------


def test_an_old_credential_is_too_old(refusing_api: Api) -> None:
    old = refusing_api.password(age=refusing_api.settings.credential_max_age + 10)

    refusing_api.refuse(
        1300, "DescribeNodes", "s old, at most 300 s", user=None, USER_ID="admin", PASSWORD=old
    )


def test_a_credential_from_the_future_is_refused(refusing_api: Api) -> None:
    early = refusing_api.password(age=-120)

    refusing_api.refuse(1300, "DescribeNodes", "future", user=None, USER_ID="admin", PASSWORD=early)


def test_whatever_is_wrong_with_a_login_the_answer_is_the_same(api: Api) -> None:
    good = api.password()
    middle = len(good) - 40
    changed = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    logins = {
        "an unknown user": ("nobody", good),
        "a user id that cannot be": ("a\0b", good),
        "a wrong password": ("admin", api.password("wrong password")),
        "one byte changed": ("admin", changed),
        "garbage": ("admin", "garbage"),
        "the clear password": ("operator", ADMIN_PASSWORD),
        "for another server": ("operator", forged(ADMIN_PASSWORD)),
        "an unknown user with garbage": ("nobody", "garbage"),
    }

    answers = {
        what: api.refuse(1200, "DescribeNodes", user=None, USER_ID=user_id, PASSWORD=password)
        for what, (user_id, password) in logins.items()
    }

    assert len({json.dumps(answer) for answer in answers.values()}) == 1
    login = {"USER_ID": "admin", "PASSWORD": good}
    assert api.call("DescribeNodes", user=None, **login)["ret_code"] == 0


@pytest.mark.parametrize("field", ["USER_ID", "PASSWORD"])
@pytest.mark.parametrize("value", [5, True, ["admin"], {"a": 1}])
def test_a_login_of_another_type_is_malformed(field: str, value: Any, refusing_api: Api) -> None:
    login = {"USER_ID": "admin", "PASSWORD": "x"} | {field: value}

    refusing_api.refuse(1100, "DescribeNodes", field, type(value).__name__, user=None, **login)


@pytest.mark.parametrize("login", [{"USER_ID": "admin"}, {"PASSWORD": "x"}, {"USER_ID": ""}])
def test_half_a_login_is_none(login: dict[str, str], refusing_api: Api) -> None:
    refusing_api.refuse(1200, "DescribeNodes", user=None, **login)


def forged(password: str) -> str:
    """A credential made for the key of somebody else."""
    key = RSAKey.generate_key(2048)
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}
    payload = json.dumps({"password": password, "iat": int(time.time())})
    return jwe.encrypt_compact(
        header, payload.encode(), key, algorithms=["RSA-OAEP-256", "A256GCM"]
    )
