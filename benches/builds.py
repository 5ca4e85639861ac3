"""What this library adds to a build from scratch, beside what could be taken instead.

    python3 benches/builds.py [--runs 3] [--jobs 2] [NAME...]

Each is the only dependency of an empty program, in a temporary folder with a target of its own. What crates.io
has to give is downloaded before the clock starts.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
OURS = f'ray-client = {{ path = "{HERE}", default-features = false, features = [%s] }}'
JSON = 'serde = { version = "1", features = ["derive"] }\nserde_json = "1"'
REQWEST = 'reqwest = {{ version = "=0.13.5", default-features = false, features = ["blocking", "json"{}] }}'
TUNGSTENITE = 'tungstenite = {{ version = "=0.30.0"{} }}'

# By name: the dependencies, as Cargo.toml has them.
PROJECTS = {
    "ray-client": OURS % "",
    "ray-client, tls": OURS % '"tls"',
    "ray-client, tls, packages": OURS % '"tls", "packages"',
    "reqwest, tungstenite": "\n".join((REQWEST.format(""), TUNGSTENITE.format(""), JSON)),
    "reqwest, tungstenite, tls": "\n".join((
        REQWEST.format(', "rustls"'),
        TUNGSTENITE.format(', features = ["rustls-tls-webpki-roots"]'),
        JSON,
    )),
    "ray-dashboard-sdk": 'ray-dashboard-sdk = "=0.4.0"',
}


def cargo(folder, *arguments):
    done = subprocess.run(["cargo", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def measure(dependencies, options):
    """Seconds of each build, and how many crates are compiled."""
    with tempfile.TemporaryDirectory(prefix="ray-client-builds-") as name:
        folder = Path(name)
        (folder / "src").mkdir()
        (folder / "src" / "main.rs").write_text("fn main() {}\n")
        (folder / "Cargo.toml").write_text(
            '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\n'
            f"{dependencies}\n\n[workspace]\n"
        )
        cargo(folder, "fetch")
        tree = cargo(folder, "tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}")
        # The first line is the empty program. A crate that was shown before has a mark.
        crates = {line.removesuffix(" (*)") for line in tree.splitlines()[1:] if line}
        seconds = []
        for number in range(options.runs):
            start = time.monotonic()
            target = folder / f"target-{number}"
            cargo(folder, "build", "--release", "--jobs", str(options.jobs), "--offline", "--target-dir", str(target))
            seconds.append(time.monotonic() - start)
        return seconds, len(crates)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="all if none is given")
    parser.add_argument("--runs", type=int, default=3, help="0 only counts the crates")
    parser.add_argument("--jobs", type=int, default=2, help="of cargo at once")
    options = parser.parse_args()
    print("| dependency | crates | best | median |\n|---|---|---|---|")
    for name, dependencies in PROJECTS.items():
        if options.names and name not in options.names:
            continue
        try:
            seconds, crates = measure(dependencies, options)
        except (OSError, RuntimeError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            print(f"| {name} | left out: it cannot be built here |", flush=True)
            continue
        times = f"{min(seconds):.1f} s | {statistics.median(seconds):.1f} s" if seconds else "|"
        print(f"| {name} | {crates} | {times} |", flush=True)


if __name__ == "__main__":
    main()
