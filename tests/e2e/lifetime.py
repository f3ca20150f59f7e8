# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers that clients start, that close and open their device, and that end."""

import os
import shutil
import signal
import time
from pathlib import Path

from harness import Player, Server, Skip, require, scenario, wait_until
from playing import check_recording, loud_sources, start_scattered
from audio import read_wav
from wire import ASK_STATUS, HANDOVER, SUCCESSOR, Wire, hello, message


def processes():
    """(pid, parent, session, state, arguments) of all that can be seen."""
    result = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        result.append((int(entry.name), int(fields[1]), int(fields[3]), fields[0], arguments))
    return result


def servers_of(instance):
    return [entry for entry in processes() if "--autostarted" in entry[4] and instance in entry[4]]


def unprivileged(context, folder):
    """Popen's options for a user who may read the build; root's own servers are the system's, at /run."""
    if os.getuid() != 0:
        return {}
    folder.chmod(0o700)
    os.chown(folder, 65534, 65534)
    context.folder.chmod(0o755)
    for path in (context.build, *context.build.parents, context.folder):
        if path.stat().st_mode & 0o005 != 0o005:
            raise Skip(f"user nobody cannot read {path}")
    return {"user": 65534, "group": 65534, "extra_groups": []}


def stop_servers(instance):
    for entry in servers_of(instance):
        os.kill(entry[0], signal.SIGKILL)


def start_together(context, instance, extra, env, user):
    """Ten players at the same moment, with descriptors that a server must not inherit."""
    config = f'pcm.auto {{ type plug slave.pcm {{ type ringmix instance "{instance}" slave virtual {extra} }} }}'
    env = dict(env, ALSA_CONFIG_PATH=str(context.asoundrc(config)))
    marker = open(context.folder / "marker", "w+")
    reading, writing = os.pipe()
    try:
        sources = [context.shop.noise(48000 + 100 * number, number) for number in range(10)]
        return [Player(context, source, device="auto", env=env, pass_fds=(marker.fileno(), writing), cwd="/tmp", **user)
                for source in sources]
    finally:
        marker.close()
        os.close(reading)
        os.close(writing)


def check_server(instance, players):
    """Exactly one, in a session of its own, child of none of the players, with its own descriptors only."""
    found = servers_of(instance)
    require(len(found) == 1, f"{len(found)} servers: {found}")
    pid, parent, session, _, _ = found[0]
    require(session != os.getsid(0), "the server is in the session of its clients")
    require(parent not in [player.pid for player in players], "the server is a player's child")
    links = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links[int(link.name)] = os.readlink(link)
        except OSError:
            continue
    for number in range(3):
        require(links.get(number) == "/dev/null", f"descriptor {number} of the server is {links.get(number)}")
    strange = {number: target for number, target in links.items()
               if "marker" in target or target.startswith("pipe:") or target.endswith((".wav", ".log"))}
    require(not strange, f"the server has inherited descriptors: {strange}")
    zombies = [entry for entry in processes() if entry[3] == "Z" and entry[1] in [player.pid for player in players]]
    require(not zombies, f"players have zombie children: {zombies}")
    return pid


def autostart(context, extra, env, user):
    instance = f"test-{os.getpid()}-{context.random.randrange(10**6)}"
    try:
        players = start_together(context, instance, extra, env, user)
        wait_until(lambda: all("period_size" in player.messages() or player.process.poll() is not None
                               for player in players), 10, "all players have opened")
        require(all(player.process.poll() is None for player in players),
                "aplay: " + " | ".join(player.messages()[-200:] for player in players if player.process.poll()))
        server = check_server(instance, players)
        for player in players:
            player.finish()
        last = time.monotonic()
        wait_until(lambda: not servers_of(instance), 15, "the server ends by itself")
        seconds = time.monotonic() - last
        require(seconds > 3, f"the server ended {seconds:.1f} s after the last client: too soon for the next one")
        return {"clients": len(players), "servers": 1, "server_ended_after_s": round(seconds, 1), "server_pid": server}
    finally:
        stop_servers(instance)


@scenario("autostart")
def autostart_in_runtime_folder(context):
    folder = context.folder / "runtime"
    folder.mkdir(mode=0o700)
    user = unprivileged(context, folder)
    env = context.environment(XDG_RUNTIME_DIR=folder, RINGMIX_SOCKET=None, HOME="/nonexistent")
    figures = autostart(context, "", env, user)
    require(not list(folder.rglob("*.sock")), f"a socket was left behind: {list(folder.rglob('*'))}")
    return figures


@scenario("autostart-socket", quick=False)
def autostart_at_socket(context):
    env = context.environment(XDG_RUNTIME_DIR=None, RINGMIX_SOCKET=None)
    return autostart(context, f'socket "{context.socket}"', env, {})


