"""Packs local code with Ray's own client: for each case of standard input, prints names and contents.

A case is `{"path", "role", "excludes", "zip"}`; `zip` is a package of another client, or null. The result
is `{"uri", "entries", "others"}`, with the entries of that package as `others`, or `{"error"}`.
"""

import json
import logging
import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

from ray._private.runtime_env import packaging
from ray._private.runtime_env.py_modules import upload_py_modules_if_needed
from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

WITH_GITIGNORE = os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "0") != "1"


def entries(archive):
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return {
            entry.filename: [entry.external_attr, entry.file_size, entry.CRC]
            for entry in opened.infolist()
        }


def judge(case):
    found = {}
    is_working_dir = case["role"] == "working_dir"

    def upload(path, excludes, is_file=False):
        if is_file:
            return
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "package.zip")
            packaging.create_package(
                path, target, WITH_GITIGNORE, not is_working_dir, excludes, logging.getLogger("quiet")
            )
            found["entries"] = entries(target)

    if is_working_dir:
        env = {"working_dir": case["path"], "excludes": case["excludes"]}
        upload_working_dir_if_needed(env, WITH_GITIGNORE, upload_fn=upload)
        found["uri"] = env["working_dir"]
    else:
        env = {"py_modules": [case["path"]], "excludes": case["excludes"]}
        upload_py_modules_if_needed(env, WITH_GITIGNORE, upload_fn=upload)
        found["uri"], = env["py_modules"]
    if case["zip"]:
        found["others"] = entries(case["zip"])
    return found


def answer(case):
    try:
        return judge(case)
    except Exception as error:
        return {"error": repr(error)}


logging.disable()
warnings.simplefilter("ignore")
json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
