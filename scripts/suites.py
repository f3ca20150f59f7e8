# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs suites side by side, keeps the output of each together, and counts.

A suite is a command whose last line of numbers is "N passed, N failed[, N skipped]", or `meson test`, or
any other command, which passes or fails as a whole. Suites of one lane run one after the other.
"""

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
MESON = {"Ok": "passed", "Expected Fail": "passed", "Fail": "failed", "Unexpected Pass": "failed",
         "Timeout": "failed", "Skipped": "skipped"}
TELL_SECONDS = 30  # after so long without a word, what is still running is told
TAIL_LINES = 60  # of a failed suite's output


@dataclass
class Suite:
    name: str
    command: list
    needs: tuple = ()  # names of suites without whose success this one is skipped
    env: dict = field(default_factory=dict)
    kind: str = "summary"  # or "meson", or "whole"
    nice: int = 0
    counted: bool = True  # False: a step on the way, counted only when it fails
    may_miss: str = ""  # what is skipped, and told, if it fails: it needs something from outside
    seconds: float = 900  # the most that it may take


@dataclass
class Result:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reason: str = ""
    seconds: float = 0
    busy: float = 0  # seconds of processor time

    @property
    def good(self):
        return self.failed == 0 and not self.reason


def counts(suite, status, text):
    """What the output says, or, if it says nothing, the exit status."""
    if status is None:
        return Result(failed=1, reason=f"it took longer than {suite.seconds:.0f} s")
    result = Result()
    if suite.kind == "meson":
        for key, name in MESON.items():
            if found := re.search(rf"^{key}: +(\d+)", text, re.M):
                setattr(result, name, getattr(result, name) + int(found[1]))
    elif suite.kind == "summary":
        if found := SUMMARY.findall(text):
            result = Result(*(int(number or 0) for number in found[-1]))
    elif status == 0:
        result.passed = 1
    if status != 0 and not result.failed:
        result.failed, result.reason = 1, f"exit status {status}"
    elif not (result.passed or result.failed or result.skipped):
        result.failed, result.reason = 1, "it ended without a result"
    return result


class Runner:
    def __init__(self, logs):
        self.logs = Path(logs)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.results = {}  # name -> Result, of those that have ended
        self.running = {}  # name -> (process or None, begin)
        self.changed = threading.Condition(self.lock)
        self.begin = self.told = time.monotonic()
        self.stopped = False

    def tell(self, text):
        self.told = time.monotonic()
        print(text, flush=True)

    def start(self, suite, log):
        words = (["nice", "-n", suite.nice] if suite.nice else []) + list(suite.command)
        process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, env=os.environ | suite.env, start_new_session=True)
        if suite.nice:  # where the kernel shares the processors between sessions first, a process' own niceness is
            try:        # one among those of its session only
                Path(f"/proc/{process.pid}/autogroup").write_text(str(suite.nice))
            except OSError:
                pass
        return process

    def progress(self, name, begin):
        """How long a suite has been running, and how far it is if it says so."""
        lines = (self.logs / f"{name}.log").read_bytes()[-2000:].decode(errors="replace").splitlines()
        steps = [found[0] for line in lines if (found := re.match(r"\[\d+/\d+\]", line))]
        return f"{name} {' '.join(steps[-1:])} {time.monotonic() - begin:.0f} s".replace("  ", " ")

    def run(self, suite):
        """Runs it to its end."""
        path = self.logs / f"{suite.name}.log"
        begin = time.monotonic()
        with path.open("wb") as log:
            try:
                process = self.start(suite, log)
            except OSError as error:
                return Result(failed=1, reason=str(error))
            with self.lock:
                self.running[suite.name] = (process, begin)
            status, busy = self.wait(process, begin + suite.seconds)
        result = counts(suite, status, path.read_text(errors="replace"))
        result.seconds, result.busy = time.monotonic() - begin, busy
        return result

    def wait(self, process, deadline):
        """(exit status, seconds of processor time, its children's included); (None, 0) when the time was over."""
        while time.monotonic() < deadline:
            try:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            except ChildProcessError:  # stop() has seen it end
                return process.returncode, 0
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage.ru_utime + usage.ru_stime
            time.sleep(0.05)
        self.end(process)
        return None, 0

    @staticmethod
    def end(process):
        """The processes of this one's session, which nobody else shares."""
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def stop(self):
        """Ends whatever runs; nothing is begun any more."""
        with self.lock:
            self.stopped = True
            processes = [process for process, _ in self.running.values() if process.poll() is None]
            self.changed.notify_all()
        for process in processes:
            self.end(process)

    def missing(self, suite):
        """Waits for what it needs; returns the name of what has failed, if anything has."""
        with self.lock:
            for need in suite.needs:
                while need not in self.results and not self.stopped:
                    self.changed.wait()
                if self.stopped or not self.results[need].good:
                    return need
        return None

    def report(self, suite, result):
        """One line; of a failure the output as well, in one piece."""
        lines = []
        if suite.may_miss and result.failed:
            tail = (self.logs / f"{suite.name}.log").read_text(errors="replace").strip().splitlines()
            result.failed, result.reason = 0, suite.may_miss
            lines += [f"SKIPPED {suite.may_miss}: {suite.name} has failed:", *("    " + line for line in tail[-5:])]
        elif result.failed:
            text = (self.logs / f"{suite.name}.log").read_text(errors="replace").splitlines()
            lines += [f"---- {suite.name} FAILED; the end of its output (all of it: {self.logs / suite.name}.log)",
                      *text[-TAIL_LINES:], f"---- end of {suite.name}"]
            failures = [line for line in text[:-TAIL_LINES] if line.startswith("FAIL")]
            lines[1:1] = failures
        elif result.skipped:
            text = (self.logs / f"{suite.name}.log").read_text(errors="replace").splitlines()
            lines += [line for line in text if re.match(r"(skip|SKIP|SKIPPED)\b", line)]
        numbers = f"{result.passed} passed, {result.failed} failed" + (
            f", {result.skipped} skipped" if result.skipped else "")
        lines.append(f"{'FAIL' if result.failed else 'ok  '} {suite.name}: " +
                     (numbers if suite.counted or result.failed else "done") +
                     (f": {result.reason}" if result.reason else "") + f" ({result.seconds:.0f} s, the processor {result.busy:.0f} s)")
        if not suite.counted:
            result.passed = 0
        self.tell("\n".join(lines))

    def lane(self, suites):
        for suite in suites:
            need = self.missing(suite)
            if self.stopped:
                return
            if need is not None:
                result = Result(skipped=1, reason=f"needs {need}")
                self.tell(f"SKIPPED {suite.name}: it needs {need}")
            else:
                result = self.run(suite)
                if self.stopped:
                    return
                self.report(suite, result)
            with self.lock:
                self.running.pop(suite.name, None)
                self.results[suite.name] = result
                self.changed.notify_all()

    def run_lanes(self, lanes):
        """True if nothing has failed. Each lane is a list of suites."""
        threads = [threading.Thread(target=self.lane, args=(suites,)) for suites in lanes]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.2)
                if time.monotonic() - self.told > TELL_SECONDS:
                    with self.lock:
                        still = [self.progress(name, begin) for name, (_, begin) in self.running.items()]
                    self.tell(f"     running: {', '.join(still)}")
        except BaseException:
            self.stop()
            for thread in threads:
                thread.join()
            raise
        return all(result.failed == 0 for result in self.results.values())

    def total(self):
        """The closing line."""
        passed, failed, skipped = (sum(getattr(result, key) for result in self.results.values())
                                   for key in ("passed", "failed", "skipped"))
        return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), failed
