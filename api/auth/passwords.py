"""Passwords at rest: argon2id, about 50 ms a check."""

import secrets
import string

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.domain.users import check_password

# Above OWASP's floor (19 MiB, 2 passes), and small enough for a burst of logins to fit in memory.
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)

# Made from 32 random bytes that nobody kept: what is checked for users that do not exist, so that
# they take as long as those that do.
_NOBODY = "$argon2id$v=19$m=32768,t=3,p=1$99hIJMDN4CgFEGmlPlLyLw$ixaFfGYolgiTh4uydNKv3CxHdkcTiGBzIMWYBgsqKaw"


def hash_password(password: str) -> str:
    """What is stored of a new password. Raises Malformed for one that is too short or too long."""
    check_password(password)
    return _HASHER.hash(password)


def is_right(password_hash: str | None, password: str) -> bool:
    """Whether this is the password; equally slow when there is no such user (None)."""
    try:
        return _HASHER.verify(password_hash or _NOBODY, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """Twenty characters that nobody can guess and everybody can type."""
    letters = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))
    return "".join(secrets.choice(letters) for _ in range(20))
