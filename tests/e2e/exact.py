# SPDX-License-Identifier: LGPL-2.1-or-later
"""Any number of players at once: every frame is the saturated sum."""

import sys

from harness import Player, Server, scenario
from playing import BUSY, FAR_RING, check_recording, loud_sources, start_scattered


def play_many(context, count):
    longest = 1.6 if context.quick else 4.0
    sources = loud_sources(context, count, longest / 2, longest)
    with Server(context) as server:
        players = start_scattered(context, sources, 0.5 if context.quick else 1.5)
        for player in players:
            player.finish()
        server.wait_free()
    return {"clients": count} | check_recording(server, players)


@scenario("exact-1")
def one(context):
    return play_many(context, 1)


@scenario("exact-2")
def two(context):
    return play_many(context, 2)


@scenario("exact-8")
def eight(context):
    return play_many(context, 8)


@scenario("exact-32", quick=False, alone=True)
def thirty_two(context):
    return play_many(context, 32)


@scenario("exact-short")
def short_streams(context):
    """Streams shorter than the ring that start and end all the time, eight at once."""
    lengths = [context.random.randrange(1, 12000) for _ in range(40 if context.quick else 150)]
    sources = [context.shop.noise(frames, number) for number, frames in enumerate(lengths)]
    with Server(context) as server:
        players = []
        for number, source in enumerate(sources):
            if number >= 8:
                players[number - 8].finish()
            players.append(Player(context, source))
        for player in players:
            player.finish()
        server.wait_free()
    return {"clients": len(players)} | check_recording(server, players)


@scenario("exact-storm")
def storm(context):
    """Short periods, buffers of one length: all mix into the same blocks all the time."""
    sources = loud_sources(context, 12, 1.5, 2.0 if context.quick else 4.0, level=0.3)
    with Server(context, *FAR_RING) as server:
        players = start_scattered(context, sources, 0.2, *BUSY)
        for player in players:
            player.finish()
        server.wait_free()
    return {"clients": 12} | check_recording(server, players)


@scenario("exact-under-load", quick=False, alone=True)
def under_load(context):
    """With other programs that take all the time they get."""
    sources = loud_sources(context, 8, 2.0, 4.0)
    with Server(context) as server:
        for _ in range(6):
            context.launch([sys.executable, "-c", "while True: pass"], "load")
        players = start_scattered(context, sources, 1.0)
        for player in players:
            player.finish()
        server.wait_free()
        server.stop()
        context.end()
    return {"clients": 8} | check_recording(server, players)
