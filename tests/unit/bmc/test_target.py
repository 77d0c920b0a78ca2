"""What is known of a BMC, and shown of it."""

import json

from api.bmc.target import BmcResult
from api.states import PowerState
from tests.unit.bmc.fake_client import TARGET


def test_password_does_not_show() -> None:
    assert TARGET.password not in repr(TARGET)
    assert TARGET.username in repr(TARGET)


def test_result_is_what_tasks_answer() -> None:
    result = BmcResult("n-one", False, "is busy", "bmc_busy", PowerState.ON)

    expected = {"node": "n-one", "ok": False, "reason": "bmc_busy", "message": "is busy"}
    assert json.loads(json.dumps(result.as_dict())) == expected
