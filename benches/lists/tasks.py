"""Runs many small tasks: `tasks.py COUNT`."""

import sys

import ray

ray.init(log_to_driver=False)


@ray.remote(num_cpus=1)
def work(number):
    return number


left = int(sys.argv[1])
while left:
    count = min(left, 1000)
    ray.get([work.remote(n) for n in range(count)])
    left -= count
