"""Serve applications for tests and examples; a head whose PYTHONPATH has this folder can run them."""

import os

from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 0.01})
class Echo:
    """Answers with the arguments that it was built with, and with its secret."""

    def __init__(self, args):
        self.args = args

    def __call__(self, request):
        return {"args": self.args, "secret": os.environ.get("SECRET"), "pid": os.getpid()}


def echo(args):
    return Echo.bind(args)


@serve.deployment(ray_actor_options={"num_cpus": 0.01}, autoscaling_config={"min_replicas": 0})
class Idle:
    """Has no process before the first request."""

    def __call__(self, request):
        return "woken"


idle = Idle.bind()
