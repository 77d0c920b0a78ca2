"""The inventory plugin through Ansible's own programs, on both databases."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleParserError

from api.settings import load_settings
from api.store.nodes import set_address
from api.store.session import open_database, writing
from tests.machines import plant_bm_node
from tests.nodes import plant_nodes

REPOSITORY = Path(__file__).parents[2]
SOURCE = "inventory/firstbox.yml"
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - debug: {var: hostvars}
    - debug: {msg: "{{ firstbox }} {{ firstbox.hostname }} {{ composed | default('') }}"}
    - debug: {msg: "{{ group_names }} {{ groups }} {{ firstbox_zone }}"}
    - debug: {msg: "{{ lookup('pipe', 'touch ' ~ playbook_dir ~ '/control') }}"}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty FIRSTBOX_HOME."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, home: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{home}/firstbox.db"
    database: str = request.getfixturevalue("postgres_url")
    return database


def run(home: Path, program: str, *arguments: str, **variables: str) -> Any:
    """One of Ansible's programs as an operator in the repository would start it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FIRSTBOX", "ANSIBLE"))}
    environment |= {"FIRSTBOX_HOME": str(home), "ANSIBLE_NOCOLOR": "1", **variables}
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)


def inventory(home: Path, source: str = SOURCE, **variables: str) -> dict[str, Any]:
    """The answer of `ansible-inventory --list --export`: group variables stay with their groups."""
    answer = run(home, "ansible-inventory", "-i", source, "--list", "--export", **variables)
    assert answer.returncode == 0, answer.stderr
    content: dict[str, Any] = json.loads(answer.stdout, object_hook=plain)
    return content


def plain(value: dict[str, Any]) -> Any:
    """Ansible writes text that is no template as `{"__ansible_unsafe": text}`."""
    return value.get("__ansible_unsafe", value)


def host_ids(home: Path, **variables: str) -> set[str]:
    return set(inventory(home, **variables)["_meta"]["hostvars"])


def common_args(home: Path, zone: str = "default", **variables: str) -> list[str]:
    group = inventory(home, **variables)[f"zone_{zone}"]
    return shlex.split(group["vars"]["ansible_ssh_common_args"])


def node(letter: str, **values: Any) -> dict[str, Any]:
    return {"node_id": f"n-{letter * 8}", "address": f"10.0.0.{ord(letter)}", **values}


def sqlite_of(home: Path) -> str:
    return f"sqlite:///{home}/firstbox.db"


def test_node_becomes_a_host_with_groups_and_variables(home: Path, url: str) -> None:
    described = {
        "zone_id": "east-1",
        "status": "available",
        "hostname": "web1",
        "role": "web",
        "sub_roles": ["front", "cache"],
        "product_type": "rack server",
        "product_name": "R640",
        "serial_number": "S1",
        "description": "first",
        "host_key": "ssh-ed25519 AAAA",
    }
    plant_nodes(url, node("A", hardware='{"disks": "many"}', **described))

    content = inventory(home, FIRSTBOX_DATABASE_URL=url)

    assert content["_meta"]["hostvars"]["n-AAAAAAAA"] == {
        "ansible_host": "10.0.0.65",
        "firstbox": {"node_id": "n-AAAAAAAA", **described},
    }
    groups = {name for name, group in content.items() if group.get("hosts") == ["n-AAAAAAAA"]}
    assert groups == {
        "status_available",
        "role_web",
        "sub_role_front",
        "sub_role_cache",
        "zone_east_1",
        "product_type_rack_server",
        "product_name_R640",
    }
    assert content["zone_east_1"]["vars"] == {
        "ansible_user": "root",
        "ansible_port": 22,
        "ansible_ssh_private_key_file": f"{home}/keys/ssh_ed25519",
        "ansible_ssh_common_args": (
            f"-oStrictHostKeyChecking=accept-new -oUserKnownHostsFile={home}/known_hosts"
        ),
        "firstbox_zone": {
            "jump": "",
            "known_hosts": "accept-new",
            "known_hosts_file": f"{home}/known_hosts",
        },
    }