@scenario("autostart-nowhere")
def autostart_without_runtime_folder(context):
    """As cron and su do it. The device is free as soon as the last client has left; the server ends later."""
    marks = context.folder / "nowhere"
    marks.mkdir()
    user = unprivileged(context, marks)
    place = Path(f"/tmp/ringmix-{user.get('user', os.getuid())}")
    existed = place.exists()
    instance = f"nowhere-{os.getpid()}-{context.random.randrange(10**6)}"
    config = context.asoundrc(f'pcm.auto {{ type plug slave.pcm {{ type ringmix instance "{instance}" slave virtual }} }}')
    env = context.environment(XDG_RUNTIME_DIR=None, RINGMIX_SOCKET=None, HOME="/nonexistent", ALSA_CONFIG_PATH=config)
    try:
        players = [Player(context, context.shop.noise(24000, number), device="auto", env=env, cwd="/tmp", **user)
                   for number in range(2)]
        for player in players:
            player.finish()
        require(len(servers_of(instance)) == 1, f"servers: {servers_of(instance)}")
        with Wire(place / f"{instance}.sock") as wire:
            wire.enter()
            wait_until(lambda: wire.status()["state"] == "closed", 4, "the device is closed before the server ends")
        require(place.stat().st_mode & 0o777 == 0o700, f"{place} has mode {place.stat().st_mode:o}")
        wait_until(lambda: not servers_of(instance), 15, "the server ends by itself")
        return {"clients": 2}
    finally:
        stop_servers(instance)
        if not existed:
            shutil.rmtree(place, ignore_errors=True)


@scenario("autostart-failures")
def autostart_failures(context):
    """A server that cannot start: its reason is the client's message."""
    source = context.shop.noise(2400)
    for slave, program, words in [("hw:77", context.server_program, ["hw:77"]),
                                  ("virtual", "/nonexistent/ringmixd", ["/nonexistent/ringmixd"]),
                                  ("virtual", "/bin/false", ["/bin/false"])]:
        config = context.asoundrc(f'pcm.auto {{ type ringmix slave "{slave}" }}')
        player = Player(context, source, device="auto",
                        env=context.environment(ALSA_CONFIG_PATH=config, RINGMIX_SERVER=program))
        require(player.wait(10) == 1, f"aplay played without a server: {player.messages()}")
        for word in words:
            require(word in player.messages(), f"slave {slave}, server {program}: no word of {word} in "
                                               f"{player.messages()!r}")


@scenario("autostart-race", quick=False, alone=True)
def autostart_race(context):
    """Servers that end as soon as they are alone, while the next players come: each of them finds one."""
    instance = f"race-{os.getpid()}-{context.random.randrange(10**6)}"
    program = context.folder / "server"
    program.write_text(f'#!/bin/sh\necho $$ >> {context.folder}/servers\n'
                       f'exec {context.server_program} "$@" --idle 0.3\n')
    program.chmod(0o755)
    config = context.asoundrc(f'pcm.auto {{ type ringmix instance "{instance}" socket "{context.socket}" '
                              'slave virtual }')
    env = context.environment(RINGMIX_SERVER=program, RINGMIX_SOCKET=None, ALSA_CONFIG_PATH=config)
    players = []
    try:
        for _ in range(25):
            players += [Player(context, context.shop.noise(2400), device="auto", env=env)
                        for _ in range(context.random.randrange(1, 4))]
            for player in players[-3:]:
                player.finish()
            time.sleep(context.random.uniform(0.28, 0.34))  # about when it ends
        wait_until(lambda: not servers_of(instance), 5, "the last server ends")
        return {"clients": len(players), "servers": len((context.folder / "servers").read_text().split())}
    finally:
        stop_servers(instance)


@scenario("idle", quick=False)
def idle(context):
    """Without clients the device is closed; the next client finds it open."""
    with Server(context, "--idle", "1", output=None) as server:
        for turn in range(3):
            player = Player(context, context.shop.noise(24000, 80 + turn))
            player.finish()
            wait_until(lambda: server.status()["state"] == "closed", 5, "the device is closed")
            require(context.ctl("clients") == [], "clients of a closed device")
            require(context.ctl("status")["frames_played"] == 0, f"status when closed: {context.ctl('status')}")
    return {"clients": 3}


@scenario("priorities")
def priorities(context):
    """Where the engine is realtime, so is the thread that sees deaths, below it; what is slow is not."""
    def threads(server):
        result = {}
        for task in Path(f"/proc/{server.pid}/task").iterdir():
            number = int(task.name)
            policy = os.sched_getscheduler(number) & ~os.SCHED_RESET_ON_FORK
            name = "control" if number == server.pid else (task / "comm").read_text().strip()
            result[name] = os.sched_getparam(number).sched_priority if policy == os.SCHED_FIFO else 0
        return result

    with Server(context, output=None) as server:
        player = Player(context, context.shop.noise(24000))
        wait_until(lambda: context.ctl("clients"), 5, "it has a client, so the engine has begun")
        if not context.ctl("status")["realtime"]:
            require(max(threads(server).values()) == 0, f"realtime without its engine: {threads(server)}")
            raise Skip("SCHED_FIFO is not permitted")
        wait_until(lambda: threads(server)["control"] > 0, 3, "control is realtime")
        found = threads(server)
        require(0 < found["control"] < found["ringmix-engine"] and found["ringmix-butler"] == 0, f"threads: {found}")
        player.finish()
    return found


