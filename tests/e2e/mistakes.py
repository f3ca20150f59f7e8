# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mistakes of people: each is refused at once, with a message that tells what to do."""

import os
import re
import subprocess

from harness import Player, Server, require, scenario, wait_until
from playing import check_recording

# A configuration of `type ringmix`, and what the message must contain.
BAD_SETTINGS = [
    ("volume 3", ["volume", "gain_db"]),
    ("autostart maybe", ["autostart", "yes or no"]),
    ("gain_db loud", ["gain_db"]),
    ("gain_db 12.5", ["gain_db", "12"]),
    ("map 3", ["map"]),
    ("map [ 0 0 ]", ["map", "twice"]),
    ("map [ 0 7 ]", ["map", "device"]),
    ("map [ 0 99 ]", ["map"]),
    ("map [ ]", ["map"]),
    ("map { left 0 }", ["map"]),
    ("socket { a 1 }", ["socket", "string"]),
    ('socket ""', ["socket", "empty"]),
    ('instance "../evil"', ["instance", "../evil"]),
    ('instance ".hidden"', ["instance", ".hidden"]),
    ('instance "' + "x" * 65 + '"', ["instance"]),
    ('socket "/tmp/' + "x" * 120 + '"', ["x" * 120, "125 bytes", "too long", "107"]),
    ('socket "/nonexistent/s.sock" autostart no', ["/nonexistent/s.sock", "ringmixd"]),
    ('socket "/dev/null" autostart no', ["/dev/null"]),
]

BAD_USAGE = [
    ["--no-such-option"], ["--rate"], ["--rate", "fast"], ["--rate", "-1"], ["--rate", "48000x"], ["--rate=999999999"],
    ["--channels", "0"], ["--channels", "33"], ["--format", "U8"], ["--format", "S17"], ["--period", "0"],
    ["--buffer", "1"], ["--period", "1024", "--buffer", "1500"], ["--output", "x.wav", "--device", "hw:0"],
    ["--output", "x.wav"], ["--output", ""], ["--output", "x.wav", "--device", "virtual", "--idle", "1"],
    ["--name", "a/b"], ["--name", ""], ["--socket", ""], ["--idle", "-1"],
    ["--idle", "nan"], ["--idle", "1e9"], ["--arena", "0"], ["--arena", "4M"], ["--clip", "none"],
    ["--dither", "some"], ["--dither", "tpdf", "--format", "FLOAT_LE"], ["--log-level", "loud"],
    ["--socket-mode", "9"], ["surplus"], ["--help=1"],
]

BAD_CTL = [[], ["nonsense"], ["status", "clients"], ["--name", "a/b", "status"], ["--no-such", "status"],
           ["--socket", "", "status"], ["--name", "a", "--socket", "/b", "status"], ["--socket"]]


def run(context, command, timeout=10, **changes):
    return subprocess.run([str(word) for word in command], env=context.environment(**changes), capture_output=True,
                          text=True, timeout=timeout, stdin=subprocess.DEVNULL)


@scenario("bad-settings")
def bad_settings(context):
    source = context.shop.noise(2400)
    with Server(context):
        for setting, words in BAD_SETTINGS:
            config = context.asoundrc(f"pcm.bad {{ type ringmix {setting} }}")
            player = Player(context, source, device="bad", env=context.environment(ALSA_CONFIG_PATH=config))
            code = player.wait(10)
            require(code == 1, f"{setting}: aplay ended with {code}: {player.messages()}")
            missing = [word for word in words if word not in player.messages()]
            require(not missing, f"{setting}: no word of {missing} in {player.messages()!r}")
        capture = run(context, ["arecord", "-D", "ringmix", "-d", "1", "/dev/null"])
        require(capture.returncode == 1 and "playback only" in capture.stderr, f"arecord: {capture.stderr}")
    return {"refused": len(BAD_SETTINGS) + 1}


@scenario("bad-usage")
def bad_usage(context):
    for words in BAD_USAGE:
        done = run(context, [context.server_program, *words])
        require(done.returncode == 2, f"ringmixd {words}: exit {done.returncode} instead of 2: {done.stderr}")
        name = next((word for word in words if word.startswith("--")), words[0]).split("=")[0]
        require(name in done.stderr, f"ringmixd {words}: the message does not name it: {done.stderr}")
    for words in BAD_CTL:
        done = run(context, [context.ctl_program, *words])
        require(done.returncode == 2 and done.stderr and not done.stdout,
                f"ringmixctl {words}: exit {done.returncode} instead of 2: {done.stderr}")
    for program in (context.server_program, context.ctl_program):
        for word in ("--help", "--version"):
            done = run(context, [program, word])
            require(done.returncode == 0 and done.stdout and not done.stderr, f"{program.name} {word}: {done}")
    return {"refused": len(BAD_USAGE) + len(BAD_CTL)}


def require_refused(done, *words):
    require(done.returncode == 1, f"exit {done.returncode} instead of 1: {done.stderr}")
    missing = [word for word in words if str(word) not in done.stderr]
    require(not missing, f"no word of {missing} in {done.stderr!r}")


