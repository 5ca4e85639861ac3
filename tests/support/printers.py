"""Runs an actor and a task that print, and prints their ids as JSON. Then the actor keeps printing."""

import json
import os
import sys
import time

import ray

ray.init(log_to_driver=False)


@ray.remote(num_cpus=0)
class Printer:
    def print(self, text):
        print(text, flush=True)
        print("error", text, file=sys.stderr, flush=True)
        return os.getpid()


@ray.remote(num_cpus=0.01, max_retries=1, retry_exceptions=True)
def fails_once(path):
    print("attempt on", os.path.basename(path), flush=True)
    if not os.path.exists(path):
        open(path, "w").close()
        raise ValueError("on purpose")


printer = Printer.remote()
pid = ray.get(printer.print.remote("hello"))
task = fails_once.remote(sys.argv[1])
ray.get(task)
places = {
    "actor": printer._actor_id.hex(),
    "task": task.task_id().hex(),
    "node": ray.get_runtime_context().get_node_id(),
    "pid": pid,
}
print(json.dumps(places), flush=True)
count = 0
while True:
    ray.get(printer.print.remote(f"count {count}"))
    count += 1
    time.sleep(0.05)
