# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scripts/test runs: testing.py [--quick | --all [PART...]]

Builds come first; what plays (and waits) runs beside what computes. Build trees lie below build/ of the source
tree, logs in build/logs, the figures of single tests in build/report.jsonl. A part of --all that has passed
is noted in build/passed.jsonl, with the tree on which it has.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from suites import Runner, Suite

TOP = Path(__file__).resolve().parents[1]
OUT = TOP / "build"
GCC, ASAN, TSAN = OUT / "gcc", OUT / "asan", OUT / "tsan"
REPORT = OUT / "report.jsonl"
PASSED = OUT / "passed.jsonl"
PYTHON = "/usr/bin/python3"
PROCESSORS = os.cpu_count() or 1

# The sources of a library are compiled as one: half of the time. What is installed is built by scripts/demo, and by
# whoever packages it, one by one.
TOGETHER = ["--unity", "on", "--unity-size", "40"]

# Sanitized code is slow to compile as well: no more optimization than is needed to run it.
SANITIZED = ["-Dwerror=true", "-Db_lundef=false", "-Doptimization=1", "-Dcpp_args=-g1"]
TSAN_ENV = {"TSAN_OPTIONS": f"suppressions={TOP}/tests/tsan.supp halt_on_error=1 die_after_fork=0 atexit_sleep_ms=0"}
MUST = ["qemu-system-x86_64", "busybox", "cpio", "depmod"]  # of the kernel rig

FRONT, BACK = 0, 10  # niceness: of what plays, and of what computes beside it


def build(name, folder, *words, env=None, nice=BACK, needs=()):
    return Suite(name, [PYTHON, TOP / "scripts/build_tree.py", folder, *TOGETHER, *words],
                 kind="whole", env=env or {}, nice=nice, needs=needs, counted=False, seconds=3600)


def meson_test(name, folder, *words, **options):
    suites = [word for suite in words for word in ("--suite", suite)]
    multiplier = options.pop("multiplier", 1)
    jobs = options.pop("jobs", PROCESSORS)
    return Suite(name, ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "--num-processes", jobs,
                        "--timeout-multiplier", multiplier, *suites], kind="meson", **options)


def build_gcc():
    return build("build-gcc", GCC, "-Dwerror=true", nice=FRONT)


def unit(needs=("build-gcc",)):
    """Some of these wait for the most part."""
    return meson_test("unit", GCC, "unit", "libasound", "style", "rig", needs=needs, jobs=2 * PROCESSORS)


def e2e(*words, **options):
    return Suite("e2e", [PYTHON, TOP / "tests/e2e/run", "--build", GCC, "--report", REPORT, "--jobs", 3 * PROCESSORS,
                         *words], **({"needs": ("build-gcc",)} | options))


def stress(seconds, **options):
    return Suite("stress", [PYTHON, TOP / "tests/stress/run", "--build", GCC, "--report", REPORT, "--seconds", seconds],
                 **({"needs": ("build-gcc",), "seconds": 3 * seconds + 300} | options))


def simulation(seconds, jobs=1, **options):
    """Fresh seeds; the fixed ones are meson's test."""
    seed = random.SystemRandom().randrange(10**9)
    return Suite("sim-fresh", [GCC / "tests/sim/sim_run", "--seed", seed, "--for", seconds, "--jobs", jobs],
                 **({"kind": "whole", "needs": ("build-gcc",), "seconds": 2 * seconds + 300} | options))


def simulated():
    return (TOP / "tests/sim/meson.build").exists()


def sanitizer_suites(needs=()):
    """Address and undefined behaviour with gcc; threads with clang: that is the second compiler as well."""
    suites = [
        build("build-asan", ASAN, "--suite", "unit", "--suite", "fuzz", "-Db_sanitize=address,undefined", *SANITIZED,
              needs=needs),
        meson_test("asan", ASAN, "unit", "fuzz", multiplier=4, nice=BACK, needs=("build-asan",)),
    ]
    if not shutil.which("clang++-14"):
        return suites + [missing("tsan", "clang-14 is not installed")]
    return suites + [
        build("build-tsan", TSAN, "--suite", "threads", "-Db_sanitize=thread", *SANITIZED, env={"CXX": "clang++-14"},
              needs=needs),
        meson_test("tsan", TSAN, "threads", multiplier=8, nice=BACK, env=TSAN_ENV, jobs=2 * PROCESSORS,
                   needs=("build-tsan",)),
    ]


def missing(name, reason):
    """A suite that cannot run here: counted as skipped, with the reason."""
    return Suite(name, ["sh", "-c", f"echo 'SKIPPED {name}: {reason}'; echo '0 passed, 0 failed, 1 skipped'"])


