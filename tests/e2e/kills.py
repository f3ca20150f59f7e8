# SPDX-License-Identifier: LGPL-2.1-or-later
"""Players that are killed or stopped at random moments must not be heard in the others."""

import signal
import time

import numpy as np

from audio import read_wav
from harness import Failure, Player, Server, require, scenario, sleep_until, wait_until
from playing import BUSY, FAR_RING, check_recording, loud_sources, require_complete, start_scattered
from reference import ended_parts, load_events, stretches
from wire import Wire

BATCH_FRAMES = 4 * 64  # that one poster works on at a time: at most so many a stopped one can spoil
LONGEST_TAIL = 2400  # frames that a killed player may still be heard: 50 ms


class FrameClock:
    """Which frame the virtual device plays at a moment of time.monotonic(): its frame 0 was at the start."""

    def __init__(self, server):
        self.start = time.monotonic()
        with Wire(server.context.socket) as wire:
            wire.enter()
            for _ in range(200):
                played = wire.status()["frames_played"]
                self.start = min(self.start, time.monotonic() - played / 48000)
                time.sleep(0.0005)

    def frame(self, moment):
        """Never later than the true one (what is known is the device's last look at its clock)."""
        return (moment - self.start) * 48000


class Victim:
    def __init__(self, context, source, lifetime, weapon):
        self.weapon = weapon
        self.player = Player(context, source, *context.random.choice([[], BUSY]))
        self.death = time.monotonic() + lifetime
        self.killed_at = None

    def kill(self):
        self.killed_at = time.monotonic()
        self.player.signal(self.weapon)
        self.player.wait(30)


def kill_while(context, weapons, sources, end):
    """Eight victims at a time, each killed at a random moment of its life, until the time has come."""
    alive, dead = [], []
    while time.monotonic() < end or alive:
        while len(alive) < 8 and time.monotonic() < end:
            # Many die while they connect, configure or start; some play for long.
            lifetime = context.random.choice([context.random.uniform(0, 0.03), context.random.uniform(0.1, 1.5)])
            alive.append(Victim(context, context.random.choice(sources), lifetime, context.random.choice(weapons)))
        victim = min(alive, key=lambda one: one.death)
        sleep_until(victim.death)
        victim.kill()
        alive.remove(victim)
        dead.append(victim)
    return dead


def check_tails(context, victims, clock, parts):
    """How long after its death each victim was heard (frames)."""
    tails = []
    for victim in victims:
        for part in parts.get(victim.player.pid, []):
            tails.append(part.end - 1 - clock.frame(victim.killed_at))
            require(part.fade <= 240, f"faded out over {part.fade} frames, longer than 5 ms: {part}")
    require(tails, "no victim was ever heard")
    # A machine without a processor to spare wakes the server as late as it likes, now and then: one of them says
    # nothing, but it does not do so to most of them, and it shows in others' sleep.
    limit = LONGEST_TAIL + context.machine_late() * 48000
    require(np.median(tails) <= limit, f"half of {len(tails)} killed players were heard for more than "
                                       f"{np.median(tails):.0f} frames after their death (at most {limit:.0f})")
    return {"heard_longer_than_50_ms": sum(tail > LONGEST_TAIL for tail in tails),
            "heard_after_death_max_frames": round(max(tails)),
            "heard_after_death_median_frames": round(float(np.median(tails)))}


def play_and_kill(context, seconds, weapons, ring):
    """Eight survivors among victims. Returns the figures, the victims and what was logged."""
    survivors_sources = loud_sources(context, 8, seconds - 0.5, seconds, level=0.3)
    victims_sources = [context.shop.noise(48000 * 6, 100 + number, level=0.5) for number in range(6)]
    victims_sources += [context.shop.noise(20000 + number, 110 + number) for number in range(3)]  # draining soon
    with Server(context, *ring) as server:
        clock = FrameClock(server)
        survivors = start_scattered(context, survivors_sources[:4], 0.3)
        survivors += start_scattered(context, survivors_sources[4:], 0.1, *BUSY)
        victims = kill_while(context, weapons, victims_sources, time.monotonic() + seconds - 0.5)
        pids = {victim.player.pid for victim in victims}
        wait_until(lambda: not pids & {client["pid"] for client in server.clients()}, 10, "slots of killed players free")
        for player in survivors:
            player.finish()
        server.wait_free()
    figures = check_recording(server, survivors, [victim.player for victim in victims])
    parts = ended_parts(load_events(server.events))
    if weapons == [signal.SIGKILL]:  # others may drain before they end
        figures |= check_tails(context, victims, clock, parts)
    return {"clients": 8, "killed": len(victims)} | figures, victims, parts


@scenario("kills")
def kills(context):
    figures, victims, parts = play_and_kill(context, 2.4 if context.quick else 8.0, [signal.SIGKILL], FAR_RING)
    faded = sum(1 for victim in victims for part in parts.get(victim.player.pid, []) if part.fade)
    return figures | {"killed_while_heard": faded}


