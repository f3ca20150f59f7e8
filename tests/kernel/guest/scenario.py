# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guest's scenarios share: cards, processes with a time limit, capture, staggered clients.

A scenario plays sources from $RIG_OUT/sources through a mixer into one card and leaves
$RIG_OUT/MIXER-CARD-FORMAT-PERIOD/ with result.json and, from the card aloop, capture.wav. It does not
judge the audio: the host does, from these files and QEMU's recording (see judge.py).
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

RATE = 48000
CHANNELS = 2
STAGGER = (7001, 11003, 5003, 8009)  # frames of device time before the next client starts; no period divides them
GRACE_SECONDS = 30  # for what should take no time; an emulated machine on a busy host is slow


class Trouble(Exception):
    """The scenario cannot go on; the text says why."""


@dataclass(frozen=True)
class Card:
    device: str  # the playback device
    status: str  # its stream's state in /proc
    capture: str = ""  # where the same samples can be captured
    capture_status: str = ""


CARDS = {
    "aloop": Card("hw:Loopback,0,0", "/proc/asound/Loopback/pcm0p/sub0/status",
                  "hw:Loopback,1,0", "/proc/asound/Loopback/pcm1c/sub0/status"),
    "dummy": Card("hw:Dummy,0,0", "/proc/asound/Dummy/pcm0p/sub0/status"),
    "hda": Card("hw:Intel,0,0", "/proc/asound/Intel/pcm0p/sub0/status"),
    "usb": Card("hw:Audio,0,0", "/proc/asound/Audio/pcm0p/sub0/status"),
}


