"""PASSWORD on the wire: a compact JWE (RFC 7516) that only this server can open.

Inside is `{"password": "...", "iat": <unix seconds>}`. Any JOSE library can make it; `seal` is ours.
"""

import math
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc import jwe
from joserfc.jwk import KeySet, RSAKey

from api.auth.keys import load_login_key
from api.errors import NotProven, TooOld
from api.settings import Settings

_ALG, _ENC = "RSA-OAEP-256", "A256GCM"
_ALLOWED = [_ALG, _ENC]  # nothing else: no other algorithm, no compression
_MAX_AHEAD = 60  # seconds a caller's clock may be ahead of ours
_MAX_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class Opened:
    """What a credential says."""

    password: str
    iat: float


class Credentials:
    """Opens what callers encrypted for this server."""

    def __init__(self, key: RSAPrivateKey, max_age: float) -> None:
        self._key = RSAKey.import_key(key)
        self._kid = self._key.thumbprint()
        self._max_age = max_age

    def public_jwks(self) -> dict[str, Any]:
        """The public key as GET /api/public-key shows it (JWK set, RFC 7517)."""
        public = self._key.as_dict(private=False)
        return {"keys": [public | {"kid": self._kid, "use": "enc", "alg": _ALG}]}

    def open(self, sealed: str, now: float) -> Opened:
        """The password in a credential.

        Raises TooOld outside its time, and NotProven, without a word why, when it cannot be opened.
        """
        opened = self._open(sealed)
        self.check_age(opened.iat, now)
        return opened

    def check_age(self, iat: float, now: float) -> None:
        """Raise TooOld for a credential made too long ago, or too far in the future."""
        age = now - iat
        if age > self._max_age:
            raise TooOld(
                f"The credential is {age:.0f} s old, at most {self._max_age:.0f} s are allowed: "
                "encrypt the password again, with the present time in it."
            )
        if age < -_MAX_AHEAD:
            raise TooOld(
                f"The credential is from {-age:.0f} s in the future: set the caller's clock, and "
                "encrypt the password again."
            )

    def _open(self, sealed: str) -> Opened:
        if len(sealed) > _MAX_LENGTH:
            raise NotProven
        try:
            token = jwe.decrypt_compact(sealed, self._key, algorithms=_ALLOWED)
            payload = orjson.loads(token.plaintext or b"")
            password, iat = payload["password"], payload["iat"]
        except Exception:
            # Whatever is wrong with a stranger's text, the stranger learns nothing from it.
            raise NotProven from None
        if token.protected.get("kid", self._kid) != self._kid:
            raise NotProven
        is_time = type(iat) in (int, float) and math.isfinite(iat)
        if not is_time or not isinstance(password, str) or not password:
            raise NotProven
        return Opened(password, float(iat))


def seal(jwks: dict[str, Any], password: str, now: float) -> str:
    """The caller's side: `password`, encrypted for the server whose public JWK set this is."""
    key = KeySet.import_key_set({"keys": jwks["keys"]}).keys[0]
    header = {"alg": _ALG, "enc": _ENC, "kid": jwks["keys"][0]["kid"]}
    payload = orjson.dumps({"password": password, "iat": int(now)})
    return jwe.encrypt_compact(header, payload, key, algorithms=_ALLOWED)


def public_jwks(settings: Settings) -> dict[str, Any]:
    """This server's public key, where there is no `Callers` at hand (reads the key file)."""
    return Credentials(load_login_key(settings), settings.credential_max_age).public_jwks()
