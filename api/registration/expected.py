"""Machines that somebody expects: a CSV that says by serial number or MAC what each becomes."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.bmc.found import Identity
from api.errors import Malformed, OverLimit
from api.registration.addresses import mac_of_one_card
from api.registration.attributes import BMNodeAttributes, checked
from api.registration.patterns import TOLD_BY_BMC
from api.registration.rules import NOTHING, OWNED

MOST = 10_000  # machines
_FIELD = "expected"
_COLUMNS = {"mac", *BMNodeAttributes.model_fields} - TOLD_BY_BMC

Expected = Mapping[str, Any]  # fields of a registration, and `mac`, of a card or of the BMC


def read_expected(text: str) -> list[dict[str, Any]]:
    """The machines of a CSV. Raises Malformed with line and column, OverLimit for too many."""
    found: list[tuple[int, dict[str, Any]]] = []
    wrong: list[str] = []
    try:
        for line, cells in _lines(text):
            values, faults = _machine(cells)
            found.append((line, values))
            wrong += [f"line {line}, {column}: {message}" for column, message in faults]
    except csv.Error as error:
        raise Malformed.field(_FIELD, f"is not CSV: {error}") from None
    wrong = wrong or list(_twice(found))
    if wrong:
        errors = [{"field": _FIELD, "message": message} for message in wrong[:100]]
        raise Malformed(f"{_FIELD}: {wrong[0]}", errors)
    return [values for _, values in found]


def by_identity(expected: Sequence[Expected]) -> dict[str, Expected]:
    """Expected machines by what tells them: serial number, and MAC."""
    return {one[name]: one for one in expected for name in ("mac", "serial_number") if name in one}


def find(expected: Mapping[str, Expected], identity: Identity) -> Expected | None:
    """What is expected of this machine: by its serial number, else its BMC's MAC, else a card's."""
    keys = (identity.serial_number, identity.bmc_mac, *identity.boot_macs)
    return next((expected[key] for key in keys if key and key in expected), None)


def _lines(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line that has anything: its number, and its cells by column."""
    # Spreadsheets put a mark of their byte order in front.
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    header = [name.strip() for name in next(reader, [])]
    _refuse_header(header)
    count = 0
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        count += 1
        if count > MOST:
            raise OverLimit(f"{_FIELD}: more than {MOST} machines.")
        if len(cells) != len(header):
            message = f"line {reader.line_num} has {len(cells)} cells; the header has {len(header)}"
            raise Malformed.field(_FIELD, message)
        yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _refuse_header(header: Sequence[str]) -> None:
    if not {"serial_number", "mac"} & set(header):
        message = "the first line has no column serial_number or mac; columns are parted by commas"
        raise Malformed.field(_FIELD, message)
    for place, name in enumerate(header):
        if name in TOLD_BY_BMC:
            raise Malformed.field(_FIELD, f"column {name}: the scan finds it out itself")
        if name not in _COLUMNS:
            raise Malformed.field(_FIELD, f"column {name[:64]!r} is no field of a machine")
        if name in header[:place]:
            raise Malformed.field(_FIELD, f"column {name} is there twice")


def _machine(cells: Mapping[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What the cells say, and what is wrong with them, by column."""
    given = {name: _value(name, cell) for name, cell in cells.items() if cell}
    mac = given.pop("mac", None)
    values, faults = checked(given)
    if mac is not None:
        try:
            values["mac"] = mac_of_one_card(mac)
        except ValueError as error:
            faults.append(("mac", f"{mac[:64]!r} {error}"))
    if mac is None and "serial_number" not in given:
        faults.append(("serial_number", "is empty, and there is no mac either"))
    return values, faults


def _value(name: str, cell: str) -> Any:
    """A cell as its field's type; what is not one stays a text, and is refused as such."""
    match NOTHING.get(name, ""):
        case int() if cell.isascii() and cell.isdecimal():
            return int(cell[:10])
        case list():
            return cell.split()
        case _:
            return cell


def _twice(machines: Sequence[tuple[int, Expected]]) -> Iterator[str]:
    """What two lines both have."""
    first: dict[tuple[str, Any], int] = {}
    for line, values in machines:
        for name, kind in {"mac": "mac", **OWNED}.items():
            value = values.get(name)
            before = first.setdefault((kind, value), line) if value else line
            if before != line:
                yield f"line {line}, {name}: {value} is in line {before} already"
