"""Runs a real Ray head on loopback for as long as standard input is open.

At first use, installs the pinned Ray into a virtual environment in the target folder. Starts a head on
free ports, prints one line of JSON about it, and then reads one command per line:

    kill-dashboard     kill the dashboard process
    start-dashboard    start it again in the same way
    start-node         start a second node (127.0.0.3, with the resource `second`)
    kill-node          kill that node's raylet and all its descendants

Each command prints one line of JSON. When standard input ends, for example because the parent ended,
kills every process that it started, and no other.
"""

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HEAD_IP, NODE_IP = "127.0.0.2", "127.0.0.3"
PR_SET_CHILD_SUBREAPER = 36


def say(text):
    print(f"[ray] {text}", file=sys.stderr, flush=True)


class Unavailable(Exception):
    """This Ray has no package for any Python of this machine."""


def virtual_environment(target, version):
    """Returns the python of an environment with this Ray. Creates it under a lock if it is missing."""
    name = f"ray-{version}"
    folder = target / name
    target.mkdir(parents=True, exist_ok=True)
    with open(target / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / "ready"
        if not ready.exists():
            say(f"installing Ray {version} into {folder} (about half a minute, once)")
            install(folder, f"ray[default,serve]=={version}")
            ready.touch()
    return folder / "bin" / "python"


def install(folder, ray):
    # An old Ray has no wheel for a new Python, but the machine may have an older Python.
    others = filter(None, (shutil.which(f"python3.{minor}") for minor in (12, 11, 10, 9)))
    for python in (sys.executable, *others):
        shutil.rmtree(folder, ignore_errors=True)
        made = subprocess.run([python, "-m", "venv", folder], stdout=sys.stderr)
        if made.returncode:
            continue
        pip = [folder / "bin" / "pip", "--disable-pip-version-check", "install", "--quiet"]
        # Ray before 2.10 imports pkg_resources, which newer setuptools lack.
        pip += ["--only-binary", "ray", ray, "setuptools<70"]
        if "==2.49." in ray:
            # Its Serve uses an attribute that newer protobuf lacks.
            pip.append("protobuf<7")
        done = subprocess.run(pip, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
        if not done.returncode:
            return
        if "No matching distribution found for ray" not in done.stderr:
            raise RuntimeError(f"pip cannot install {ray}:\n{done.stderr}")
    raise Unavailable(f"{ray} has no package for the Pythons of this machine")


def free_ports(count):
    """Returns ports that are free on every address.

    They are below the ports that systems give to connections and to listeners without a port of their
    own: one of those could take a port in the seconds until Ray listens.
    """
    with contextlib.ExitStack() as sockets:
        ports = []
        while len(ports) < count:
            one = sockets.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind(("", random.randrange(20000, 32768)))
                ports.append(one.getsockname()[1])
        return ports


def processes():
    """Returns the parent and command line of every process, by id."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(entry.path, "stat").read_text()
                command = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                found[int(entry.name)] = (int(stat.rsplit(")", 1)[1].split()[1]), command)
    return found


def below(ancestor):
    """Returns the descendants of a process. This process adopts those whose parent ended."""
    found = processes()
    family, grew = {ancestor}, True
    while grew:
        more = {pid for pid, (parent, _) in found.items() if parent in family} - family
        family |= more
        grew = bool(more)
    return {pid: found[pid][1] for pid in family - {ancestor} if pid in found}


def end(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end_all():
    while running := below(os.getpid()):
        end(running)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


class Head:
    def __init__(self, python, folder, options):
        self.python, self.folder, self.options = python, folder, options
        self.dashboard = None

    def ray(self, *arguments):
        """Runs `ray` in a folder without files that Python could import instead of the package."""
        path = f"{self.python.parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "RAY_TMPDIR": str(self.folder)}
        # By default, Ray 2.60 requires a token if ~/.ray/auth_token exists, and any `ray.init()` that
        # starts a cluster creates that file.
        env["RAY_AUTH_MODE"] = "disabled"
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_JOB_HEADERS"):
            env.pop(name, None)
        env.update(option.split("=", 1) for option in self.options.env)
        command = [self.python, "-m", "ray.scripts.scripts", *arguments]
        done = subprocess.run(
            command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if done.returncode:
            raise RuntimeError(f"ray {arguments[0]} failed:\n{done.stdout}")

    def start(self):
        gcs, dashboard, agent, agent_grpc, client, metrics, runtime_env = free_ports(7)
        self.gcs, self.port = f"{HEAD_IP}:{gcs}", dashboard
        self.ray(
            "start", "--head", "--node-ip-address", HEAD_IP, "--port", str(gcs),
            "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard),
            "--dashboard-agent-listen-port", str(agent),
            "--dashboard-agent-grpc-port", str(agent_grpc),
            "--ray-client-server-port", str(client), "--metrics-export-port", str(metrics),
            "--runtime-env-agent-port", str(runtime_env),
            "--min-worker-port", "0", "--max-worker-port", "0",
            "--num-cpus", "4", "--object-store-memory", "200000000", "--disable-usage-stats",
        )  # fmt: skip
        self.wait_until_answered(f"http://127.0.0.1:{dashboard}/api/version")
        self.wait_until_answered(f"http://{HEAD_IP}:{agent}/api/local_raylet_healthz")
        return {
            "address": f"http://127.0.0.1:{dashboard}",
            "gcs": self.gcs,
            "python": str(self.python),
            "logs": str((self.folder / "ray" / "session_latest" / "logs").resolve()),
        }

    def wait_until_answered(self, url):
        token = [o.split("=", 1)[1] for o in self.options.env if o.startswith("RAY_AUTH_TOKEN=")]
        headers = {"Authorization": f"Bearer {token[0]}"} if token else {}
        deadline = time.monotonic() + 60
        while True:
            try:
                return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5)
            except OSError as error:
                refused = getattr(error, "code", None) in (401, 403)
                if refused or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def kill_dashboard(self):
        (pid, command), = (
            (pid, command)
            for pid, command in below(os.getpid()).items()
            if any(part.endswith(b"dashboard/dashboard.py") for part in command)
        )
        environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        self.dashboard = ([part for part in command if part], dict(e.split(b"=", 1) for e in environ if e))
        end([pid])
        while Path(f"/proc/{pid}").exists():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.005)
        return {"killed": pid}

    def start_dashboard(self):
        command, environ = self.dashboard
        quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        child = subprocess.Popen(command, env=environ, cwd=self.folder, start_new_session=True, **quiet)
        return {"started": child.pid}

    def start_node(self):
        before = set(below(os.getpid()))
        agent, agent_grpc, metrics, runtime_env = free_ports(4)
        self.ray(
            "start", "--address", self.gcs, "--node-ip-address", NODE_IP, "--num-cpus", "2",
            "--resources", '{"second": 1000}', "--dashboard-agent-listen-port", str(agent),
            "--dashboard-agent-grpc-port", str(agent_grpc), "--metrics-export-port", str(metrics),
            "--runtime-env-agent-port", str(runtime_env),
            "--min-worker-port", "0", "--max-worker-port", "0",
            "--object-store-memory", "100000000", "--disable-usage-stats",
        )  # fmt: skip
        self.wait_until_answered(f"http://{NODE_IP}:{agent}/api/local_raylet_healthz")
        self.raylet, = (
            pid
            for pid, command in below(os.getpid()).items()
            if pid not in before and command[0].endswith(b"raylet/raylet")
        )
        return {"raylet": self.raylet}

    def kill_node(self):
        end([self.raylet, *below(self.raylet)])
        return {"killed": self.raylet}


def start(head):
    for attempts_left in (2, 1, 0):
        try:
            return head.start()
        except (RuntimeError, OSError) as error:
            # A free port may have been taken in the meantime.
            end_all()
            if not attempts_left:
                raise
            say(f"trying once more: {error}")


def answer(value):
    print(json.dumps(value), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--ray", default="2.60.0")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--only-install", action="store_true", help="start nothing")
    options = parser.parse_args()

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        python = virtual_environment(options.target.resolve(), options.ray)
    except Unavailable as why:
        say(f"skipping what needs it: {why}")
        return answer({"unavailable": str(why)})
    if options.only_install:
        return answer({"python": str(python)})
    # Short, because Ray creates sockets in it, whose paths are limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="rc-"))
    try:
        say(f"starting Ray {options.ray} (a few seconds)")
        head = Head(python, folder, options)
        answer(start(head))
        for line in sys.stdin:
            command = getattr(head, line.strip().replace("-", "_"))
            try:
                answer(command())
            except Exception as error:
                answer({"error": repr(error)})
    finally:
        end_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
