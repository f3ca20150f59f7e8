# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the server's output goes, and who else may start it: pipes, small and wide devices, service managers."""

import socket
import subprocess
import sys

import numpy as np

from harness import Player, Server, require, scenario, wait_until
from playing import check_recording, loud_sources, start_scattered
from wire import Wire

# Becomes a server that inherits a listening socket, as service managers start it.
ACTIVATE = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@scenario("output-to-pipe")
def output_to_pipe(context):
    """Raw samples on stdout; when the reader has gone, playing goes on."""
    source = context.shop.noise(24000)
    server = Server(context, output="-")
    server.process = context.launch(server.command, "server", env=server.env, stdout=subprocess.PIPE)
    wait_until(lambda: "ready" in server.messages(), 5, "server ready")
    player = Player(context, source)
    data = server.process.stdout.read(4 * 48000)
    player.finish()
    played = np.frombuffer(data, "<i2").reshape(-1, 2)
    first = int(np.flatnonzero(played.any(axis=1))[0])
    heard = played[first : first + source.frames]
    require(len(heard) == source.frames and (heard == source.samples >> 16).all(), "the pipe's frames differ")
    require(not played[first + source.frames :].any(), "something sounds after the end")
    server.process.stdout.close()
    Player(context, source).finish()
    wait_until(lambda: "roken pipe" in server.status()["output"], 5, "the status says that the pipe is closed")
    server.stop()
    return {"clients": 2, "frames_compared": len(played), "differences": 0}


@scenario("output-limit")
def output_limit(context):
    """A file that may not grow any more ends the recording, not the server, and that is said once."""
    with Server(context, "--rate", "384000", launcher=["prlimit", "--fsize=2000000"]) as server:
        wait_until(lambda: "File too large" in server.status()["output"], 10, "the status says that the file is full")
        # Its limit is the arena's too: 1 MiB, for a lane of 384 kHz.
        Player(context, context.shop.noise(24000), "--buffer-time=100000").finish()
        require(server.messages().count("File too large") == 1, f"the log: {server.messages()}")
    return {"clients": 1}


@scenario("many-channels", quick=False)
def many_channels(context):
    sources = [context.shop.noise(24000, number, channels=channels, level=0.4, raw=True)
               for number, channels in enumerate((32, 32, 2, 8))]
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc("pcm.plain { type ringmix autostart no }"))
    with Server(context, "--channels", "32", "--rate", "48000") as server:
        players = start_scattered(context, sources, 0.3, "--buffer-size=8192", device="plain", env=env)
        for player in players:
            player.finish()
    return {"clients": 4} | check_recording(server, players)


@scenario("smallest-ring", alone=True)
def smallest_ring(context):
    """40 ms and the shortest periods: long buffers of the clients lie outside it for the most part."""
    sources = loud_sources(context, 4, 1.0, 1.5)
    with Server(context, "--period", "1", "--buffer", "2") as server:
        require(server.status()["ring_frames"] == 1920, f"another ring: {server.status()}")
        players = start_scattered(context, sources, 0.5)
        for player in players:
            player.finish()
    return {"clients": 4} | check_recording(server, players)


@scenario("service-manager")
def service_manager(context):
    """A listening socket that is passed, and readiness that is told; the socket is not the server's to remove."""
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(context.folder / "notify"))
    notices.settimeout(5)
    env = context.environment(NOTIFY_SOCKET=context.folder / "notify")
    launcher = [sys.executable, "-c", ACTIVATE, context.socket]
    with notices, Server(context, launcher=launcher, env=env) as server:
        require(b"READY=1" in notices.recv(4096), "READY=1 was not told")
        player = Player(context, context.shop.noise(24000))
        player.finish()
        with Wire(context.socket) as wire:
            wire.enter()
            require(wire.status()["server_pid"] == server.pid, "another server answers")
        server.process.terminate()
        server.wait_end(0)
        require(context.socket.exists(), "the service manager's socket was removed")
        require(b"STOPPING=1" in notices.recv(4096), "STOPPING=1 was not told")
    return {"clients": 1} | check_recording(server, [player])
