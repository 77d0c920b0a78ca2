"""The two questions that BMCs answer before any login, and what counts as an answer (IPMI 2.0, chapter 13)."""

# Get Channel Authentication Capabilities, outside of sessions; every login begins with it.
CAPABILITIES = bytes.fromhex("0600ff07 00 00000000 00000000 09 2018c88100388e04b5")
# RMCP presence ping. Shorter, but some BMCs do not know it.
PING = bytes.fromhex("0600ff06 000011be 80 00 00 00")

_WITHOUT_SESSION = bytes.fromhex("07 00 00000000 00000000")  # class IPMI, no authentication
_ASF = bytes.fromhex("06 000011be 40")  # class ASF, presence pong
_MESSAGE = 14  # where the IPMI message begins
_LONGEST = 64  # bytes of a message that still answers our question


def capabilities_in(packet: bytes) -> str | None:
    """What a BMC says of itself ("IPMI 2.0"), or None when this is not a BMC's answer.

    Checksums are not looked at: some BMCs compute them wrongly, and UDP has its own.
    """
    if len(packet) <= _MESSAGE or packet[0] != 6 or packet[3:13] != _WITHOUT_SESSION:
        return None
    message = packet[_MESSAGE : _MESSAGE + packet[13]]
    # Some pad by one byte, against a fault in old network cards.
    is_whole = len(packet) - _MESSAGE - packet[13] in (0, 1) and 8 <= packet[13] <= _LONGEST
    is_answer = message[:1] == b"\x81" and message[1:2] in (b"\x1c", b"\x1d", b"\x1e", b"\x1f")
    if not (is_whole and is_answer and message[5] == 0x38):
        return None
    if message[6]:  # it knows IPMI, and not this question
        return "IPMI"
    return _told(message[7:-1]) if len(message) >= 12 else None


def is_pong(packet: bytes) -> bool:
    """Whether this answers our ping, and says that IPMI is spoken there."""
    return (
        len(packet) in (28, 29)
        and packet[0] == 6
        and packet[3:9] == _ASF
        and packet[11] == 16
        and packet[20] & 0x80 != 0
    )


def _told(data: bytes) -> str:
    """Of channel, authentication types, status and extended capabilities."""
    is_extended = data[1] & 0x80 and data[3] & 0x02
    version = "2.0" if is_extended else "1.5"
    return f"IPMI {version}, lets anonymous users in" if data[2] & 0x01 else f"IPMI {version}"