@scenario("interrupts")
def interrupts(context):
    """Players that stop at once, but in order: they drop what is queued and close."""
    figures, _, _ = play_and_kill(context, 2.0 if context.quick else 5.0, [signal.SIGINT, signal.SIGTERM], [])
    return figures


@scenario("kill-all")
def kill_all(context):
    """All at the same moment: nothing sticks in the ring."""
    sources = loud_sources(context, 8, 5, 6)
    with Server(context) as server:
        players = start_scattered(context, sources, 0.2)
        wait_until(lambda: sum(client["state"] == "running" for client in server.clients()) == 8, 5, "all play")
        clock = FrameClock(server)
        sleep_until(time.monotonic() + context.random.uniform(0.2, 0.5))
        victims = []
        for player in players:
            victim = Victim.__new__(Victim)
            victim.player, victim.killed_at = player, time.monotonic()
            player.signal(signal.SIGKILL)
            victims.append(victim)
        server.wait_free()
        after = server.status()["frames_played"]
        wait_until(lambda: server.status()["frames_played"] > after + 16384 + 512, 5, "one more turn of the ring")
    figures = check_recording(server, [], players)
    return {"clients": 8} | figures | check_tails(context, victims, clock, ended_parts(load_events(server.events)))


def survivors_and_marks(context, seconds):
    """Six sources whose samples are multiples of 16, and four with one bit each below: a recording of their
    sum, which never clips, tells exactly what each group has contributed to every sample."""
    random = np.random.default_rng(context.random.randrange(2**32))
    shop = context.shop
    tall = [shop.write(f"{context.folder.name}tall{number}", 16 * random.integers(-300, 301, (int(seconds * 48000), 2)))
            for number in range(6)]
    low = [shop.write(f"{context.folder.name}low{bit}", random.integers(0, 2, (int(seconds * 48000), 2)) << bit)
           for bit in range(4)]
    return tall, low


def stop_and_continue(context, players, end):
    """Stops and continues random ones, two at a time at most, until the time has come; returns how often."""
    count, standing = 0, {}  # player -> when it may go on
    while time.monotonic() < end or standing:
        now = time.monotonic()
        for player in [player for player, moment in standing.items() if moment <= now]:
            player.signal(signal.SIGCONT)
            del standing[player]
        free = [player for player in players if player not in standing and player.process.poll() is None]
        if now < end and len(standing) < 2 and free and context.random.random() < 0.2:
            player = context.random.choice(free)
            player.signal(signal.SIGSTOP)
            pause = context.random.choice([context.random.uniform(0, 0.02), context.random.uniform(0.3, 0.9)])
            standing[player] = now + pause
            count += 1
        time.sleep(context.random.uniform(0, 0.01))
    require(count, "no player was stopped")
    return count


def marks_played(recording, parts, player, bit):
    """(frames with its bit, where it had no such sample to play), (frames that its streams cover but left out)."""
    heard = (recording.samples >> bit) & 1
    wanted = np.zeros_like(heard)
    position = 0  # in the file: the next stream goes on where the one before it ended
    for part in parts.get(player.pid, []):
        piece = player.source.samples[position : position + part.frames] >> (16 + bit)
        wanted[part.first : part.first + len(piece)] = piece
        position += part.frames
    return int((heard > wanted).any(axis=1).sum()), int((heard < wanted).any(axis=1).sum())


@scenario("stops")
def stops(context):
    seconds = 2.5 if context.quick else 8.0
    tall, low = survivors_and_marks(context, seconds)
    with Server(context, *FAR_RING) as server:
        survivors = start_scattered(context, tall[:3], 0.1) + start_scattered(context, tall[3:], 0.1, *BUSY)
        stopped = start_scattered(context, low[:2], 0.1) + start_scattered(context, low[2:], 0.1, *BUSY)
        count = stop_and_continue(context, stopped, time.monotonic() + seconds - 0.5)
        for player in survivors:
            player.finish()
        for player in stopped:
            player.finish(underruns=None)
        server.wait_free()
        repairs = server.status()["repairs"]
    parts = ended_parts(load_events(server.events))
    recording = read_wav(server.output)
    expected = np.zeros_like(recording.samples)
    for player in survivors:
        require_complete(player, parts)
        part = parts[player.pid][0]
        expected[part.first : part.first + player.source.frames] += player.source.samples >> 16
    spoiled = ((recording.samples & ~15) != expected).any(axis=1)
    places = stretches(spoiled)
    # One batch may be spoiled by a player that stands in the middle of it; all but the next are repaired in time.
    if int(spoiled.sum()) > BATCH_FRAMES * max(1, count // 10):
        raise Failure(f"{int(spoiled.sum())} frames of others spoiled by {count} stops: {places[:5]}")
    marks = [marks_played(recording, parts, player, bit) for bit, player in enumerate(stopped)]
    return {"clients": 10, "stops": count, "frames_compared": len(spoiled), "differences": int(spoiled.sum()),
            "underruns_of_stopped": sum(player.underruns() for player in stopped),
            "stray_frames_of_stopped": sum(stray for stray, _ in marks),
            "late_frames_of_stopped": sum(left_out for _, left_out in marks), "repairs": repairs}
