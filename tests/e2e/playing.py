# SPDX-License-Identifier: LGPL-2.1-or-later
"""What several tests share: players that start at random moments, and the check of what was played."""

import time

from audio import read_wav
from harness import Player, require, sleep_until
from reference import UNITY, Mix, compare, ended_parts, load_events


# Players that mix all the time, into blocks that lie a second ahead (so that a busy machine does no harm), and
# the server's options for a ring that reaches so far.
BUSY = ["--period-size=32", "--buffer-size=48000"]
FAR_RING = ["--buffer", "65536", "--arena", "8"]


def random_lengths(context, count, shortest, longest):
    """In frames at 48 kHz; odd ones too."""
    return [int(context.random.uniform(shortest, longest) * 48000) for _ in range(count)]


def loud_sources(context, count, shortest, longest, level=0.7):
    return [context.shop.noise(frames, number, level=level)
            for number, frames in enumerate(random_lengths(context, count, shortest, longest))]


def start_scattered(context, sources, spread, *arguments, **options):
    """One player per source, started at random moments within `spread` seconds."""
    begin = time.monotonic()
    moments = sorted(context.random.uniform(0, spread) for _ in sources)
    players = []
    for source, moment in zip(sources, moments):
        sleep_until(begin + moment)
        players.append(Player(context, source, *arguments, **options))
    return players


def require_complete(player, parts):
    """Its one stream has played the whole file (and up to a period of the silence that aplay adds)."""
    own = parts.get(player.pid, [])
    require(len(own) == 1, f"aplay {player.pid}: {len(own)} streams instead of one: {own}")
    least, period = player.source.frames, player.period()
    require(least <= own[0].frames <= least + period,
            f"aplay {player.pid}: {own[0].frames} frames were played of a file of {least} (period {period})")
    require(own[0].fade == 0, f"aplay {player.pid}: faded out: {own[0]}")


def mix_of(recording, parts, players, gains=None, routings=None, **shape):
    """The sum of all that the players' streams have played. One that ran dry goes on in another stream, where the
    one before it ended."""
    mix = Mix(*recording.samples.shape, **shape)
    for player in players:
        position = 0
        for part in parts.get(player.pid, []):
            mix.add(player.source.samples[position:], part, (gains or {}).get(player, UNITY),
                    (routings or {}).get(player))
            position += part.frames
    return mix


def check_recording(server, complete, partial=(), gains=None, routings=None, **shape):
    """Stops the server and compares all that it has played with the sum of the players' sources, to the bit.
    complete: players that must have played their whole file; partial: those that may have been cut short;
    shape: the server's clip and dither, if they are not the usual ones."""
    if not server.stopped:
        server.stop()
    parts = ended_parts(load_events(server.events))
    recording = read_wav(server.output)
    for player in complete:
        require_complete(player, parts)
    players = [*complete, *partial]
    known = {player.pid for player in players}
    require(set(parts) <= known, f"streams of processes that nobody started: {set(parts) - known}")
    return compare(recording, mix_of(recording, parts, players, gains, routings, **shape))
