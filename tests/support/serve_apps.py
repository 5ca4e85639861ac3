"""Serve applications for tests and examples. A head needs this folder in its PYTHONPATH to run them."""

import os
import time

from ray import serve

SMALL = {"num_cpus": 0.01}


@serve.deployment(ray_actor_options=SMALL)
class Echo:
    """Responds with its arguments, its `user_config` and its secret."""

    def __init__(self, args):
        self.args = args
        self.config = None

    def reconfigure(self, config):
        self.config = config

    def __call__(self, request):
        config = repr(self.config)
        return {
            "args": self.args, "config": config, "secret": os.environ.get("SECRET"), "pid": os.getpid()
        }  # fmt: skip


def echo(args):
    return Echo.bind(args)


# `serve build` generated `serve_build.yaml` from this application and `idle`.
built = Echo.options(user_config={"labels": ["yes", "1"], "threshold": 0.5}).bind({})


@serve.deployment(ray_actor_options=SMALL, autoscaling_config={"min_replicas": 0})
class Idle:
    """Has no process until the first request."""

    def __call__(self, request):
        return "woken"


idle = Idle.bind()


@serve.deployment(ray_actor_options=SMALL)
class Broken:
    """Fails in its constructor."""

    def __init__(self):
        raise ValueError("no model at gs://models")


broken = Broken.bind()


@serve.deployment(ray_actor_options=SMALL, graceful_shutdown_timeout_s=60)
class Slow:
    """Takes a given number of seconds to stop."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __del__(self):
        time.sleep(self.seconds)


def slow(args):
    return Slow.bind(args["seconds"])
