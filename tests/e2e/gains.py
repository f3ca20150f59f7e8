# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gains that change while programs play: exact before, during and after each ramp."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from audio import read_wav
from harness import Player, Server, require, scenario, wait_until
from playing import loud_sources
from reference import UNITY, Mix, compare, ended_parts, load_events


def gains_of(events, pid, first, frames):
    """The gain of each frame of a stream, as src/core/gain.h says."""
    gains = np.full(frames, UNITY, np.int64)
    for event in events:
        if event["event"] != "gain" or event["pid"] != pid:
            continue
        at, length = event["first_frame"] - first, event["frames"]
        ramp = (event["from"] * (length - np.arange(length, dtype=np.int64)) + event["to"] * np.arange(length)) // length
        for frame in range(max(at, 0), min(at + length, frames)):
            gains[frame] = ramp[frame - at]
        if at + length < frames:
            gains[max(at + length, 0):] = event["to"]
    return gains


def changes_in(events):
    return sum(event["event"] == "gain" for event in events)


@scenario("gains")
def gains(context):
    sources = loud_sources(context, 3, 2.5, 3.0)
    with Server(context) as server:
        players = [Player(context, source) for source in sources]
        wait_until(lambda: sum(client["state"] == "running" for client in server.clients()) == 3, 5, "all play")
        ids = {client["pid"]: str(client["id"]) for client in server.clients()}
        first, second = ids[players[0].pid], ids[players[1].pid]
        commands = [("gain", first, "=-6.02"), ("mute", second), ("gain", first, "+3"), ("unmute", second),
                    ("gain", second, "12"), ("gain", first, "-inf"), ("gain", first, "0")]
        for number, command in enumerate(commands):
            context.ctl(*command)
            wait_until(lambda: changes_in(load_events(server.events)) > number, 2, "the change is logged")
        told = {client["pid"]: client for client in server.clients()}
        require(abs(told[players[1].pid]["gain_db"] - 12) < 0.01, f"gain of 12 dB is told as {told[players[1].pid]}")
        for player in players:
            player.finish()
        server.stop()
    return compare_with_gains(server, players) | {"clients": 3}


@scenario("gains-in-haste")
def gains_in_haste(context):
    """Changes that are asked for while another one is still going on: each begins when that has ended."""
    with Server(context, "--format", "S32_LE", "--period", "64") as server:
        player = Player(context, loud_sources(context, 1, 2.0, 2.0)[0])
        wait_until(lambda: any(client["state"] == "running" for client in server.clients()), 5, "it plays")
        name = str(server.clients()[0]["id"])
        with ThreadPoolExecutor(4) as askers:
            list(askers.map(lambda gain: context.ctl("gain", name, f"=-{gain}"), range(1, 41)))
        player.finish()
        server.stop()
    ramps = [(event["first_frame"], event["first_frame"] + event["frames"]) for event in load_events(server.events)
             if event["event"] == "gain"]
    require(all(end <= start for (_, end), (start, _) in pairwise(ramps)), f"ramps overlap: {ramps}")
    return compare_with_gains(server, [player]) | {"clients": 1}


def asked(decibels):
    """A gain as it is kept: fixed point, rounded to nearest."""
    return round(10 ** (decibels / 20) * UNITY)


def played_with(samples, gain):
    """What a device of 16 bits plays of a lone program: rounded once, half up, and cut at full scale."""
    return np.clip(((samples >> 16) * gain + UNITY // 2) // UNITY, -32768, 32767)


@scenario("gains-heard")
def gains_heard(context):
    """Mute and gain are what is heard: the expected samples follow from the commands alone."""
    steps = [(("mute",), 0), (("unmute",), UNITY), (("gain", "=-6"), asked(-6)), (("mute",), 0),
             (("unmute",), asked(-6)), (("gain", "12"), asked(12)), (("gain", "-inf"), 0),
             (("gain", "=-0.1"), asked(-0.1)), (("gain", "0"), UNITY)]
    held, settled = 9600, 4800  # frames of the device between two commands; of these, as long as a change may take
    with Server(context, "--format", "S16_LE") as server:
        player = Player(context, loud_sources(context, 1, 3.0, 3.0)[0])
        wait_until(lambda: any(client["state"] == "running" for client in server.clients()), 5, "it plays")
        name = str(server.clients()[0]["id"])
        played = lambda: server.status()["frames_played"]
        begun = played()
        wait_until(lambda: played() >= begun + held, 5, "the device plays on")
        stretches = [(0, played(), UNITY)]
        for words, gain in steps:
            context.ctl(words[0], name, *words[1:])
            done = played()
            wait_until(lambda: played() >= done + held, 5, "the device plays on")
            stretches.append((done + settled, played(), gain))
        player.finish()
        server.stop()
    heard = read_wav(server.output).samples
    source = player.source.samples
    first = int(np.flatnonzero(heard.any(axis=1))[0])
    frames = 0
    for start, end, gain in stretches:
        start, end = max(start, first), min(end, first + len(source))
        require(end - start >= 1000, f"only {end - start} frames were played with gain {gain}")
        wanted = played_with(source[start - first : end - first], gain)
        wrong = np.flatnonzero((heard[start:end] != wanted).any(axis=1))
        require(not wrong.size, f"gain {gain} of {UNITY} from frame {start} on: {wrong.size} of {end - start} frames are "
                                f"different, the first is {start + wrong[0] if wrong.size else 0}")
        frames += end - start
    return {"frames_compared": frames, "changes": len(steps)}


def compare_with_gains(server, players):
    events = load_events(server.events)
    changes = changes_in(events)
    recording = read_wav(server.output)
    parts = ended_parts([event for event in events if event["event"] != "gain"])
    mix = Mix(*recording.samples.shape)
    for player in players:
        for part in parts[player.pid]:
            curve = gains_of(events, player.pid, part.first, part.frames)
            count = min(part.frames, player.source.frames)
            mix.total[part.first : part.first + count] += player.source.samples[:count] * curve[:count, None]
    return {"changes": changes} | compare(recording, mix)
