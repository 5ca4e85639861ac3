"""Creates state for the state API, prints that it is ready, and runs until it is stopped.

The state is 200 tasks, of which 5 fail, 3 tasks that are retried once, a named actor, a killed actor,
a placement group, objects and a runtime environment.
"""

import os
import sys
import tempfile
import time

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

marker = sys.argv[1]
ray.init(log_to_driver=False, namespace=marker, runtime_env={"env_vars": {"MARKER": marker}})


@ray.remote(num_cpus=0.01, max_retries=0)
def work(number):
    if number % 40 == 7:
        raise ValueError(f"task {number} fails")
    return number


@ray.remote(num_cpus=0.01, max_retries=1, retry_exceptions=True)
def flaky(folder):
    if not os.path.exists(folder):
        os.mkdir(folder)
        raise RuntimeError("the first attempt fails")


@ray.remote(num_cpus=0.01)
class Speaker:
    def __repr__(self):
        return "Speaker(loud)"

    def say(self, text):
        print(text)
        return ray.put(text.encode() * 100_000)


def outcome(reference):
    try:
        return ray.get(reference)
    except Exception as error:
        return error


# One task at a time needs only one worker.
for number in range(200):
    outcome(work.options(name="first").remote(number) if number == 0 else work.remote(number))
with tempfile.TemporaryDirectory() as folder:
    for number in range(3):
        outcome(flaky.remote(os.path.join(folder, str(number))))

group = ray.util.placement_group([{"CPU": 0.05}, {"CPU": 0.05}], name=marker)
ray.get(group.ready())
place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=1)
speaker = Speaker.options(name=marker, scheduling_strategy=place).remote()
said = ray.get(speaker.say.remote(f"hello {marker}"))
mine = ray.put(b"x" * 300_000)
killed = Speaker.remote()
ray.get(killed.say.remote("and gone"))
ray.kill(killed)
print("ready", ray.get_runtime_context().get_job_id(), flush=True)
time.sleep(600)
