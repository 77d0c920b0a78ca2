"""Identifiers: a letter for the kind and eight characters nobody can guess."""

import secrets
import string
from collections.abc import Iterable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")
_ALPHABET = string.digits + string.ascii_letters


def new_id(kind: str) -> str:
    """A fresh id such as `n-8AQZMLrm`; `kind` is `n`, `j`, `d`, `e` or `t`.

    62^8 values: the primary key of the table is what makes it unique.
    """
    return f"{kind}-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))


def chunks(ids: Sequence[Thing], size: int = 1000) -> Iterable[Sequence[Thing]]:
    """Portions of what there is many of, such as ids for `IN (...)`: statements have a most of those."""
    return (ids[start : start + size] for start in range(0, len(ids), size))
