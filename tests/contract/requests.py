"""One good request for each action."""

from collections.abc import Callable
from typing import Any

from tests.contract.conftest import Api

Fields = dict[str, Any]


def good_requests(api: Api, node_id: str, failed_job: str) -> dict[str, Callable[[], Fields]]:
    """Per action: what to send for it to be done. Each belongs to a database of its own."""
    return {
        "DescribeNodes": dict,
        "AddNodes": lambda: {"ip_start": "10.10.10.10", "ip_end": "10.10.10.12"},
        "DeleteNodes": lambda: {"node_ids": [node_id]},
        "CollectNodes": lambda: {"node_ids": [node_id]},
        "ModifyNodeAttributes": lambda: {"node_id": node_id, "data_disks": "vdc", "status": 0},
        "GetStatus": lambda: {"job_action": "CollectNodes", "job_id": failed_job},
        "GetLog": lambda: {"job_action": "CollectNodes", "job_id": failed_job},
        "DescribeJobs": dict,
        "CancelJob": lambda: {"job_id": api.call("RetryJob", job_id=failed_job)["job_id"]},
        "RetryJob": lambda: {"job_id": failed_job},
        "DescribeUsers": dict,
        "CreateUser": lambda: {"user_id": "bob", "password": api.password("a new long password")},
        "ModifyUserAttributes": lambda: {"user_id": "viewer", "role": "operator"},
        "DeleteUsers": lambda: {"user_ids": ["viewer"]},
    }
