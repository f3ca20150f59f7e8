#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""build_tree.py DIR [--suite NAME]... [MESON OPTION...]: configures a build once, builds what the suites need.

Without --suite: everything.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", f"--{what}", build], capture_output=True, text=True,
                                     check=True).stdout)


def targets_of(build, suites):
    """What ninja has to make so that the tests of these suites can run."""
    files = {target["id"]: os.path.relpath(target["filename"][0], build) for target in introspect(build, "targets")}
    wanted = []
    for test in introspect(build, "tests"):
        if any(suite.partition(":")[2] in suites for suite in test["suite"]):
            wanted += [files[target] for target in test["depends"]]
    return list(dict.fromkeys(wanted))


def main():
    arguments = sys.argv[1:]
    build, suites, options = Path(arguments.pop(0)).resolve(), [], []
    while arguments:
        word = arguments.pop(0)
        if word == "--suite":
            suites.append(arguments.pop(0))
        else:
            options.append(word)
    if not (build / "build.ninja").exists():
        build.parent.mkdir(parents=True, exist_ok=True)
        if status := subprocess.run(["meson", "setup", build, TOP, *options]).returncode:
            return status
    else:  # the list of tests must be today's
        if status := subprocess.run(["ninja", "-C", build, "build.ninja"]).returncode:
            return status
    targets = targets_of(build, suites) if suites else ["all"]
    if not targets:
        return 0
    return subprocess.run(["ninja", "-C", build, *targets], env=os.environ | {"NINJA_STATUS": "[%f/%t] "}).returncode


if __name__ == "__main__":
    sys.exit(main())
