# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a device should have played: the exact sum, from the sources and the server's event log.

The arithmetic is that of src/core/mix.h: samples in 32-bit scale, gains with 22 fractional bits, one
rounding (half up) of the sum to the device's format, saturated.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import Failure

UNITY = 1 << 22


@dataclass
class Part:
    """One stream of a client, as its end event tells it."""

    pid: int
    stream: int
    first: int
    frames: int
    fade: int

    @property
    def end(self):
        return self.first + self.frames


def load_events(path):
    """The log's events; a last line without its end (the writer was killed) is left out."""
    return [json.loads(line) for line in Path(path).read_text().splitlines(keepends=True) if line.endswith("\n")]


def ended_parts(events):
    """Process id -> its streams in the order of their frames; checks that starts and ends go together."""
    open_streams, parts = {}, {}
    for event in events:
        key = (event["client"], event["pid"], event["stream"])
        if event["event"] == "start":
            if key in open_streams:
                raise Failure(f"event log: started twice: {event}")
            open_streams[key] = event["first_frame"]
            continue
        if open_streams.pop(key, None) != event["first_frame"]:
            raise Failure(f"event log: an end without its start: {event}")
        if event["last_frame"] + 1 - event["first_frame"] != event["frames"]:
            raise Failure(f"event log: frames do not add up: {event}")
        parts.setdefault(event["pid"], []).append(
            Part(event["pid"], event["stream"], event["first_frame"], event["frames"], event["fade_frames"]))
    if open_streams:
        raise Failure(f"event log: never ended: {open_streams}")
    for list_ in parts.values():
        list_.sort(key=lambda part: part.first)
    return parts


class Mix:
    """A sum in 53 bits and sign, for each sample of the recording."""

    def __init__(self, frames, channels):
        self.total = np.zeros((frames, channels), np.int64)
        self.playing = np.zeros(frames + 1, np.int32)
        self.added = []  # (part, its contribution), to explain what differs

    def add(self, samples, part, gain=UNITY, routing=None):
        """Adds what `part` has played of `samples` (silence behind their end), the last `fade` frames faded out.
        routing: device channel -> channel of `samples`."""
        first, frames, fade = part.first, part.frames, part.fade
        if first + frames > len(self.total):
            raise Failure(f"frames {first} to {first + frames - 1} are logged, {len(self.total)} were recorded")
        routing = routing or {channel: channel for channel in range(samples.shape[1])}
        gains = np.full(frames, gain, np.int64)
        if fade:  # it may have begun before the first frame
            left = np.arange(min(fade, frames), 0, -1, dtype=np.int64)
            gains[frames - len(left) :] = gain * left // fade
        count = min(frames, len(samples))
        share = np.zeros((count, self.total.shape[1]), np.int64)
        for channel, source in routing.items():
            share[:, channel] = samples[:count, source] * gains[:count]
        self.total[first : first + count] += share
        self.added.append((part, share))
        self.playing[first] += 1
        self.playing[first + frames] -= 1

    def result(self, bits):
        """The device's samples."""
        return rounded(self.total, bits)

    def clipped_frames(self, bits):
        return int((np.abs(self.total >> (54 - bits)) >= 2 ** (bits - 1)).any(axis=1).sum())

    def most_at_once(self):
        return int(np.cumsum(self.playing).max())


def stretches(wrong):
    """[(first, last)] of the frames that are marked."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], wrong.astype(np.int8), [0]))))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2])]


def rounded(total, bits):
    """Sums as the device's samples."""
    shift = 54 - bits
    highest = 2 ** (bits - 1) - 1
    return np.clip((total + (1 << (shift - 1))) >> shift, -highest - 1, highest)


def explanation(recording, mix, first, last):
    """Which single stream, if it were missing there, would explain these frames; who played."""
    playing = [(part, share) for part, share in mix.added if part.first <= last and part.first + len(share) > first]
    missing = []
    for part, share in playing:
        total = mix.total[first : last + 1].copy()
        begin, end = max(first, part.first), min(last + 1, part.first + len(share))
        total[begin - first : end - first] -= share[begin - part.first : end - part.first]
        if (rounded(total, recording.bits) == recording.samples[first : last + 1]).all():
            missing.append(f"{part} is missing there")
    return f"{len(playing)} played; " + (", or ".join(missing) or "no single missing stream explains it")


def describe(recording, mix, wrong):
    """The first places that differ, in words."""
    expected = mix.result(recording.bits)
    found = stretches(wrong)
    words = [f"frames {first}..{last}: at first {recording.samples[first].tolist()} instead of "
             f"{expected[first].tolist()}: {explanation(recording, mix, first, last)}" for first, last in found[:4]]
    return f"{int(wrong.sum())} frames differ in {len(found)} stretches; " + "; ".join(words)


def compare(recording, mix):
    """Every frame of the recording, silence included. Returns the figures; differences are a Failure."""
    expected = mix.result(recording.bits)
    wrong = (recording.samples != expected).any(axis=1)
    if wrong.any():
        raise Failure(describe(recording, mix, wrong))
    return {"frames_compared": len(expected), "differences": 0, "frames_clipped": mix.clipped_frames(recording.bits),
            "most_at_once": mix.most_at_once()}