def test_bare_machine_is_a_host_without_an_address(home: Path, url: str) -> None:
    plant_nodes(url, node("A", status="available"))
    engine = open_database(url)
    bare = plant_bm_node(engine, 1, os_version="14.04.5", ipmi_password="sealed-secret")
    installed = plant_bm_node(engine, 2, status="provisioned")
    with writing(engine) as connection:
        set_address(connection, installed, "10.0.0.2", "")
    engine.dispose()

    content = inventory(home, FIRSTBOX_DATABASE_URL=url)

    members = {name: set(group["hosts"]) for name, group in content.items() if "hosts" in group}
    assert members == {
        "bm": {bare, installed},
        "bare": {bare},
        "bm_status_new": {bare},
        "bm_status_provisioned": {installed},
        "os_version_14_04_5": {bare},
        "os_version_12": {installed},
        "zone_default": {"n-AAAAAAAA", bare, installed},
        "status_available": {"n-AAAAAAAA"},
        "status_pending": {installed},
    }
    variables = content["_meta"]["hostvars"]
    assert "ansible_host" not in variables[bare]
    assert variables[installed]["ansible_host"] == "10.0.0.2"
    assert variables[bare]["firstbox"]["bm"]["pxe_network_mac_addr"] == "52:54:00:00:00:01"
    assert "bm" not in variables["n-AAAAAAAA"]["firstbox"]
    assert "sealed-secret" not in json.dumps(content)


def test_machine_and_system_are_told_apart_in_plays(home: Path) -> None:
    plant_nodes(sqlite_of(home), node("A"))
    without = run(home, "ansible", "all:!bare", "--list-hosts")
    engine = open_database(sqlite_of(home))
    bare = plant_bm_node(engine)
    engine.dispose()
    with_one = run(home, "ansible", "all:!bare", "--list-hosts")
    collected = run(home, "ansible-playbook", "playbooks/collect.yml", "--list-hosts")

    assert without.stdout == with_one.stdout
    assert without.stderr == with_one.stderr == ""  # no warning of a group that is not there
    assert "n-AAAAAAAA" in collected.stdout
    assert bare not in collected.stdout


def test_graph_and_host_show_the_same_node(home: Path) -> None:
    plant_nodes(sqlite_of(home), node("A", status="pending"))

    graph = run(home, "ansible-inventory", "--graph")
    host = run(home, "ansible-inventory", "--host", "n-AAAAAAAA")

    assert "@status_pending:\n  |  |--n-AAAAAAAA" in graph.stdout
    assert json.loads(host.stdout, object_hook=plain)["ansible_user"] == "root"
    assert (graph.stderr, host.stderr) == ("", "")


def test_empty_database_is_no_error(home: Path, url: str) -> None:
    plant_nodes(url)

    assert host_ids(home, FIRSTBOX_DATABASE_URL=url) == set()


def test_missing_tables_end_with_an_error(home: Path, url: str) -> None:
    Path(home, "firstbox.db").touch()

    answer = run(home, "ansible", "all", "--list-hosts", FIRSTBOX_DATABASE_URL=url)

    assert answer.returncode != 0
    assert "run `firstbox init`" in answer.stderr


@pytest.mark.parametrize("content", [None, b"garbage " * 1000])
def test_unreadable_database_ends_a_play_with_an_error(home: Path, content: bytes | None) -> None:
    if content:
        Path(home, "firstbox.db").write_bytes(content)

    answer = run(home, "ansible", "all", "-m", "ping")

    assert answer.returncode != 0
    assert "run `firstbox init`" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_password_of_the_database_is_not_shown(home: Path) -> None:
    url = "postgresql://me:S3cret@127.0.0.1:1/x"

    answer = run(home, "ansible-inventory", "--list", "-vvv", FIRSTBOX_DATABASE_URL=url)

    assert answer.returncode != 0
    assert "S3cret" not in answer.stdout + answer.stderr


EXPRESSIONS = """\
compose: {composed: firstbox.hostname}
keyed_groups: [{key: firstbox.role, prefix: k}]
groups: {g: firstbox.description}
"""


