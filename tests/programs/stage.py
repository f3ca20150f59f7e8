# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where programs play: a ringmixd on the virtual device, the files to play, what the server says of who plays."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from audio import read_wav  # noqa: E402

SECONDS = 5
HERTZ = (440.0, 660.0)  # left, right
LEVEL = 0.5
PATIENCE = 60  # seconds


class Broken(Exception):
    """The program did not play."""


class Shop:
    """Files with the tone, made once."""

    def __init__(self, folder):
        self.folder = folder

    def wav(self, rate):
        path = self.folder / f"tone{rate}.wav"
        if not path.exists():
            times = np.arange(rate * SECONDS) / rate
            samples = LEVEL * 32767 * np.stack([np.sin(2 * np.pi * hertz * times) for hertz in HERTZ], axis=1)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(2)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes(np.round(samples).astype("<i2").tobytes())
        return path

    def encoded(self, rate, extension, command):
        """Made of the WAV file by a command with {wav} and {out} in it."""
        path = self.folder / f"tone{rate}.{extension}"
        if not path.exists():
            words = [word.format(wav=self.wav(rate), out=path) for word in command]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode != 0 or not path.exists():
                raise Broken(f"{words[0]}: {done.stderr[-300:]}")
        return path

    def unpacked(self, package):
        """The folder of a package's files, which is not installed: it would change what others hear."""
        folder = self.folder / package
        if not folder.exists():
            folder.mkdir()
            done = subprocess.run(f"apt-get download -q {package} && dpkg -x {package}_*.deb .", shell=True, cwd=folder,
                                  capture_output=True, text=True)
            if done.returncode != 0:
                raise Broken(f"{package} cannot be had: {done.stderr[-200:]}")
        return folder

    def program(self, source, *libraries):
        """A program in C of this folder, compiled."""
        path = self.folder / source.removesuffix(".c")
        if not path.exists():
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", *libraries], capture_output=True, text=True)
            done = subprocess.run(["cc", "-O2", "-o", path, HERE / source, *flags.stdout.split(), "-lm"],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                raise Broken(f"cc {source}: {done.stderr[-400:]}")
        return path


class Stage:
    """One server, until end()."""

    def __init__(self, build, shop, folder, keys=""):
        self.build, self.shop, self.folder = build, shop, folder
        self.socket, self.output = folder / "socket", folder / "heard.wav"
        self.settings = folder / "asound.conf"
        self.settings.write_text(f"<{build / 'alsa-conf' / 'devenv.conf'}>\n"
                                 f"pcm.!default \"ringmix\"\n{keys}\n")
        self.env = dict(os.environ, HOME=str(folder), XDG_CONFIG_HOME=str(folder), XDG_RUNTIME_DIR=str(folder),
                        ALSA_CONFIG_PATH=str(self.settings), RINGMIX_SOCKET=str(self.socket), LC_ALL="C.UTF-8")
        self.env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        self.env.pop("DISPLAY", None)
        self.processes = []
        self.clients = {}  # id -> what was told of it last
        self.server = self.start([build / "server" / "ringmixd", "--device", "virtual", "--rate", "48000", "--format",
                                  "S32_LE", "--channels", "2", "--socket-mode", "0666", "--output", self.output])
        self.wait(lambda: "ready" in self.server.log.read_text(), "ringmixd is ready")
        self.watching = True
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def start(self, command, **changes):
        log = self.folder / f"log{len(self.processes)}"
        with open(log, "w") as text:
            process = subprocess.Popen([str(word) for word in command], env=self.env | changes, cwd=self.folder,
                                       stdin=subprocess.DEVNULL, stdout=text, stderr=text)
        process.log = log
        self.processes.append(process)
        return process

    def play(self, command, **changes):
        """Runs a program to its end."""
        process = self.start(command, **changes)
        self.wait(lambda: process.poll() is not None, f"{command[0]} ends")
        if process.returncode != 0:
            raise Broken(f"{Path(command[0]).name} ended with {process.returncode}: "
                         f"{process.log.read_text()[-400:].strip()}")

    def stop(self, process):
        """One that does not end by itself."""
        process.send_signal(signal.SIGTERM)
        self.wait(lambda: process.poll() is not None, f"{process.args[0]} ends")

    def wait(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                logs = " | ".join(process.log.read_text()[-200:] for process in self.processes)
                raise Broken(f"waited {PATIENCE} s in vain: {what}; {logs}")
            time.sleep(0.05)

    def ask(self):
        told = subprocess.run([self.build / "server" / "ctl" / "ringmixctl", "--json", "clients"], env=self.env,
                              capture_output=True, text=True)
        return json.loads(told.stdout) if told.returncode == 0 else []

    def watch(self):
        while self.watching:
            for client in self.ask():
                if client["state"] in ("running", "draining"):
                    self.clients[client["id"], client["rate"]] = client
            time.sleep(0.1)

    def playing(self):
        return any(client["state"] in ("running", "draining") for client in self.ask())

    def has_played(self):
        """That somebody has, and nobody does any more."""
        return bool(self.clients) and not self.playing()

    def end(self):
        self.watching = False
        self.watcher.join()
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def heard(self):
        """After end(): the samples, full scale 1.0, and the rate."""
        recording = read_wav(self.output)
        return recording.samples / 2.0 ** (recording.bits - 1), recording.rate

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)