def kernel_suites(*scenarios):
    lacking = [program for program in MUST if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    if lacking:
        return [missing("kernel", f"not installed: {' '.join(lacking)}")]
    return [
        Suite("kernel-package", [TOP / "tests/kernel/rig-prepare"], kind="whole", counted=False, seconds=600,
              may_miss="the kernel rig: Debian's kernel could not be had"),
        Suite("kernel", [PYTHON, TOP / "tests/kernel/run-all", "--build", GCC, "--report", REPORT, *scenarios],
              needs=("kernel-package", "build-gcc"), nice=FRONT, seconds=1800),
    ]


def model_check():
    """Of the model itself, only whether it is the one that was searched."""
    run = TOP / "tests/model/run"
    return [Suite("model", [run, "--check"], kind="whole", nice=BACK)] if "--check" in run.read_text() else []


def quick_lanes():
    playing = [build_gcc(), unit(), e2e("--quick")]
    computing = [meson_test("sim", GCC, "sim", needs=("build-gcc",), nice=BACK)] if simulated() else []
    return [playing, computing, model_check()]


def usual_lanes():
    playing = [build_gcc(), unit(), e2e(), stress(20),
               Suite("demo", [TOP / "scripts/demo", "--virtual", "--build", GCC], kind="whole", needs=("build-gcc",))]
    computing = []
    if simulated():  # fixed seeds; fresh ones are in --all, where somebody looks at what they find
        computing += [meson_test("sim", GCC, "sim", needs=("build-gcc",), nice=BACK)]
    computing += sanitizer_suites(needs=("build-gcc",))
    computing += [Suite("neon", [TOP / "tests/kernels/neon-test", OUT / "aarch64"], nice=BACK), *model_check()]
    return [playing, computing, kernel_suites(*KERNEL_USUAL)]


# One of each card, format and period, and one without its server; the rest in --all.
KERNEL_USUAL = ["ringmix-aloop-S32_LE-256", "ringmix-aloop-FLOAT_LE-1024", "ringmix-hda-S16_LE-256",
                "server-killed-aloop-S32_LE-1024"]

# The long runs, and the minutes that they take on two processors.
PARTS = {
    "usual": (12, lambda: usual_lanes()),
    "model": (10, lambda: [[Suite("model", [TOP / "tests/model/run", "--report", REPORT], seconds=3600)]]),
    "simulation": (32, lambda: [[build_gcc(), meson_test("sim", GCC, "sim", needs=("build-gcc",)),
                                 simulation(1800, jobs=PROCESSORS)]]),
    "stress": (10, lambda: [[build_gcc(), stress(480)]]),
    "kernel": (8, lambda: [[build_gcc()], kernel_suites()]),
    "sanitizers": (8, lambda: [sanitizer_suites()]),
    "mutants": (12, lambda: [[Suite("mutants", [PYTHON, TOP / "tests/mutants/run"], seconds=5400)]]),
}


def tree_hash():
    """Git's name for the source tree as it is now, changes included; None outside of git."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"GIT_INDEX_FILE": f"{folder}/index", "GIT_OBJECT_DIRECTORY": f"{folder}/objects"}
        git = ["git", "-c", f"safe.directory={TOP}", "-C", TOP]
        try:
            objects = subprocess.run([*git, "rev-parse", "--git-path", "objects"], capture_output=True, text=True,
                                     check=True).stdout.strip()
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str((TOP / objects).resolve())
            os.mkdir(f"{folder}/objects")
            subprocess.run([*git, "add", "-A", "."], env=env, check=True, capture_output=True)
            return subprocess.run([*git, "write-tree"], env=env, check=True, capture_output=True,
                                  text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None


def run_parts(parts):
    """Each by itself. Returns the closing line and how many have failed."""
    passed = failed = skipped = 0
    for part in parts:
        minutes, lanes = PARTS[part]
        print(f"\n== {part} (about {minutes} minutes)", flush=True)
        before, begin = tree_hash(), time.monotonic()
        runner = Runner(OUT / "logs")
        good = runner.run_lanes(lanes())
        print(f"{part}: {runner.total()[0]}", flush=True)
        for result in runner.results.values():
            passed, failed, skipped = passed + result.passed, failed + result.failed, skipped + result.skipped
        if good and before == tree_hash():
            line = {"part": part, "tree": before, "date": time.strftime("%Y-%m-%d %H:%M:%S"),
                    "seconds": round(time.monotonic() - begin), "result": runner.total()[0]}
            with PASSED.open("a") as file:
                file.write(json.dumps(line) + "\n")
    tell_passed(before)
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), failed


def tell_passed(tree):
    """Which parts have passed on this tree, now or before."""
    lines = [json.loads(line) for line in PASSED.read_text().splitlines()] if PASSED.exists() else []
    found = {line["part"] for line in lines if line["tree"] == tree}
    print(f"\nhave passed on tree {tree}: {' '.join(part for part in PARTS if part in found) or 'none'}")
    print(f"not yet: {' '.join(part for part in PARTS if part not in found) or 'none'}")


def build_env():
    """For programs that look for the plugin and the server in the build tree."""
    return os.environ | {"ALSA_CONFIG_PATH": str(GCC / "alsa-conf/devenv.conf"),
                         "RINGMIX_SERVER": str(GCC / "server/ringmixd")}


def run_usual(quick):
    runner = Runner(OUT / "logs")
    runner.run_lanes(quick_lanes() if quick else usual_lanes())
    if quick:
        print("\nleft out by --quick: the sanitizers and the second compiler, the kernels for ARM, the real kernel in "
              "QEMU, the demo, most of the end-to-end and stress tests, fresh seeds for the simulator")
    else:
        print("\n== figures", flush=True)
        subprocess.run([PYTHON, TOP / "scripts/figures.py", REPORT, GCC], stdin=subprocess.DEVNULL, env=build_env())
    return runner.total()


def main():
    words = sys.argv[1:]
    quick, everything = words == ["--quick"], words[:1] == ["--all"]
    unknown = [word for word in words[1:] if word not in PARTS] if everything else words[0 if not quick else 1:]
    if unknown:
        print(f"usage: scripts/test [--quick | --all [PART...]]; parts: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("scripts/test was ended by a signal"))
    OUT.mkdir(exist_ok=True)
    REPORT.write_text("")
    begin = time.monotonic()
    line, failed = run_parts(words[1:] or list(PARTS)) if everything else run_usual(quick)
    seconds = round(time.monotonic() - begin)
    print(f"\n({seconds // 60} min {seconds % 60} s)\n{line}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
