"""Writes entries of jobs that are over, as Ray's job manager does: `jobs.py GCS COUNT NODE`."""

import asyncio
import sys
import time

from ray._raylet import GcsClient
from ray.dashboard.modules.job.common import JobInfo, JobInfoStorageClient
from ray.job_submission import JobStatus

gcs, count, node = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jobs = JobInfoStorageClient(GcsClient(address=gcs))


async def write(number):
    now = int(time.time() * 1000)
    info = JobInfo(
        status=JobStatus.SUCCEEDED,
        entrypoint=f"python main.py --part {number}",
        message="Job finished successfully.",
        start_time=now - 60_000,
        end_time=now,
        metadata={"part": str(number), "job_submission_id": f"bench_{number:010}"},
        runtime_env={"env_vars": {"PART": str(number)}},
        driver_agent_http_address="http://127.0.0.2:52365",
        driver_node_id=node,
        driver_exit_code=0,
    )
    await jobs.put_info(f"bench_{number:010}", info)


async def write_all():
    for begin in range(0, count, 100):
        await asyncio.gather(*(write(n) for n in range(begin, min(begin + 100, count))))


asyncio.run(write_all())
print("null")