@pytest.mark.parametrize("expressions", ["", EXPRESSIONS])
def test_text_of_the_database_is_never_evaluated(
    home: Path, url: str, tmp_path: Path, expressions: str
) -> None:
    evil = f"{{{{ lookup('pipe','touch {tmp_path}/evaluated') }}}}"
    texts = ("hostname", "description", "role", "product_type", "product_name", "serial_number")
    values = dict.fromkeys((*texts, "host_key", "zone_id"), evil)
    plant_nodes(url, node("A", **values, sub_roles=[evil]))
    names = ("hostname", "os_version", "brand", "serial_number", "image", "os_disk_name")
    engine = open_database(url)
    bare = plant_bm_node(engine, **dict.fromkeys(names, evil))
    engine.dispose()
    source = tmp_path / "firstbox.yml"
    source.write_text(f"plugin: firstbox\n{expressions}")
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    database = {"FIRSTBOX_DATABASE_URL": url}

    listed = run(home, "ansible-inventory", "-i", str(source), "--list", **database)
    host = run(home, "ansible-inventory", "-i", str(source), "--host", "n-AAAAAAAA", **database)
    played = run(home, "ansible-playbook", "-i", str(source), str(play), **database)

    for answer in (listed, host, played):
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert f"touch {tmp_path}/evaluated" in answer.stdout
    assert bare in listed.stdout
    assert bare in played.stdout
    assert (tmp_path / "control").exists()  # the play's own text is a template: the test can fail
    assert not (tmp_path / "evaluated").exists()


def test_host_without_a_valid_address_is_left_out(home: Path) -> None:
    bad = (
        "gate.example.org",
        "10.0.0.1 -oProxyCommand=x",
        "fe80::1%x; touch /tmp/y",
        "{{ 1 }}",
        "",
    )
    plant_nodes(
        sqlite_of(home),
        {"node_id": "n-1", "address": "2001:DB8::0:1"},
        {"node_id": "n-2", "address": None},
        *({"node_id": f"n-bad{index}", "address": text} for index, text in enumerate(bad)),
        {"node_id": "../../etc", "address": "10.0.0.9"},
    )

    answer = run(home, "ansible-inventory", "--list", "--export")

    hosts = json.loads(answer.stdout, object_hook=plain)["_meta"]["hostvars"]
    assert {name: host["ansible_host"] for name, host in hosts.items()} == {"n-1": "2001:db8::1"}
    assert "6 nodes left out because address or id is not valid" in answer.stderr


def test_expressions_of_the_operator_make_groups_and_variables(home: Path, tmp_path: Path) -> None:
    plant_nodes(sqlite_of(home), node("A", product_name="R640", hostname="web1"))
    source = tmp_path / "my.firstbox.yml"
    source.write_text(
        "plugin: firstbox\n"
        "strict: true\n"
        "compose: {short: firstbox.hostname | upper}\n"
        "groups: {webs: firstbox.hostname is match('web')}\n"
        "keyed_groups: [{key: firstbox.product_name, prefix: model}]\n"
    )

    content = inventory(home, str(source))

    assert content["_meta"]["hostvars"]["n-AAAAAAAA"]["short"] == "WEB1"
    assert content["webs"]["hosts"] == content["model_R640"]["hosts"] == ["n-AAAAAAAA"]


def test_nodes_and_zones_limit_what_is_read(home: Path, url: str, tmp_path: Path) -> None:
    plant_nodes(url, node("A"), node("B", zone_id="z2"), node("C", zone_id="z2"))
    listed = tmp_path / "nodes"
    listed.write_text("n-AAAAAAAA\n\n  n-CCCCCCCC\n")
    database = {"FIRSTBOX_DATABASE_URL": url}

    assert host_ids(home, FIRSTBOX_NODES="n-AAAAAAAA, n-BBBBBBBB", **database) == {
        "n-AAAAAAAA",
        "n-BBBBBBBB",
    }
    assert host_ids(home, FIRSTBOX_NODES=f"@{listed}", **database) == {"n-AAAAAAAA", "n-CCCCCCCC"}
    assert host_ids(home, FIRSTBOX_INVENTORY_ZONES="z2", **database) == {"n-BBBBBBBB", "n-CCCCCCCC"}
    assert host_ids(home, FIRSTBOX_NODES="", **database) == set()