@scenario("short-plays")
def short_plays(context):
    """One after the other: nothing is used up."""
    sources = [context.shop.noise(2400, number) for number in range(10)]
    with Server(context) as server:
        players = []
        for number in range(8 if context.quick else 50):
            players.append(Player(context, sources[number % len(sources)]))
            players[-1].finish()
        server.wait_free()
        descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
        require(descriptors < 25, f"the server has {descriptors} descriptors open")
    return {"clients": len(players)} | check_recording(server, players)


def replace(context, server):
    """Another server takes this one's place, which ends well; `server` is that one then."""
    before = server.process
    command = [context.server_program, "--replace"]
    server.process = context.launch(command, "successor", env=context.environment())
    wait_until(lambda: "ringmixd: ready" in server.messages() or server.process.poll() is not None, 10, "a successor")
    require(server.process.poll() is None, f"the successor ended at once: {server.messages()}")
    wait_until(lambda: before.poll() is not None, 10, "the server before has ended")
    require(before.returncode == 0, f"it ended with {before.returncode}: {before.log.read_text()[-300:]}")


@scenario("replaced")
def replaced(context):
    """Servers follow each other under playing programs, and others come and go: no frame differs, nothing is lost."""
    seconds = 3 if context.quick else 8
    with Server(context) as server:
        players = start_scattered(context, loud_sources(context, 6, seconds, seconds + 1), 0.1)
        wait_until(lambda: len(server.clients()) == 6, 5, "all play")
        for turn in range(3 if context.quick else 12):
            before = {client["id"]: (client["name"], client["pid"]) for client in server.clients()}
            replace(context, server)
            after = {client["id"]: (client["name"], client["pid"]) for client in server.clients()}
            require(after.items() <= before.items(), f"clients were {before} and are {after}")
            require(server.status()["frames_played"] > 0 and server.status()["xruns"] == 0, f"{server.status()}")
            players.append(Player(context, context.shop.noise(12000, 300 + turn, level=0.2)))
            time.sleep(context.random.uniform(0, 0.3))
        for player in players:
            player.finish()
        server.wait_free()
        descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
        require(descriptors < 25, f"the server has {descriptors} descriptors open")
    return {"clients": len(players)} | check_recording(server, players)


@scenario("replacement-fails")
def replacement_fails(context):
    """Whoever wants to take a server's place and does not come to do it leaves it as it was."""
    with Server(context) as server:
        players = start_scattered(context, loud_sources(context, 4, 3, 3), 0.1)
        wait_until(lambda: len(server.clients()) == 4, 5, "all play")
        for _ in range(3):  # dies when it has everything
            with Wire(context.socket) as successor:
                kind, _ = successor.ask(hello(SUCCESSOR))
                require(kind == HANDOVER and len(successor.descriptors) == 5, f"message {kind} is no handing over")
        with Wire(context.socket) as successor:  # says something else than that it is ready
            successor.ask(hello(SUCCESSOR))
            successor.send(message(ASK_STATUS))
        require(len(server.clients()) == 4, f"clients: {server.clients()}")
        require(server.process.poll() is None, "the server has ended")
        for player in players:
            player.finish()
        server.wait_free()
    figures = check_recording(server, players)
    nobody = context.launch([context.server_program, "--replace", "--device", "virtual"], "successor",
                            env=context.environment())
    wait_until(lambda: "ringmixd: ready" in nobody.log.read_text(), 10, "with nobody there it starts as usual")
    require("no server answers" in nobody.log.read_text(), f"it says: {nobody.log.read_text()}")
    nobody.terminate()
    require(nobody.wait(10) == 0, "it ends well")
    return {"clients": 4} | figures


@scenario("server-restart")
def server_restart(context):
    """A socket that a killed server left behind is replaced; its recording can be read."""
    source = context.shop.noise(240000, 90)
    with Server(context) as first:
        player = Player(context, source)
        wait_until(lambda: first.status()["output_frames"] > 48000, 8, "a second is recorded")
        first.kill()
        require(player.wait(2) == 1, f"aplay ended with {player.process.returncode}: {player.messages()[-300:]}")
    recording = read_wav(first.output)
    require(len(recording.samples) > 20000, f"only {len(recording.samples)} frames of the killed server's recording")
    require(context.socket.exists(), "no stale socket to replace")
    with Server(context) as second:
        players = start_scattered(context, [context.shop.noise(24000, 91)], 0)
        players[0].finish()
        figures = check_recording(second, players)
    return {"clients": 2} | figures
