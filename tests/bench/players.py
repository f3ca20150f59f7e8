# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a crowd of players costs: 8 `aplay`s at 44.1 kHz on a virtual device at 48, with periods of 256 frames.

Through ringmix, through PipeWire with a null sink (Debian's, with WirePlumber), and as bare timers that only wake as
often. By turns, in one run; processor time of all processes of each, from /proc. Prints it in percent of a processor,
and the ratios to PipeWire.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAYERS, RATE, PERIOD = 8, 44100, 256
TICKS = os.sysconf("SC_CLK_TCK")
GOAL = 0.7  # of PipeWire


class Crowd:
    """Processes that are started, measured and ended together."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def start(self, command, env, name):
        log = open(self.folder / f"{name}{len(self.processes)}.log", "w")
        process = subprocess.Popen([str(word) for word in command], env=env, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)
        process.log = self.folder / f"{name}{len(self.processes)}.log"
        self.processes.append(process)
        return process

    def seconds(self):
        """Of processor time that all have used."""
        total = 0
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}: {process.log.read_text()[-600:]}")
            fields = Path(f"/proc/{process.pid}/schedstat")
            total += sum(int((task / "schedstat").read_text().split()[0])
                         for task in Path(f"/proc/{process.pid}/task").iterdir()) if fields.exists() else 0
        return total / 1e9

    def end(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(condition, what, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)


def aplays(crowd, device, env, music):
    for _ in range(PLAYERS):
        crowd.start(["aplay", "-q", "-D", device, "-f", "S16_LE", "-c", "2", "-r", RATE, f"--period-size={PERIOD}",
                     f"--buffer-size={4 * PERIOD}", music], env, "aplay")


def ringmix(crowd, build, music):
    socket = crowd.folder / "socket"
    env = dict(os.environ, RINGMIX_SOCKET=str(socket), ALSA_CONFIG_PATH=str(build / "alsa-conf" / "devenv.conf"))
    server = crowd.start([build / "server" / "ringmixd", "--device", "virtual"], env, "ringmixd")
    wait_until(lambda: "ready" in server.log.read_text(), "ringmixd is ready")
    aplays(crowd, "ringmix", env, music)


PIPEWIRE_OBJECT = """
    {{ factory = adapter
        args = {{ factory.name = support.null-audio-sink  node.name = quiet-sink  media.class = Audio/Sink
                 audio.position = [ FL FR ]  audio.rate = 48000  object.linger = true }} }}
"""


def pipewire_settings(folder):
    """Debian's settings, with the period wanted (in a virtual machine it has 1024) and a null sink."""
    settings = folder / "pipewire"
    shutil.copytree("/usr/share/pipewire", settings)
    main = settings / "pipewire.conf"
    text = main.read_text().replace("context.properties = {", "context.properties = {\n"
                                    f"    default.clock.rate = 48000\n    default.clock.quantum = {PERIOD}\n"
                                    f"    default.clock.min-quantum = {PERIOD}\n    default.clock.max-quantum = {PERIOD}", 1)
    text = text.replace("vm.overrides = {", "not.used = {")
    main.write_text(text.replace("context.objects = [", "context.objects = [" + PIPEWIRE_OBJECT.format(), 1))
    return settings


def pipewire(crowd, plugins, music):
    runtime = crowd.folder / "run"
    runtime.mkdir(mode=0o700)
    alsa = crowd.folder / "asound.conf"
    alsa.write_text("</usr/share/alsa/alsa.conf>\npcm.pw { type pipewire }\n")
    env = dict(os.environ, XDG_RUNTIME_DIR=str(runtime), PIPEWIRE_RUNTIME_DIR=str(runtime), XDG_STATE_HOME=str(runtime),
               PIPEWIRE_CONFIG_DIR=str(pipewire_settings(crowd.folder)), ALSA_PLUGIN_DIR=str(plugins),
               ALSA_CONFIG_PATH=str(alsa), PIPEWIRE_LATENCY=f"{PERIOD}/{RATE}")
    env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={runtime}/bus"  # WirePlumber does not start without one
    crowd.start(["dbus-daemon", "--session", "--nofork", "--address=" + env["DBUS_SESSION_BUS_ADDRESS"]], env, "dbus")
    wait_until((runtime / "bus").exists, "D-Bus listens")
    crowd.start(["pipewire"], env, "pipewire")
    wait_until((runtime / "pipewire-0").exists, "pipewire listens")
    crowd.start(["wireplumber"], env, "wireplumber")
    wait_until(lambda: "quiet-sink" in listed(env), "the null sink is there")
    time.sleep(1)  # WirePlumber looks around
    aplays(crowd, "pw", env, music)
    wait_until(lambda: listed(env, "Link").count("PipeWire:Interface:Link") >= 2 * PLAYERS, "all players are linked")


def listed(env, kind="Node"):
    return subprocess.run(["pw-cli", "ls", kind], env=env, capture_output=True, text=True).stdout


def timers(crowd, build):
    for _ in range(PLAYERS):
        crowd.start([build / "tests" / "bench" / "timer_player", RATE, PERIOD], os.environ, "timer")


def measure(start, seconds):
    """Percent of a processor, after a second in which all comes to rest."""
    folder = Path(tempfile.mkdtemp(prefix="players"))
    crowd = Crowd(folder)
    try:
        start(crowd)
        time.sleep(1)
        used, begin = crowd.seconds(), time.monotonic()
        time.sleep(seconds)
        return 100 * (crowd.seconds() - used) / (time.monotonic() - begin)
    finally:
        crowd.end()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--pipewire", type=Path, help="folder with libasound_module_pcm_pipewire.so")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    build = options.build.resolve()
    with tempfile.NamedTemporaryFile(suffix=".raw") as music:
        # Quiet noise: as long as anybody plays.
        music.write(os.urandom(int(RATE * 4 * (options.seconds + 30))))
        music.flush()
        ways = {"ringmix": lambda crowd: ringmix(crowd, build, music.name), "timers": lambda crowd: timers(crowd, build)}
        if options.pipewire:
            ways["PipeWire"] = lambda crowd: pipewire(crowd, options.pipewire.resolve(), music.name)
        used = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, start in ways.items():
                used[name].append(measure(start, options.seconds))
    middle = {name: statistics.median(values) for name, values in used.items()}
    against = middle.get("PipeWire")
    print(f"{PLAYERS} players, {RATE} -> 48000 Hz, periods of {PERIOD} frames: percent of a processor, median "
          "(least to most)")
    for name, values in sorted(used.items(), key=lambda item: middle[item[0]]):
        ratio = f"  {middle[name] / against:.2f} of PipeWire" if against else ""
        print(f"{name:10} {middle[name]:6.2f}  ({min(values):.2f} to {max(values):.2f}){ratio}")
    if against:
        good = middle["ringmix"] < GOAL * against
        print(f"goal: below {GOAL} of PipeWire: {'met' if good else 'MISSED'}")
        return 0 if good else 1
    print("PipeWire could not be had")
    return 0


if __name__ == "__main__":
    sys.exit(main())