def test_named_node_that_is_not_there_is_warned_about(home: Path) -> None:
    plant_nodes(sqlite_of(home), node("A"))

    answer = run(home, "ansible-inventory", "--list", FIRSTBOX_NODES="n-AAAAAAAA,n-ZZZZZZZZ")

    assert answer.returncode == 0
    assert "1 nodes asked for but not found: 'n-ZZZZZZZZ'" in answer.stderr


def test_missing_list_of_nodes_ends_with_an_error(home: Path) -> None:
    plant_nodes(sqlite_of(home), node("A"))

    answer = run(home, "ansible-inventory", "--list", FIRSTBOX_NODES="@/nowhere/nodes")

    assert answer.returncode != 0
    assert "list of nodes cannot be read" in answer.stderr


def test_settings_file_counts_below_the_environment(home: Path, tmp_path: Path) -> None:
    plant_nodes(f"sqlite:///{tmp_path}/other.db", node("A"))
    Path(home, "firstbox.env").write_text(
        f"# ours\nFIRSTBOX_DATABASE_URL=sqlite:///{tmp_path}/other.db\n"
        "FIRSTBOX_SSH_USER='file'  # a comment\nexport FIRSTBOX_SSH_PORT=2222\n"
    )

    zone = inventory(home, FIRSTBOX_SSH_USER="shell")["zone_default"]["vars"]

    assert (zone["ansible_user"], zone["ansible_port"]) == ("shell", 2222)


ZONES = {
    "z1": {"user": "u1", "jump": "j@gate:2200"},
    "z2": {"port": 2022, "private_key": "/keys/z2", "jump": "", "known_hosts": "strict"},
    "z3": {"known_hosts": "off"},
}


@pytest.mark.parametrize("in_file", [True, False])
def test_access_to_zones_is_that_of_the_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
) -> None:
    letters = dict(zip("ABCD", [*ZONES, "default"], strict=True))
    nodes = (node(letter, zone_id=zone) for letter, zone in letters.items())
    plant_nodes(sqlite_of(home), *nodes)
    variables = {
        "FIRSTBOX_ZONES": json.dumps(ZONES),
        "FIRSTBOX_SSH_JUMP": "all@gate",
        "FIRSTBOX_SSH_USER": "ops",
    }
    if in_file:
        lines = (f"{name}='{value}'\n" for name, value in variables.items())
        Path(home, "firstbox.env").write_text("".join(lines))
        variables = {}
    for name, value in {"FIRSTBOX_HOME": str(home), **variables}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()

    content = inventory(home, **variables)

    for zone in letters.values():
        access, found = settings.ssh_access(zone), content[f"zone_{zone}"]["vars"]
        assert found["ansible_user"] == access.user
        assert found["ansible_port"] == access.port
        assert found["ansible_ssh_private_key_file"] == str(access.private_key)
        assert found["firstbox_zone"] == {
            "jump": access.jump,
            "known_hosts": access.known_hosts,
            "known_hosts_file": f"{home}/known_hosts",
        }


@pytest.mark.parametrize(
    ("policy", "checking", "file"),
    [("accept-new", "accept-new", "known_hosts"), ("strict", "yes", "known_hosts")],
)
def test_host_key_policy_is_sshs(home: Path, policy: str, checking: str, file: str) -> None:
    plant_nodes(sqlite_of(home), node("A"))

    assert common_args(home, FIRSTBOX_SSH_KNOWN_HOSTS=policy) == [
        f"-oStrictHostKeyChecking={checking}",
        f"-oUserKnownHostsFile={home}/{file}",
    ]