def await_that(what, condition, seconds=GRACE_SECONDS):
    """Returns the condition's first true value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Trouble(f"waited {seconds} s for {what}")
        time.sleep(0.005)
    return value


def position(status_file):
    """hw_ptr of a running stream in frames, None if it is not running."""
    fields = dict(line.split(":", 1) for line in Path(status_file).read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    return int(fields["hw_ptr"]) if fields.get("state") == "RUNNING" else None


def await_frames(status_file, frames, what="the stream to advance"):
    """Waits until a running stream has advanced by so many frames of its own time."""
    await_that(f"{status_file} to run", lambda: position(status_file) is not None)
    start = position(status_file) or 0
    await_that(what, lambda: (position(status_file) or 0) >= start + frames)


class StallWatch:
    """How late the machine itself is: on each processor a realtime thread that should wake every 5 ms.

    An emulated machine on a busy host stands still now and then. An underrun tells something about the
    mixer only if nothing like that happened."""

    def __init__(self):
        self.worst_seconds = 0.0
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.watch, args=(cpu,)) for cpu in os.sched_getaffinity(0)]
        for thread in self.threads:
            thread.start()

    def watch(self, cpu):
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        before = time.monotonic()
        while not self.ended.is_set():
            time.sleep(0.005)
            now = time.monotonic()
            self.worst_seconds = max(self.worst_seconds, now - before - 0.005)
            before = now

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        return self.worst_seconds


class Process:
    """A child with its stderr in a file, waited for with a time limit, its CPU time known at the end."""

    def __init__(self, folder, name, command, env=None):
        self.name = name
        self.stderr_file = Path(folder) / f"{name}.stderr"
        with open(self.stderr_file, "wb") as stderr:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr,
                                          env={**os.environ, **(env or {})})
        self.pidfd = os.pidfd_open(self.child.pid)
        self.exit = None  # exit code, negative signal number
        self.cpu_seconds = 0.0

    @property
    def stderr(self):
        return self.stderr_file.read_text(errors="replace").rstrip("\n")

    def has_ended(self, seconds=0.0):
        return self.exit is not None or bool(select.select([self.pidfd], [], [], seconds)[0])

    def wait(self, seconds):
        """Returns the exit code; a child that is late is killed, which is Trouble."""
        if self.exit is None:
            late = not self.has_ended(seconds)
            if late:
                self.child.kill()
            _, status, usage = os.wait4(self.child.pid, 0)
            self.exit = self.child.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
            os.close(self.pidfd)
            if late:
                raise Trouble(f"{self.name} did not end within {seconds:.0f} s and was killed; it said: {self.stderr}")
        return self.exit

    def stop(self, number=signal.SIGTERM, seconds=GRACE_SECONDS):
        if not self.has_ended():
            self.child.send_signal(number)
        return self.wait(seconds)


class Scenario:
    """One run: `with Scenario(...) as it:` creates its folders and writes result.json at the end."""

    def __init__(self, mixer, card, sample_format, period, clients=4, buffer=8192):
        if card not in CARDS:
            sys.exit(f"unknown card {card}: not one of {', '.join(CARDS)}")
        self.name = f"{mixer}-{card}-{sample_format}-{period}"
        self.mixer, self.card_name, self.card = mixer, card, CARDS[card]
        self.format, self.period = sample_format, int(period)
        self.buffer = buffer  # frames of the device's ring
        self.out = Path(os.environ["RIG_OUT"])
        self.folder = self.out / self.name
        self.sources = [self.source(index) for index in range(clients)]
        self.clients = []
        self.processes = []
        self.result = {"name": self.name, "mixer": mixer, "card": card, "format": sample_format,
                       "period": self.period, "sources": self.sources, "errors": [],
                       "clips": (mixer, sample_format) != ("dmix", "S32_LE")}

    def source(self, index):
        """A source of its own for each client of each scenario: one recording can hold several scenarios."""
        return f"sources/{self.name}-{index}.wav"

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scratch = Path(tempfile.mkdtemp(prefix=self.name))
        for source in self.sources:  # so that no player waits for the host's disk
            shutil.copy(self.out / source, self.scratch)
        self.watch = StallWatch()
        if self.card_name == "hda":  # the codec starts muted
            subprocess.run(["amixer", "-q", "-c", "Intel", "sset", "Master", "100%", "unmute"], check=True)
        if self.card.capture:
            self.capture = self.start("arecord", [
                "arecord", "-q", "-D", self.card.capture, "-t", "wav", "-f", self.format, "-r", str(RATE),
                "-c", str(CHANNELS), "--period-size=1024", f"--buffer-size={4 * self.buffer}",
                str(self.scratch / "capture.wav")])
            await_that("the capture to run", lambda: position(self.card.capture_status) is not None)
        return self

    def __exit__(self, kind, error, trace):
        if error:
            self.complain(str(error) if kind is Trouble else f"{kind.__name__}: {error}")
        if self.card.capture:
            self.capture.stop(signal.SIGINT)
            if "overrun" in self.capture.stderr:
                self.complain("the capture itself lost frames; the run says nothing about the mixer")
            shutil.move(self.scratch / "capture.wav", self.folder / "capture.wav")
        for process in reversed(self.processes):
            if process.exit is None:
                process.stop(signal.SIGKILL)
        self.result["stall_seconds"] = self.watch.stop()
        self.result["clients"] = [{"exit": client.exit, "cpu_seconds": client.cpu_seconds} for client in self.clients]
        (self.folder / "result.json").write_text(json.dumps(self.result, indent=1))
        print(f"{self.name}: played by {len(self.clients)} clients, "
              f"{sum(client.cpu_seconds for client in self.clients):.2f} s of CPU, "
              f"machine late by {1000 * self.result['stall_seconds']:.0f} ms at worst", flush=True)
        for error_text in self.result["errors"]:
            print(f"{self.name}: {error_text}", flush=True)
        return kind is None or issubclass(kind, Exception)

    def complain(self, text):
        self.result["errors"].append(text)

    def start(self, name, command, env=None):
        process = Process(self.folder, name, command, env)
        self.processes.append(process)
        return process

    def start_all(self, pcm, env=None, players=None, habits=None):
        """Starts an aplay for each source, one joining after the other. players: (program, environment) in turn,
        instead of aplay. habits: further options, in turn."""
        players = players or [("aplay", {})]
        habits = habits or [[]]
        for index, source in enumerate(self.sources):
            if index:
                await_frames(self.card.status, STAGGER[index % len(STAGGER)], "the device to play")
            path = self.scratch / Path(source).name
            program, more = players[index % len(players)]
            command = [program, "-q", "-D", pcm, *habits[index % len(habits)], str(path)]
            self.clients.append(self.start(f"aplay{len(self.clients)}", command, (env or {}) | more))

    def play_all(self, pcm, env=None, meanwhile=None, players=None, habits=None):
        """start_all(), and then meanwhile(). Returns when the last sample has left the ring."""
        self.start_all(pcm, env, players, habits)
        if meanwhile:
            meanwhile()
        for client in self.clients:
            status = client.wait(2 * GRACE_SECONDS)
            if status != 0 or client.stderr:
                self.complain(f"{client.name} ended with {status} and said: {client.stderr or 'nothing'}")
        await_frames(self.card.status, 2 * self.buffer + RATE // 4, "the last samples to be played")
