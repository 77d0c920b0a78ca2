"""What can go wrong with a request, raised deep and translated once, in `app.py`.

FirstboxError
├── Malformed        1100
├── NotProven        1200
├── TooOld           1300
├── NotAllowed       1400
├── NotFound         2100
├── Conflict         2200
├── OverLimit        2500
├── OurFault         5000
└── Busy             5100
"""

from collections.abc import Sequence


class FirstboxError(Exception):
    """Something went wrong; a subclass says what."""

    ret_code = 5000

    def __init__(self, message: str = "", errors: Sequence[dict[str, str]] = ()) -> None:
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        self.errors = list(errors)
        super().__init__(self.message)


class Malformed(FirstboxError):
    """The request cannot be read: a parameter is missing, unknown or invalid."""

    ret_code = 1100

    @classmethod
    def field(cls, field: str, message: str) -> "Malformed":
        """One field is wrong: `message` is a sentence that names the value."""
        return cls(f"{field}: {message}", [{"field": field, "message": message}])


class NotProven(FirstboxError):
    """The user is unknown, the password is wrong, or the credential cannot be opened."""

    ret_code = 1200


class TooOld(FirstboxError):
    """The credential is too old: encrypt the password again, with the present time in it."""

    ret_code = 1300


class NotAllowed(FirstboxError):
    """This user's role may not do this."""

    ret_code = 1400


class NotFound(FirstboxError):
    """It does not exist."""

    ret_code = 2100


class Conflict(FirstboxError):
    """The present state does not allow this."""

    ret_code = 2200


class OverLimit(FirstboxError):
    """More was asked for than one request may ask."""

    ret_code = 2500


class OurFault(FirstboxError):
    """A fault of the service; it is in the log under the id in this message."""


class Busy(FirstboxError):
    """The queue or the database cannot be reached just now: try again later."""

    ret_code = 5100
