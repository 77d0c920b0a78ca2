"""Who is calling: proven by password or token, remembered for a moment.

A good call is looked up three times, each dearer than the one before: in memory (`recall`, 60 s
for an argon2 verdict), in the database (every 1.5 s, so that what another process changed counts
within 2 s), and by opening the credential and checking the password.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import Engine, Row

from api.auth.credentials import Credentials
from api.auth.failures import Failures
from api.auth.keys import load_login_key
from api.auth.passwords import is_right
from api.domain.users import is_user_id, token_is_good
from api.errors import Busy, NotProven
from api.settings import Settings
from api.states import Role
from api.store import users
from api.store.audit import Asking, add_audit
from api.store.session import reading, writing
from api.trail import trail

_ROW_SECONDS = 1.5  # how long a row that was read counts as the present
_VERDICT_SECONDS = 60.0  # how long a checked password needs no argon2
_MOST = 4096  # entries of each memory
_MOST_WAITING = 1024  # calls in line for one user and address, while the first is being proven

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Caller:
    """A proven identity."""

    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A credential that proved its user: what was in it, without the password."""

    mac: bytes
    iat: float


@dataclass(frozen=True, slots=True)
class _Proof:
    """The user's right password, as its MAC; holds for one stored hash."""

    caller: Caller
    password_hash: str
    mac: bytes
    proven: float
    read: float


@dataclass(frozen=True, slots=True)
class _GoodToken:
    """A token that was good when its row was read."""

    caller: Caller
    expire_time: float
    read: float


