# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a device should have played: the exact sum, from the sources and the server's event log.

The arithmetic is that of src/kernels/mix.h: samples in 32-bit scale, gains with 22 fractional bits; the sum bent
and dithered if the server is asked for that; then one rounding (half up; for FLOAT to nearest even) to
the device's format, saturated.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import Failure

UNITY = 1 << 22
FULL = 1 << 53  # full scale of a sum


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

    def __init__(self, frames, channels, clip="hard", dither="none"):
        self.clip, self.dither = clip, dither
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

    def played(self, total, bits, floats, first=0):
        """Sums of the frames from `first` on as the device's samples."""
        if self.clip == "soft":
            total = softened(total)
        if self.dither == "tpdf":
            total = dithered(total, bits, first)
        return as_floats(total) if floats else rounded(total, bits)

    def result(self, recording):
        """The device's samples."""
        return self.played(self.total, recording.bits, recording.floats)

    def clipped_frames(self, bits):
        return int((np.abs(self.total >> (54 - bits)) >= 2 ** (bits - 1)).any(axis=1).sum())

    def bent_frames(self):
        """Those above -6 dB."""
        return int((np.abs(self.total) > FULL // 2).any(axis=1).sum())

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


def softened(total):
    """Unchanged to -6 dB, then the parabola that reaches full scale at +3.5 dB."""
    size = np.minimum(np.abs(total), 3 * FULL // 2)
    left = (3 * FULL // 2 - np.maximum(size, FULL // 2)) >> 22  # of 2^31
    return np.sign(total) * np.where(size > FULL // 2, FULL - (left * left >> 10), size)


def split_mix(numbers):
    """The outputs of SplitMix64, seeded with 0, of these numbers (uint64)."""
    with np.errstate(over="ignore"):
        state = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        return state ^ (state >> np.uint64(31))


def dithered(total, bits, first):
    """Triangular noise of one unit of the device either way, on all that is to be rounded."""
    shift = 54 - bits
    numbers = np.arange(total.size, dtype=np.uint64) + np.uint64(first * total.shape[1])
    words = split_mix(numbers).reshape(total.shape)
    both = (words >> np.uint64(32)).astype(np.int64) + (words & np.uint64(0xFFFFFFFF)).astype(np.int64) - (1 << 32)
    noise = both << (shift - 32) if shift > 32 else both >> (32 - shift)
    return total + np.where(total & ((1 << shift) - 1), noise, 0)


def as_floats(total):
    """The doubles are exact, so that there is one rounding."""
    return (np.clip(total, -FULL, FULL - (1 << 22)).astype(np.float64) * 2.0**-53).astype(np.float32)


def explanation(recording, mix, first, last):
    """Which single stream, if it were missing there, would explain these frames; who played."""
    playing = [(part, share) for part, share in mix.added if part.first <= last and part.first + len(share) > first]
    missing = []
    for part, share in playing:
        total = mix.total[first : last + 1].copy()
        begin, end = max(first, part.first), min(last + 1, part.first + len(share))
        total[begin - first : end - first] -= share[begin - part.first : end - part.first]
        if (mix.played(total, recording.bits, recording.floats, first) == recording.samples[first : last + 1]).all():
            missing.append(f"{part} is missing there")
    return f"{len(playing)} played; " + (", or ".join(missing) or "no single missing stream explains it")


def describe(recording, mix, wrong):
    """The first places that differ, in words."""
    expected = mix.result(recording)
    found = stretches(wrong)
    words = [f"frames {first}..{last}: at first {recording.samples[first].tolist()} instead of "
             f"{expected[first].tolist()}: {explanation(recording, mix, first, last)}" for first, last in found[:4]]
    return f"{int(wrong.sum())} frames differ in {len(found)} stretches; " + "; ".join(words)


def compare(recording, mix):
    """Every frame of the recording, silence included. Returns the figures; differences are a Failure."""
    expected = mix.result(recording)
    wrong = (recording.samples != expected).any(axis=1)
    if wrong.any():
        raise Failure(describe(recording, mix, wrong))
    return {"frames_compared": len(expected), "differences": 0, "frames_clipped": mix.clipped_frames(recording.bits),
            "most_at_once": mix.most_at_once()}
