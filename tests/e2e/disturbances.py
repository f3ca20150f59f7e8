# SPDX-License-Identifier: LGPL-2.1-or-later
"""Full tables and disks, dying servers, and clients with bad manners, while others play."""

import errno
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack

import numpy as np

from audio import read_wav
from harness import Player, Server, Skip, require, scenario, wait_until
from playing import check_recording, start_scattered
from reference import ended_parts, load_events
from wire import (ADOPT, ASK_CLIENTS, ASK_STATUS, CONFIGURE, CONFIGURE_BODY, PLAYER, RELEASE, STATUS, STATUS_BODY, TOOL, Wire,
                  configure, hello, message)


@scenario("table-full")
def table_full(context):
    """64 clients; the next is told so, and finds room when one has gone."""
    source = context.shop.noise(24000)
    with Server(context) as server, ExitStack() as stack:
        clients = [stack.enter_context(Wire(context.socket)) for _ in range(64)]
        slots = [client.enter(PLAYER) for client in clients]
        require(sorted(slots) == list(range(64)), f"slots {slots}")
        surplus = Player(context, source)
        require(surplus.wait(10) == 1 and "all 64 places" in surplus.messages(), f"65th: {surplus.messages()}")
        require(len(server.clients()) == 64, f"{len(server.clients())} clients are listed")
        clients[17].close()
        wait_until(lambda: len(server.clients()) == 63, 5, "one slot is free")
        player = Player(context, source)
        player.finish()
        for client in clients:
            client.close()
        server.wait_free()
    return {"clients": 65} | check_recording(server, [player])


@scenario("exact-64", quick=False, alone=True)
def table_of_players(context):
    """64 real players, exact; a 65th finds no place."""
    sources = [context.shop.noise(96000 + 101 * number, number, level=0.3) for number in range(64)]
    with Server(context) as server:
        players = [Player(context, source, "--period-size=2048", "--buffer-size=12288") for source in sources]
        wait_until(lambda: len(server.clients()) == 64, 10, "64 clients", 0.001)
        surplus = Player(context, sources[0])
        require(surplus.wait(10) == 1 and "all 64 places" in surplus.messages(), f"65th: {surplus.messages()}")
        for player in players:
            player.finish()
        server.wait_free()
    return {"clients": 64} | check_recording(server, players)


@scenario("disk-full")
def disk_full(context):
    """Playing goes on, the file is valid, the status says it."""
    place = context.folder / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True).returncode:
        raise Skip("a small tmpfs cannot be mounted here (needs root)")
    try:
        with Server(context, output=place / "full.wav") as server:
            player = Player(context, context.shop.noise(96000))
            player.finish()
            status = context.ctl("status")
            require(status["state"] == "running" and "No space left" in status["output"] and
                    status["output_lost_frames"] > 0, f"status: {status}")
            again = Player(context, context.shop.noise(4800))
            again.finish()
            server.wait_free()
        recording = read_wav(server.output)
        require(len(recording.samples) == status["output_frames"], f"{len(recording.samples)} frames, {status}")
        first = next(event["first_frame"] for event in load_events(server.events) if event["event"] == "start")
        heard = recording.samples[first:]
        require(len(heard) > 24000 and (heard == player.source.samples[: len(heard)] >> 16).all(),
                f"the {len(heard)} frames that found room differ")
        return {"clients": 2, "frames_compared": len(recording.samples), "differences": 0}
    finally:
        context.end()
        subprocess.run(["umount", place], check=True)


@scenario("server-killed")
def server_killed(context):
    """Nobody hangs: each player ends with an error within two seconds."""
    sources = [context.shop.noise(480000, number) for number in range(4)]
    arguments = [[], ["--period-size=64", "--buffer-size=512"], ["--buffer-time=2000000"], ["--nonblock"]]
    with Server(context) as server:
        players = [Player(context, source, *words) for source, words in zip(sources, arguments)]
        draining = Player(context, context.shop.noise(20000, 5))
        wait_until(lambda: sum(client["state"] == "running" for client in server.clients()) == 4, 5, "all play")
        wait_until(lambda: any(client["state"] == "draining" for client in server.clients()), 5, "one drains", 0.001)
        server.kill()
        moment = time.monotonic()
        slowest = 0.0
        for player in [*players, draining]:
            player.wait(10)
            slowest = max(slowest, time.monotonic() - moment)
        for player in players:
            require(player.process.returncode == 1 and "No such device" in player.messages(),
                    f"exit {player.process.returncode}: {player.messages()[-300:]}")
        require(slowest <= 2.0, f"a player hung on for {slowest:.1f} s")
    return {"clients": 5, "slowest_end_s": round(slowest, 2)}