class _Turn:
    """The line of unproven tries for one user and address: one at a time."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class Callers:
    """Knows who is calling; one per process."""

    def __init__(
        self, settings: Settings, engine: Engine, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._credentials = Credentials(load_login_key(settings), settings.credential_max_age)
        self.public_jwks = self._credentials.public_jwks()
        self._secret = secrets.token_bytes(32)  # of this process: MACs mean nothing elsewhere
        self._failures = Failures(clock)
        self._lock = threading.Lock()
        self._generation = 0  # grows with every `forget`, so that what was read before is not kept
        self._sealed: dict[bytes, _Sealed] = {}
        self._proofs: dict[str, _Proof] = {}
        self._tokens: dict[bytes, _GoodToken] = {}
        self._turns: WeakValueDictionary[tuple[str, str], _Turn] = WeakValueDictionary()
        self._hashing = threading.BoundedSemaphore(os.cpu_count() or 1)

    async def admit(
        self, user_id: str | None, password: str | None, authorization: str | None, address: str
    ) -> Caller:
        """`identify` for an event loop: at once if known, else in a thread, slowed down if need be."""
        caller = self.recall(user_id, password, authorization)
        if caller is not None:
            return caller
        if authorization is not None or not user_id or not password:
            # Tokens are beyond guessing: nothing to slow down.
            return await asyncio.to_thread(self.identify, user_id, password, authorization, address)
        caller = await asyncio.to_thread(self._refresh, user_id, password)
        if caller is not None:
            return caller
        return await self._admit_in_turn(user_id, password, address)

    async def _admit_in_turn(self, user_id: str, password: str, address: str) -> Caller:
        """One try at a time: many at once neither outrun the delays nor repeat each other's work."""
        turn = self._turns.setdefault((_possible(user_id), address), _Turn())
        if turn.waiting >= _MOST_WAITING:
            raise Busy(f"Too many logins of this user from {address} at once: try again later.")
        turn.waiting += 1
        try:
            async with turn.lock:
                caller = self.recall(user_id, password, None)
                if caller is not None:
                    return caller
                await asyncio.sleep(self.delay_for(user_id, address))
                return await asyncio.to_thread(self.identify, user_id, password, None, address)
        finally:
            turn.waiting -= 1

    def delay_for(self, user_id: str, address: str) -> float:
        """Seconds to wait before this user's next try from this address."""
        return self._failures.delay(_possible(user_id), address)

    def identify(
        self, user_id: str | None, password: str | None, authorization: str | None, address: str
    ) -> Caller:
        """Who is calling. Raises NotProven, or TooOld for a credential outside its time."""
        caller = self.recall(user_id, password, authorization)
        if caller is not None:
            return caller
        if authorization is not None:
            return self._identify_token(authorization, address)
        if not user_id or not password:
            raise NotProven("Say who is calling: USER_ID and PASSWORD, or an Authorization header.")
        return self._refresh(user_id, password) or self._identify_user(user_id, password, address)

    def recall(
        self, user_id: str | None, password: str | None, authorization: str | None
    ) -> Caller | None:
        """The caller if proven here a moment ago, from memory alone; None says nothing."""
        now = self._clock()
        if authorization is not None:
            token = self._tokens.get(_digest(authorization))
            if token is None or now >= token.expire_time or not _is_recent(token.read, now):
                return None
            return token.caller
        proof = self._known_proof(user_id, password, now)
        return proof.caller if proof is not None and _is_recent(proof.read, now) else None

    def forget(self, user_id: str) -> None:
        """Call after a change of a user, or of their tokens, is committed: it counts from now."""
        with self._lock:
            self._generation += 1
            self._proofs.pop(user_id, None)
            self._tokens.clear()

    def open_password(self, sealed: str) -> str:
        """A password that came in a field other than PASSWORD, sealed the same way."""
        return self._credentials.open(sealed, self._clock()).password

    def _known_proof(self, user_id: str | None, password: str | None, now: float) -> _Proof | None:
        """The proof this very credential gave before, while it holds."""
        if not user_id or not password:
            return None
        proof = self._proofs.get(user_id)
        sealed = self._sealed.get(_digest(password))
        if proof is None or sealed is None or not hmac.compare_digest(proof.mac, sealed.mac):
            return None
        self._credentials.check_age(sealed.iat, now)
        return proof if 0 <= now - proof.proven < _VERDICT_SECONDS else None

    def _refresh(self, user_id: str, password: str) -> Caller | None:
        """The caller of a known credential, after a look whether the user is still the same."""
        now, generation = self._clock(), self._generation
        proof = self._known_proof(user_id, password, now)
        row = self._read_user(user_id) if proof else None
        if proof is None or row is None or row.password_hash != proof.password_hash:
            return None
        return self._remember_proof(row, proof.mac, proof.proven, now, generation)

    def _identify_user(self, user_id: str, password: str, address: str) -> Caller:
        now, generation = self._clock(), self._generation
        try:
            opened = self._credentials.open(password, now)
        except NotProven:
            self._failed(user_id, address)
            raise
        mac = hmac.digest(self._secret, opened.password.encode(), "sha256")
        row = self._read_user(user_id)
        proven = self._proven(row, mac, opened.password, now)
        if row is None or proven is None:
            self._failed(user_id, address)
            raise NotProven
        self._failures.clear(user_id, address)
        self._remember(self._sealed, _digest(password), _Sealed(mac, opened.iat), generation)
        return self._remember_proof(row, mac, proven, now, generation)

    def _proven(self, row: Row[Any] | None, mac: bytes, password: str, now: float) -> float | None:
        """When the password was proven right for this row: before, just now, or not at all."""
        proof = self._proofs.get(row.user_id) if row else None
        if (
            row is not None
            and proof is not None
            and proof.password_hash == row.password_hash
            and hmac.compare_digest(proof.mac, mac)
            and 0 <= now - proof.proven < _VERDICT_SECONDS
        ):
            return proof.proven
        with self._hashing:
            return now if is_right(row.password_hash if row else None, password) else None

    def _identify_token(self, authorization: str, address: str) -> Caller:
        now, generation = self._clock(), self._generation
        scheme, _, token = authorization.partition(" ")
        row = None
        if scheme.lower() == "bearer" and users.is_token(token):
            with reading(self._engine) as connection:
                row = users.find_token(connection, token)
        if row is None or not token_is_good(row, now):
            self._audit(row.user_id if row else "", address, "a token that does not hold")
            raise NotProven
        caller = Caller(row.user_id, Role(row.role))
        good = _GoodToken(caller, row.expire_time, now)
        self._remember(self._tokens, _digest(authorization), good, generation)
        return caller

    def _read_user(self, user_id: str) -> Row[Any] | None:
        # A user id that cannot be is not asked for: databases choke on some characters.
        if not is_user_id(user_id):
            return None
        with reading(self._engine) as connection:
            return users.get_user(connection, user_id)

    def _failed(self, user_id: str, address: str) -> None:
        self._failures.add(_possible(user_id), address)
        self._audit(user_id, address, "a password or credential that is wrong")

    def _audit(self, user_id: str, address: str, what: str) -> None:
        name = _possible(user_id)
        if self._failures.is_worth_a_row(name, address):
            with writing(self._engine) as connection:
                add_audit(
                    connection,
                    Asking(name, address, "Login", trail().request_id),
                    f"Login refused: {what}.",
                    ret_code=NotProven.ret_code,
                )

    def _remember_proof(
        self, row: Row[Any], mac: bytes, proven: float, now: float, generation: int
    ) -> Caller:
        caller = Caller(row.user_id, Role(row.role))
        proof = _Proof(caller, row.password_hash, mac, proven, now)
        self._remember(self._proofs, row.user_id, proof, generation)
        return caller

    def _remember(self, memory: dict[_K, _V], key: _K, value: _V, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return  # somebody changed a user since this was read
            memory.pop(key, None)
            memory[key] = value
            while len(memory) > _MOST:
                del memory[next(iter(memory))]


def _is_recent(read: float, now: float) -> bool:
    return 0 <= now - read < _ROW_SECONDS  # a clock that was set back makes nothing last


def _possible(user_id: str) -> str:
    """The user id, or "" for what is none: a megabyte of letters is neither kept nor written down."""
    return user_id if is_user_id(user_id) else ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
