"""One good request for each action."""

from collections.abc import Callable
from typing import Any

from api.store.session import open_database
from tests.contract.conftest import Api
from tests.machines import a_range, asked, plant_images

Fields = dict[str, Any]


def good_requests(api: Api, node_id: str, failed_job: str) -> dict[str, Callable[[], Fields]]:
    """Per action: what to send for it to be done. Each belongs to a database of its own."""

    def machine() -> str:
        node_ids: list[str] = api.call("RegisterBMNodes", **asked())["node_ids"]
        return node_ids[0]

    def installable() -> str:
        engine = open_database(api.settings.database)
        plant_images(engine, api.settings.images)
        engine.dispose()
        return machine()

    def installation() -> str:
        job_id: str = api.call("ProvisionBMNodes", node_ids=[installable()])["job_id"]
        return job_id

    def scan() -> str:
        job_id: str = api.call("ScanBMNodes", node_ids=[machine()])["job_id"]
        return job_id

    def webhook() -> str:
        made = api.call("CreateWebhook", url="https://192.0.2.1/hook", events=["job_ended"])
        webhook_id: str = made["webhook_id"]
        return webhook_id

    return {
        "DescribeNodes": dict,
        "AddNodes": lambda: {"ip_start": "10.10.10.10", "ip_end": "10.10.10.12"},
        "DeleteNodes": lambda: {"node_ids": [node_id]},
        "CollectNodes": lambda: {"node_ids": [node_id]},
        "ModifyNodeAttributes": lambda: {"node_id": node_id, "data_disks": "vdc", "status": 0},
        "DescribeBMNodes": dict,
        "RegisterBMNodes": asked,
        "DeleteBMNodes": lambda: {"node_ids": [machine()]},
        "ModifyBMNodeAttributes": lambda: {"node_id": machine(), "hostname": "another"},
        "PowerOnBMNodes": lambda: {"node_ids": [machine()]},
        "PowerOffBMNodes": lambda: {"node_ids": [machine()], "soft": 1},
        "RebootBMNodes": lambda: {"node_ids": [machine()]},
        "GetBMNodesPower": lambda: {"node_ids": [machine()], "refresh": 1},
        "ProvisionBMNodes": lambda: {"node_ids": [installable()]},
        "GetProvisionBMNodesStatus": lambda: {"job_id": installation()},
        "GetProvisionBMNodesLog": lambda: {"job_id": installation()},
        "InspectBMNodes": lambda: {"node_ids": [installable()]},
        "ScanBMNodes": a_range,
        "GetScanBMNodesStatus": lambda: {"job_id": scan()},
        "GetScanBMNodesLog": lambda: {"job_id": scan()},
        "GetStatus": lambda: {"job_action": "CollectNodes", "job_id": failed_job},
        "GetLog": lambda: {"job_action": "CollectNodes", "job_id": failed_job},
        "DescribeJobs": dict,
        "CancelJob": lambda: {"job_id": api.call("RetryJob", job_id=failed_job)["job_id"]},
        "RetryJob": lambda: {"job_id": failed_job},
        "DescribeUsers": dict,
        "CreateUser": lambda: {"user_id": "bob", "password": api.password("a new long password")},
        "ModifyUserAttributes": lambda: {"user_id": "viewer", "role": "operator"},
        "DeleteUsers": lambda: {"user_ids": ["viewer"]},
        "CreateWebhook": lambda: {"url": "https://192.0.2.1/hook", "events": ["job_ended"]},
        "DescribeWebhooks": dict,
        "DeleteWebhooks": lambda: {"webhook_ids": [webhook()]},
        "DescribeAudit": dict,
    }