@scenario("bad-places")
def bad_places(context):
    """Sockets where none can be, files where none can be written, servers that are there already, or not."""
    server = [context.server_program, "--device", "virtual"]
    file = context.folder / "file"
    file.write_text("mine")
    require_refused(run(context, [*server, "--socket", context.folder / ("x" * 120)]), "at most 107 bytes")
    require_refused(run(context, [*server, "--socket", file / "s.sock"]), file)
    require_refused(run(context, [*server, "--socket", "/proc/nowhere/s.sock"]),
                    "directory /proc/nowhere for /proc/nowhere/s.sock does not exist", "--socket")
    require_refused(run(context, [*server, "--socket", file]), file, "no socket", "--socket")
    require(not list(context.folder.glob("file.*")), f"left behind: {list(context.folder.glob('file*'))}")
    require(file.read_text() == "mine", "a file that was in the way was overwritten")
    require_refused(run(context, [*server, "--output", context.folder / "none" / "a.wav"]), "a.wav", "No such file")
    require_refused(run(context, [*server, "--output", "/dev/full"]), "/dev/full")
    require_refused(run(context, [context.server_program, "--device", "hw:77"]), "hw:77")
    require(not context.socket.exists(), "a server that could not start left its socket behind")
    for command in (["status"], ["clients"]):
        require_refused(run(context, [context.ctl_program, *command]), context.socket, "ringmixd")
    with Server(context):
        require_refused(run(context, server), context.socket, "already")
        context.ctl("status")
    return {"refused": 9}


@scenario("unwritable-folder")
def unwritable_folder(context):
    """For a user who may not write there (root may write anywhere)."""
    from lifetime import unprivileged

    folder = context.folder / "locked"
    folder.mkdir()
    user = unprivileged(context, context.folder / "locked")
    os.chown(folder, 0 if user else os.getuid(), -1)
    folder.chmod(0o555)
    process = context.launch([context.server_program, "--device", "virtual", "--socket", folder / "s.sock"], "server",
                             env=context.environment(), cwd="/", **user)
    wait_until(lambda: process.poll() is not None, 5, "the server ends")
    text = process.log.read_text()
    require(process.returncode == 1 and f"directory {folder} is not writable" in text and "--socket" in text and
            "ermission denied" in text and "lock" not in text.replace(str(folder), ""),
            f"exit {process.returncode}: {text}")
    with Server(context) as server:  # 0600: other users are refused, and told
        if user:
            player = Player(context, context.shop.noise(2400), cwd="/", **user)
            require(player.wait(10) == 1 and "ermission denied" in player.messages() and
                    "--socket-mode" in player.messages(), f"another user: {player.messages()}")
        require(server.status()["clients"] == 0, "a refused user has a slot")


@scenario("impossible-parameters")
def impossible_parameters(context):
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc("pcm.plain { type ringmix autostart no }"))
    source = context.shop.noise(24000)
    with Server(context) as server:
        for arguments, word in [(["-f", "A_LAW"], "Sample format non available"),
                                (["-f", "S16_BE"], "Sample format non available"),
                                (["-c", "9"], "Channels count non available"),
                                (["-c", "0"], "")]:
            done = run(context, ["aplay", "-D", "plain", "-t", "raw", "-r", "48000", "-f", "S16_LE", "-c", "2",
                                 *arguments, source.path], ALSA_CONFIG_PATH=env["ALSA_CONFIG_PATH"])
            require(done.returncode == 1 and word in done.stderr, f"{arguments}: {done.returncode} {done.stderr}")
        ranges = run(context, ["aplay", "-D", "plain", "--dump-hw-params", source.path],
                     ALSA_CONFIG_PATH=env["ALSA_CONFIG_PATH"]).stderr
        for words in ("U8 S16_LE", "S24_3LE", "FLOAT_LE", "CHANNELS: [1 8]", "RATE: [8000 192000]"):
            require(words in ranges, f"--dump-hw-params does not say {words}: {ranges}")
        wishes = ["--buffer-time=1", "--period-time=1", "--start-delay=400000", "--avail-min=1",
                  "--buffer-size=100000000", "--period-size=100000000"]
        for arguments in [[wish] for wish in wishes[: 4 if context.quick else None]]:
            player = Player(context, source, *arguments, device="plain", env=env)
            player.wait(20)
            require(player.process.returncode in (0, 1), f"{arguments}: {player.messages()[-300:]}")
        server.wait_free()
        player = Player(context, source, device="plain", env=env)
        player.finish()


@scenario("long-periods")
def long_periods(context):
    """Periods longer than what aplay would take as its buffer: the buffer grows to two of them, as on hardware."""
    with Server(context):
        for period in (20000, 30000, 1024):
            player = Player(context, context.shop.noise(12000), f"--period-size={period}", f"--buffer-size={period}")
            player.finish()
            require(f"buffer_size  : {2 * period}" in player.messages(), f"{period}: {player.messages()}")


@scenario("arena-exhausted")
def arena_exhausted(context):
    """The one who finds no room is told so; who plays plays on; there is room again later."""
    source = context.shop.noise(24000 if context.quick else 96000)
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc("pcm.plain { type ringmix autostart no }"))
    long_buffer = ["--buffer-size=95000", "--period-size=9500"] # two of them fill the arena
    with Server(context, "--arena", "1") as server:
        first = [Player(context, source, *long_buffer, device="plain", env=env) for _ in range(2)]
        wait_until(lambda: sum(client["channels"] > 0 for client in server.clients()) == 2, 5, "both have their lanes")
        refused = Player(context, source, *long_buffer, device="plain", env=env)
        require(refused.wait(10) == 1 and "--arena" in refused.messages(), f"no word of --arena: {refused.messages()}")
        for player in first:
            player.finish()
        server.wait_free()
        last = Player(context, source, *long_buffer, device="plain", env=env)
        last.finish()
        server.wait_free()
    return {"clients": 4} | check_recording(server, [*first, last])
