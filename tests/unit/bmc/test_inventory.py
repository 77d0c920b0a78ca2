"""A machine as Redfish tells it: what is read, and that nothing is believed to have its form."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.bmc.identify import MOST_MACS
from api.bmc.inventory import MOST_DISKS, read_about

SYSTEM = "/redfish/v1/Systems/1"
NOTHING: Mapping[str, Any] = {}


class Tree:
    """Resources by path, and which were asked for."""

    def __init__(self, **resources: Any) -> None:
        self.resources = {f"/redfish/v1/{name}": one for name, one in resources.items()}
        self.asked: list[str] = []

    def get(self, path: str) -> Mapping[str, Any]:
        self.asked.append(path)
        found: Mapping[str, Any] = self.resources.get(path, NOTHING)
        return found


def link(name: str) -> dict[str, str]:
    return {"@odata.id": f"/redfish/v1/{name}"}


def members(*whole: Any) -> dict[str, Any]:
    return {"Members": list(whole)}


def test_members_that_come_whole_are_not_asked_for() -> None:
    tree = Tree(cards=members({"Id": "1", "MACAddress": "52:54:00:00:00:01"}))

    about = read_about(tree.get, {}, {"EthernetInterfaces": link("cards")}, "")

    assert about.boot_macs == ("52:54:00:00:00:01",)
    assert tree.asked.count("/redfish/v1/cards") == 1


def test_lasting_mac_wins_over_the_present_one() -> None:
    card = {"PermanentMACAddress": "52:54:00:00:00:01", "MACAddress": "02:00:00:00:00:09"}
    tree = Tree(cards=members(card | {"Id": "1"}))

    about = read_about(tree.get, {}, {"EthernetInterfaces": link("cards")}, "")

    assert about.boot_macs == ("52:54:00:00:00:01",)


def test_bmc_mac_is_of_the_port_that_we_talk_to() -> None:
    ports = members(
        {"Id": "usb", "MACAddress": "02:00:00:00:00:01"},
        {
            "Id": "lan",
            "MACAddress": "02:00:00:00:00:02",
            "IPv4Addresses": [{"Address": "10.0.0.1"}],
        },
    )
    tree = Tree(bmcs=members(link("bmc")), bmc={"EthernetInterfaces": link("ports")}, ports=ports)
    root = {"Managers": link("bmcs")}

    assert read_about(tree.get, root, {}, "10.0.0.1").bmc_mac == "02:00:00:00:00:02"
    assert read_about(tree.get, root, {}, "10.0.0.2").bmc_mac == "02:00:00:00:00:01"


def test_disks_of_older_bmcs_stand_in_the_controller() -> None:
    devices = [{"Name": "Disk 1", "CapacityBytes": 10**12, "Model": "M"}, {"Name": "empty bay"}]
    tree = Tree(simple=members({"Id": "1", "Devices": devices}))

    about = read_about(tree.get, {}, {"SimpleStorage": link("simple")}, "")

    assert [(disk["name"], disk["size"]) for disk in about.hardware["disks"]] == [
        ("Disk 1", 1000.0)
    ]


def test_processors_tell_more_than_their_summary() -> None:
    arm = {"InstructionSet": "ARM-A64", "TotalCores": 80, "TotalThreads": 80, "Model": "Altra"}
    graphics = {"ProcessorType": "GPU", "TotalCores": 5000}
    tree = Tree(cpus=members(arm, graphics))
    summary = {"Count": 1, "LogicalProcessorCount": 4}

    told = read_about(
        tree.get, {}, {"Processors": link("cpus"), "ProcessorSummary": summary}, ""
    ).hardware["cpu"]
    untold = read_about(tree.get, {}, {"ProcessorSummary": summary}, "").hardware["cpu"]

    assert (told["cpu_arch"], told["cpu_cores"], told["cpu_model"]) == ("aarch64", 80, "Altra")
    assert (untold["cpu_processors"], untold["cpu_arch"]) == (4, "")


def test_nothing_told_is_no_hardware() -> None:
    assert read_about(Tree().get, {}, {"Model": "X"}, "").hardware == {}


def test_links_out_of_the_tree_are_not_followed() -> None:
    tree = Tree()
    for path in (
        "http://127.0.0.1/",
        "/etc/passwd",
        "/redfish/v1/a b",
        "/redfish/\r\nX: y",
        7,
        None,
    ):
        read_about(tree.get, {}, {"EthernetInterfaces": {"@odata.id": path}}, "")

    assert [path for path in tree.asked if path] == []


def test_number_of_requests_has_an_end() -> None:
    drives = [link("disk")] * 10_000
    tree = Tree(
        many=members(*[link("card")] * 10_000),
        card={"MACAddress": "52:54:00:00:00:01"},
        raids=members(*[{"Id": "1", "Drives": drives}] * 10_000),
        disk={"CapacityBytes": 1, "Id": "x"},
    )

    about = read_about(
        tree.get, {}, {"EthernetInterfaces": link("many"), "Storage": link("raids")}, ""
    )

    assert len(about.hardware["disks"]) == MOST_DISKS
    assert len(tree.asked) < MOST_MACS + MOST_DISKS + 20


_FIELDS = ("@odata.id", "Members", "Drives", "Links", "ManagedBy", "Chassis", "MACAddress", "Id")
_MORE_FIELDS = (
    "IPv4Addresses",
    "Address",
    "CapacityBytes",
    "EthernetInterfaces",
    "Count",
    "Devices",
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_FIELDS + _MORE_FIELDS), inner, max_size=6)
    ),
    max_leaves=20,
)
_NAMES = ["Manufacturer", "Model", "SerialNumber", "SKU", "Links", "ProcessorSummary", "Processors"]
_NAMES += ["MemorySummary", "EthernetInterfaces", "Storage", "SimpleStorage"]


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON | st.just(link("x"))), _JSON, _JSON)
def test_no_answer_breaks_it(system: dict[str, Any], one: Any, memory: Any) -> None:
    everywhere = one if isinstance(one, dict) else {}
    system["MemorySummary"] = {"TotalSystemMemoryGiB": memory}

    about = read_about(lambda _path: everywhere, everywhere, system, "10.0.0.1")

    assert about.maker.isprintable()