def stand_still(context, server, condition):
    """Three players; once the condition holds, the server stands still for 1.2 s. All play to their ends, and
    nothing sounds behind them. Returns the players."""
    sources = [context.shop.noise(144000, number, level=0.2) for number in range(3)]
    players = [Player(context, source) for source in sources]
    wait_until(lambda: sum(client["state"] == "running" for client in server.clients()) == 3 and condition(), 5,
               "all play", 0.001)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(1.2)
    server.process.send_signal(signal.SIGCONT)
    for player in players:
        player.finish(underruns=None)
    server.wait_free()
    server.stop()
    heard = np.flatnonzero(read_wav(server.output).samples.any(axis=1))
    last = max(event["last_frame"] for event in load_events(server.events) if event["event"] == "end")
    require(len(heard) and heard[-1] <= last, f"sound at frame {heard[-1]}, the last stream ended at {last}")
    return players


@scenario("server-stopped", quick=False)
def server_stopped(context):
    with Server(context) as server:
        players = stand_still(context, server, lambda: len(load_events(server.events)) == 3)
    return {"clients": 3, "underruns": sum(player.underruns() for player in players)}


@scenario("server-stopped-early", quick=False)
def server_stopped_early(context):
    """Before it has seen the streams begin: its log tells their true extents all the same."""
    for _ in range(3):
        with Server(context) as server:
            players = stand_still(context, server, lambda: True)
        parts = ended_parts(load_events(server.events))
        for player in players:
            require(sum(part.frames for part in parts.get(player.pid, [])) >= player.source.frames,
                    f"a file of {player.source.frames} frames was played, logged is {parts.get(player.pid)}")
    return {"clients": 9}


@scenario("server-stuck", quick=False)
def server_stuck(context):
    """A server that does not answer is given up, and named as the reason."""
    with Server(context) as server:
        server.process.send_signal(signal.SIGSTOP)
        player = Player(context, context.shop.noise(2400))
        seconds = time.monotonic()
        require(player.wait(20) == 1 and "stopped or stuck" in player.messages(), f"aplay: {player.messages()}")
        seconds = time.monotonic() - seconds
        server.process.send_signal(signal.SIGCONT)
        server.wait_free()
    return {"given_up_after_s": round(seconds, 1)}


def bad_packets(random):
    """(name, packets, errno of the answer to the last): all without or with a Hello before."""
    slip = message(CONFIGURE, bytes(CONFIGURE_BODY.size))
    return [
        ("nothing but zeros", [b"\0" * 96], errno.EBADMSG),
        ("one byte", [b"x"], errno.EBADMSG),
        ("wrong magic", [message(1, hello()[16:], magic=1)], errno.EBADMSG),
        ("other version", [hello(major=2)], errno.EPROTO),
        ("wrong size inside", [message(1, hello()[16:], size=97)], errno.EBADMSG),
        ("cut off", [hello()[:-1]], errno.EBADMSG),
        ("unknown type", [message(99)], errno.EBADMSG),
        ("too long", [b"x" * 1500], errno.EMSGSIZE),
        ("name without end", [message(1, hello()[16:32] + b"n" * 64)], None),
        ("unknown role", [hello(role=7)], errno.EPROTO),
        ("no Hello", [message(ASK_STATUS)], errno.EPROTO),
        ("Hello twice", [hello(), hello()], errno.EPROTO),
        ("a tool configures", [hello(), configure()], errno.EPROTO),
        ("a tool releases", [hello(), message(RELEASE)], errno.EPROTO),
        ("an answer", [hello(), message(STATUS, b"\0" * STATUS_BODY.size)], errno.EPROTO),
        ("reserved", [hello(), message(ADOPT)], None),
        ("no format", [hello(PLAYER), slip], errno.EINVAL),
        ("format 77", [hello(PLAYER), configure(form=77)], errno.EINVAL),
        ("no channels", [hello(PLAYER), configure(channels=0)], errno.EINVAL),
        ("33 channels", [hello(PLAYER), configure(channels=33)], errno.EINVAL),
        ("no frames", [hello(PLAYER), configure(frames=0)], errno.EINVAL),
        ("2^63 frames", [hello(PLAYER), configure(frames=1 << 63)], errno.EINVAL),
        ("2^64 / 8 frames", [hello(PLAYER), configure(frames=(1 << 61) + 1)], errno.EINVAL),
        ("a big lane", [hello(PLAYER), configure(frames=(1 << 24) - 1, channels=8)], errno.ENOMEM),
        ("random", [bytes(random.randrange(256) for _ in range(random.randrange(1, 400)))], None),
    ]


