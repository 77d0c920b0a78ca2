"""What is at the other end of a machine's cables, as its LLDP daemon heard it: lldpad or lldpd."""

from api.hardware.model import Neighbour
from api.hardware.sections import Sections

_MOST = 128  # characters of a name; a switch sends what it likes
# What lldptool prints above a value, and where lldpctl has the same.
_HEADINGS = {
    "Chassis ID TLV": "chassis",
    "Port ID TLV": "port",
    "Port Description TLV": "description",
    "System Name TLV": "name",
}
_KEYS = {"chassis.name": "name", "port.descr": "description"}
_KINDS = ("MAC: ", "Ifname: ", "Ifalias: ", "Local: ", "Port: ", "Chassis: ", "IPv4: ", "IPv6: ")


def read_neighbours(sections: Sections) -> dict[str, Neighbour]:
    """The neighbour of each card that heard one, by the card's name."""
    heard: dict[str, dict[str, str]] = {}
    heading = ""
    for source, line in sections.files("lldp"):
        if source == "lldpctl":
            _take_key(heard, line)
        else:
            if field := _HEADINGS.get(heading):
                heard.setdefault(source, {}).setdefault(field, line)
            heading = line
    return {card: found for card, said in heard.items() if (found := _neighbour(said))}


def _take_key(heard: dict[str, dict[str, str]], line: str) -> None:
    """Such as `lldp.eth0.chassis.mac=02:1b:d0:00:00:01`; a card's name may have dots too."""
    key, _, value = line.partition("=")
    words = key.split(".")
    if len(words) < 4 or words[-2] not in ("chassis", "port"):
        return
    field = _KEYS.get(".".join(words[-2:]), words[-2])
    if words[-1] == "mac":
        value = f"MAC: {value}"
    heard.setdefault(".".join(words[1:-2]), {}).setdefault(field, value)


def _neighbour(said: dict[str, str]) -> Neighbour | None:
    switch = said.get("name") or _without_kind(said.get("chassis", ""))
    port = said.get("port", "")
    if port.startswith("MAC: "):  # of the port: what people call it is in its description
        port = said.get("description") or port
    if not switch and not port:
        return None
    return Neighbour(switch[:_MOST], _without_kind(port)[:_MOST])


def _without_kind(text: str) -> str:
    return next((text.removeprefix(kind) for kind in _KINDS if text.startswith(kind)), text)
