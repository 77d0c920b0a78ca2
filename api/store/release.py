"""Whether the database has the tables that this release works with."""

from pathlib import Path

from sqlalchemy import Engine

from api.errors import Conflict
from api.store.session import reading

MIGRATIONS = Path(__file__).parent / "migrations"


def check_release(engine: Engine) -> bool:
    """True if the tables are this release's, False if a newer one's: those serve this one too.

    Raises Conflict where `firstbox init` has to come first, and Busy when nobody answers.
    """
    # Here, not above: runs and inventories open the database too, and must start fast.
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    ours = ScriptDirectory(str(MIGRATIONS))
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == ours.get_current_head():
        return True
    known = {script.revision for script in ours.walk_revisions()}
    if found is None or found in known:
        raise Conflict(
            f"The database has {f'tables of an older release ({found})' if found else 'no tables'}: "
            "run `firstbox init` on one host."
        )
    return False