def send_bad_packets(context):
    count = 0
    for name, packets, expected in bad_packets(context.random):
        with Wire(context.socket) as wire:
            for packet in packets:
                kind, body = wire.ask(packet)
            number, words = wire.error(kind, body)
            require(expected is None or number == expected, f"{name}: answer {number} {words!r}, not {expected}")
            require(number is None or words, f"{name}: an error without words")
            if number not in (None, errno.ENOMEM):
                require(wire.receive()[0] is None, f"{name}: the connection stays open")
            count += 1
    for _ in range(100):  # a true header, then anything
        with Wire(context.socket) as wire:
            if context.random.random() < 0.5:
                wire.ask(hello(context.random.choice([PLAYER, TOOL])))
            size = context.random.choice([0, CONFIGURE_BODY.size, 80, 96, 300])
            body = bytes(context.random.randrange(256) for _ in range(size))
            kind = context.random.choice([ASK_STATUS, ASK_CLIENTS, CONFIGURE, RELEASE, 1, 2, 7, 12, 500])
            wire.ask(message(kind, body))
            count += 1
    return count


def flood(context):
    """Questions whose answers nobody reads: the server must not wait for that."""
    with Wire(context.socket) as wire:
        wire.enter()
        wire.socket.setblocking(False)
        try:
            for _ in range(20000):
                wire.send(message(ASK_STATUS))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
        context.ctl("status")


@scenario("bad-manners")
def bad_manners(context):
    """Nonsense on the socket is answered by an Error and a closed connection; others play on, exactly."""
    with Server(context, "--log-level", "error") as server:
        frames = 48000 * (2 if context.quick else 6)
        players = start_scattered(context, [context.shop.noise(frames, number) for number in range(2)], 0.1)
        count = send_bad_packets(context)
        flood(context)
        with Wire(context.socket) as sender:  # descriptors that nobody asked for
            with open("/dev/null") as null:
                socket.send_fds(sender.socket, [hello()], [null.fileno()] * 8)
            sender.receive()
        for player in players:
            player.finish()
        server.wait_free()
        descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
        require(descriptors < 25, f"the server has {descriptors} descriptors open")
    return {"clients": 2, "bad_packets": count} | check_recording(server, players)


@scenario("silent-clients", quick=False)
def silent_clients(context):
    """Who connects and says nothing is told to go after 5 s; a crowd of them does not disturb players."""
    with Server(context, "--log-level", "error") as server, ExitStack() as stack:
        player = Player(context, context.shop.noise(48000 * 7))
        wait_until(lambda: server.clients(), 5, "one plays")
        begin = time.monotonic()
        silent = [stack.enter_context(Wire(context.socket, 10)) for _ in range(300)]
        refused = []
        for wire in silent[260:]:
            refused.append(wire.error(*wire.receive())[0])
        require(all(number == errno.EUSERS for number in refused), f"too many connections: answers {set(refused)}")
        number, words = silent[0].error(*silent[0].receive())
        seconds = time.monotonic() - begin
        require(number == errno.ETIMEDOUT and seconds > 4.5, f"after {seconds:.1f} s: {number} {words!r}")
        require(silent[0].receive()[0] is None, "the silent client's connection stays open")
        wait_until(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) < 30, 3, "the server closes them all")
        second = Player(context, context.shop.noise(24000))
        second.finish()
        player.finish()
        server.wait_free()
    return {"clients": 2, "silent": 300, "seconds": round(seconds, 1)} | check_recording(server, [player, second])
