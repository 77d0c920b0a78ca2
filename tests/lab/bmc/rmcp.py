"""RMCP+ as a BMC speaks it (IPMI 2.0, chapter 13): packets, sessions and their keys."""

import hashlib
import hmac
import os
import struct
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HEADER = b"\x06\x00\xff\x07"
OPEN_REQUEST, RAKP_1, RAKP_3, IPMI = 0x10, 0x12, 0x14, 0x00

# Cipher suite: algorithms of authentication, integrity and confidentiality.
SUITES = {0: (0, 0, 0), 3: (1, 1, 1), 17: (3, 4, 1)}
_HASHES = {1: (hashlib.sha1, 12), 3: (hashlib.sha256, 16)}  # and bytes of integrity code


@dataclass
class Session:
    """A session, or the beginning of one."""

    number: int
    console: int
    suite: int
    guid: bytes
    used: float = field(default_factory=time.monotonic)
    is_active: bool = False
    role: int = 4
    username: bytes = b""
    console_random: bytes = b""
    our_random: bytes = b""
    integrity_key: bytes = b""
    cipher_key: bytes = b""
    session_key: bytes = b""
    sequence: int = 0
    last_request: bytes = b""
    last_answer: bytes = b""

    def hash(self, key: bytes, data: bytes) -> bytes:
        """HMAC by the suite; nothing for suite 0."""
        if self.suite == 0:
            return b""
        return hmac.new(key, data, _HASHES[SUITES[self.suite][0]][0]).digest()

    @property
    def code_size(self) -> int:
        return 0 if self.suite == 0 else _HASHES[SUITES[self.suite][0]][1]

    def rakp_2(self, password: bytes) -> bytes:
        """What proves that we know the password; makes the keys."""
        numbers = struct.pack("<II", self.console, self.number)
        user = bytes([self.role, len(self.username)]) + self.username
        self.session_key = self.hash(password, self.console_random + self.our_random + user)
        self.integrity_key = self.hash(self.session_key, b"\x01" * 20)
        self.cipher_key = self.hash(self.session_key, b"\x02" * 20)[:16]
        return self.hash(
            password, numbers + self.console_random + self.our_random + self.guid + user
        )

    def rakp_3(self, password: bytes) -> bytes:
        """What the console has to prove itself with."""
        user = bytes([self.role, len(self.username)]) + self.username
        return self.hash(password, self.our_random + struct.pack("<I", self.console) + user)

    def rakp_4(self) -> bytes:
        data = self.console_random + struct.pack("<I", self.number) + self.guid
        return self.hash(self.session_key, data)[: self.code_size]

    def unwrap(self, packet: bytes) -> bytes | None:
        """The IPMI message of a packet; None when it is not what the console of this session sent."""
        kind, length = packet[5], struct.unpack_from("<H", packet, 14)[0]
        payload = packet[16 : 16 + length]
        if self.suite != 0:
            code = packet[-self.code_size :]
            made = self.hash(self.integrity_key, packet[4 : -self.code_size])[: self.code_size]
            if not kind & 0x40 or not hmac.compare_digest(code, made):
                return None
        if kind & 0x80:
            plain = self._cipher(payload[:16]).decryptor().update(payload[16:])
            payload = plain[: -plain[-1] - 1]
        return payload

    def wrap(self, message: bytes) -> bytes:
        """A packet with this IPMI message."""
        self.sequence += 1
        flags = 0
        if self.suite != 0:
            flags = 0xC0
            size = -(len(message) + 1) % 16
            vector = os.urandom(16)
            padded = message + bytes(range(1, size + 1)) + bytes([size])
            message = vector + self._cipher(vector).encryptor().update(padded)
        packet = HEADER + struct.pack("<BBIIH", 6, flags, self.console, self.sequence, len(message))
        packet += message
        if self.suite != 0:
            size = -(len(packet) - 2) % 4
            packet += b"\xff" * size + bytes([size, 7])
            packet += self.hash(self.integrity_key, packet[4:])[: self.code_size]
        return packet

    def _cipher(self, vector: bytes) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self.cipher_key), modes.CBC(vector))


def suite_of(request: bytes) -> int | None:
    """The cipher suite that an Open Session Request proposes, if we know it."""
    proposed = (request[12] & 0x3F, request[20] & 0x3F, request[28] & 0x3F)
    return next((suite for suite, kinds in SUITES.items() if kinds == proposed), None)


def setup_packet(kind: int, payload: bytes) -> bytes:
    """A packet of the session's setup: nothing in it is protected."""
    return HEADER + struct.pack("<BBIIH", 6, kind, 0, 0, len(payload)) + payload


def sessionless_packet(message: bytes) -> bytes:
    """An IPMI 1.5 packet outside of sessions."""
    return HEADER + bytes(9) + bytes([len(message)]) + message


def answer_to(message: bytes, code: int, data: bytes) -> bytes:
    """The IPMI message that answers another."""
    head = bytes([message[3], (message[1] >> 2 | 1) << 2 | message[4] & 3])
    body = bytes([message[0], message[4] & 0xFC | message[1] & 3, message[5], code]) + data
    return head + bytes([-sum(head) & 0xFF]) + body + bytes([-sum(body) & 0xFF])