def test_policy_off_keeps_no_keys(home: Path) -> None:
    plant_nodes(sqlite_of(home), node("A"))

    assert common_args(home, FIRSTBOX_SSH_KNOWN_HOSTS="off") == [
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
    ]


def test_ssh_understands_jump_host_and_odd_paths(tmp_path: Path) -> None:
    home = tmp_path / "100% of it's home"
    home.mkdir()
    plant_nodes(sqlite_of(home), node("A"))

    arguments = common_args(home, FIRSTBOX_SSH_JUMP="ops@[2001:db8::1]:2222")
    answer = subprocess.run(
        ["ssh", "-G", *arguments, "10.0.0.65"], capture_output=True, text=True, check=True
    )

    options = dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)
    assert options["userknownhostsfile"].replace("%%", "%") == f"{home}/known_hosts"
    jump = shlex.split(options["proxycommand"].replace("%%", "%"))
    assert jump[-7:] == ["-p", "2222", "-l", "ops", "-W", "[%h]:%p", "2001:db8::1"]
    assert jump[jump.index("-i") + 1].replace("%%", "%") == f"{home}/keys/ssh_ed25519"


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("FIRSTBOX_SSH_JUMP", "-oProxyCommand=x", "user@host:port"),
        ("FIRSTBOX_SSH_JUMP", "gate; reboot", "user@host:port"),
        ("FIRSTBOX_SSH_PORT", "70000", "from 1 to 65535"),
        ("FIRSTBOX_ZONES", "{", "not JSON"),
        ("FIRSTBOX_ZONES", '{"default": {"prot": 1}}', "prot"),
        ("FIRSTBOX_ZONES", '{"default": {"known_hosts": "maybe"}}', "accept-new, strict or off"),
    ],
)
def test_wrong_setting_ends_with_a_sentence(
    home: Path, variable: str, value: str, complaint: str
) -> None:
    plant_nodes(sqlite_of(home), node("A"))

    answer = run(home, "ansible-inventory", "--list", **{variable: value})

    assert answer.returncode != 0
    assert complaint in answer.stderr


def test_zones_that_share_a_group_name_keep_their_own_access(home: Path) -> None:
    plant_nodes(sqlite_of(home), node("A", zone_id="z-1"), node("B", zone_id="z_1"))
    zones = json.dumps({"z-1": {"user": "minus"}, "z_1": {"user": "under"}})

    for host, user in (("n-AAAAAAAA", "minus"), ("n-BBBBBBBB", "under")):
        answer = run(home, "ansible-inventory", "--host", host, FIRSTBOX_ZONES=zones)
        assert json.loads(answer.stdout, object_hook=plain)["ansible_user"] == user


def test_documentation_names_every_option(home: Path) -> None:
    answer = run(home, "ansible-doc", "-t", "inventory", "firstbox", "--json")

    options = json.loads(answer.stdout)["firstbox"]["doc"]["options"]
    assert {"nodes", "zones", "home", "database_url", "keyed_groups", "strict"} <= set(options)
    assert all(option["description"] for option in options.values())


@pytest.fixture
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "firstbox_inventory_plugin", REPOSITORY / "inventory_plugins" / "firstbox.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["firstbox.yml", "east.firstbox.yaml"])
def test_verify_file_takes_our_names(plugin: ModuleType, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    assert plugin.InventoryModule().verify_file(str(tmp_path / name))


@pytest.mark.parametrize("name", ["hosts.yml", "firstbox.json", "firstbox.yml.orig", "firstbox"])
def test_verify_file_refuses_other_names(plugin: ModuleType, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    assert not plugin.InventoryModule().verify_file(str(tmp_path / name))


def test_verify_file_refuses_a_file_that_is_not_there(plugin: ModuleType, tmp_path: Path) -> None:
    assert not plugin.InventoryModule().verify_file(str(tmp_path / "firstbox.yml"))


def test_ansible_core_before_2_19_is_refused(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "ansible_version", "2.18.12")

    with pytest.raises(AnsibleParserError, match=r"needs ansible-core 2\.19 or later"):
        plugin.InventoryModule().parse(None, None, SOURCE)
