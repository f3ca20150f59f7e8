# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts servers and players, and asks them how they are.

Each test gets a Context: a private folder, a seeded random generator, the build under test. A Server is
a context manager: leaving it sends SIGTERM and requires a clean end.
"""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wire import Wire


class Failure(Exception):
    """The test has found something wrong."""


class Underrun(Failure):
    """A player ran dry that should not have: something is wrong, or the machine was too busy."""


class Skip(Exception):
    """The test cannot be made here."""


@dataclass(frozen=True)
class Scenario:
    name: str
    function: Callable  # of a Context; returns its figures, or raises Failure or Skip
    quick: bool  # part of --quick
    alone: bool  # takes all of the machine: nothing else runs beside it


SCENARIOS = []


def scenario(name, quick=True, alone=False):
    """Registers a test."""

    def register(function):
        SCENARIOS.append(Scenario(name, function, quick, alone))
        return function

    return register


class Canary(threading.Thread):
    """Notices how late the machine wakes those who sleep: what it does then says nothing about ringmix."""

    def __init__(self):
        super().__init__(daemon=True)
        self.late = []  # (moment, seconds)
        self.start()

    def run(self):
        while True:
            before = time.monotonic()
            time.sleep(0.005)
            now = time.monotonic()
            if now - before > 0.015:
                self.late.append((now, now - before - 0.005))

    def latest(self, since):
        """The most that somebody was woken too late since then, in seconds."""
        return max((seconds for moment, seconds in list(self.late) if moment >= since), default=0.0)


def require(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(condition, timeout, what, interval=0.01):
    """Returns the condition's first true value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {timeout} s in vain: {what}")
        time.sleep(interval)


class Context:
    def __init__(self, build, folder, shop, seed, quick, canary=None):
        self.build, self.folder, self.shop, self.quick = Path(build).resolve(), folder, shop, quick
        self.canary, self.begin = canary, time.monotonic()
        self.random = random.Random(seed)
        self.socket = folder / "s.sock"
        self.processes = []
        self.settings = 0

    @property
    def server_program(self):
        return self.build / "server" / "ringmixd"

    @property
    def ctl_program(self):
        return self.build / "server" / "ctl" / "ringmixctl"

    @property
    def plugin(self):
        return self.build / "plugin" / "libasound_module_pcm_ringmix.so"

    def environment(self, **changes):
        """For clients and servers; a change to None takes a variable away."""
        result = dict(os.environ, LC_ALL="C", ALSA_CONFIG_PATH=str(self.build / "alsa-conf" / "devenv.conf"),
                      RINGMIX_SERVER=str(self.server_program), RINGMIX_SOCKET=str(self.socket))
        result.update(changes)
        return {key: str(value) for key, value in result.items() if value is not None}

    def machine_late(self):
        """How late the machine has woken somebody during this test, in seconds."""
        return self.canary.latest(self.begin) if self.canary else 0.0

    def asoundrc(self, text):
        """A private configuration on top of the build's; returns its path, for ALSA_CONFIG_PATH."""
        self.settings += 1
        path = self.folder / f"asound{self.settings}.conf"
        path.write_text(f"<{self.build / 'alsa-conf' / 'devenv.conf'}>\n{text}\n")
        return path

    def launch(self, command, name, **options):
        """Starts a program with its stderr in a file; whatever still runs when the test ends is killed."""
        log = self.folder / f"{name}{len(self.processes)}.log"
        with open(log, "w") as stderr:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                       **({"stdout": subprocess.DEVNULL, "stderr": stderr} | options))
        process.log = log
        self.processes.append(process)
        return process

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def ctl(self, *arguments, **changes):
        """What `ringmixctl --json COMMAND` answers."""
        done = subprocess.run([self.ctl_program, "--json", *arguments], env=self.environment(**changes),
                              capture_output=True, text=True, timeout=10)
        require(done.returncode == 0, f"ringmixctl {arguments}: exit {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)


class Server:
    def __init__(self, context, *options, output=True, device="virtual", env=None, launcher=()):
        self.context = context
        self.output = context.folder / f"out{len(context.processes)}.wav" if output is True else output
        self.command = [*launcher, context.server_program, "--device", device, *options]
        if self.output:
            self.command += ["--output", self.output]
        self.env = env or context.environment()
        self.stopped = False

    def __enter__(self):
        self.process = self.context.launch(self.command, "server", env=self.env)
        wait_until(lambda: "ringmixd: ready" in self.messages() or self.process.poll() is not None, 10, "server ready")
        require(self.process.poll() is None, f"ringmixd ended at once: {self.messages()}")
        return self

    def __exit__(self, kind, *_):
        if kind is None and not self.stopped:
            self.stop()

    @property
    def pid(self):
        return self.process.pid

    @property
    def events(self):
        return Path(str(self.output) + ".jsonl")

    def messages(self):
        return self.process.log.read_text()

    def stop(self):
        """SIGTERM; the end must be quick and clean."""
        if self.process.poll() is None:
            status = self.status()
            require(status["output_lost_frames"] == 0 or status["output"] == "" or "stopped after" in status["output"],
                    f"--output lost frames: {status}")
        self.process.send_signal(signal.SIGTERM)
        self.wait_end(0)
        require(not self.context.socket.exists(), "the server left its socket behind")

    def wait_end(self, status, timeout=10):
        self.stopped = True
        code = wait_until(lambda: self.process.poll() is not None and [self.process.returncode], timeout,
                          "the server ends")[0]
        require(code == status, f"ringmixd ended with {code} instead of {status}: {self.messages()[-500:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.stopped = True

    def status(self):
        with Wire(self.context.socket) as wire:
            wire.enter()
            return wire.status()

    def clients(self):
        return self.context.ctl("clients")

    def wait_free(self, timeout=5):
        """Until all slots are free, and the arena with them."""
        wait_until(lambda: self.status()["clients"] == 0, timeout, "all slots are free")
        require(self.clients() == [], f"ringmixctl clients: {self.clients()}")
        used = self.status()["arena_used_bytes"]
        require(used == 0, f"no clients, but {used} bytes of the arena are used")


class Player:
    """One aplay."""

    def __init__(self, context, source, *arguments, device="ringmix", env=None, launcher=(), **options):
        self.source = source
        path = getattr(source, "path", source)
        words = list(arguments)
        if str(path).endswith(".raw"):
            words += source.raw_arguments
        self.process = context.launch([*launcher, "aplay", "-v", "-D", device, *words, path], "aplay",
                                      env=env or context.environment(), **options)

    @property
    def pid(self):
        return self.process.pid

    def messages(self):
        return self.process.log.read_text()

    def underruns(self):
        return self.messages().count("underrun!!!")

    def period(self):
        """The period in frames that aplay said it got."""
        return int(re.search(r"period_size +: (\d+)", self.messages()).group(1))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=30):
        """Its exit status, once it has ended."""
        wait_until(lambda: self.process.poll() is not None, timeout, f"aplay {self.pid} ends")
        return self.process.returncode

    def finish(self, timeout=30, underruns=0):
        """It must end well, without underruns (None: however many)."""
        code = self.wait(timeout)
        require(code == 0, f"aplay ended with {code}: {self.messages()[-400:]}")
        if underruns is not None and self.underruns() > underruns:
            raise Underrun(f"aplay {self.pid} had {self.underruns()} underruns")


def sleep_until(moment):
    """For moments that are the test's own choice (time.monotonic()), not for waiting for others."""
    time.sleep(max(0.0, moment - time.monotonic()))
