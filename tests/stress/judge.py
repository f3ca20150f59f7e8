# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares every frame that the device has played with what the players' journals and the event log say.

A frame that differs may be one of these, each of which is counted:

either       a call was so slow (stopped, killed, preempted) that the frame was played while it was being changed:
             it must be what one of the possibilities gives, for each player in such a call
in_flight    its place was in the hands of a poster that stood between gathering and putting it right
             (at most 4 blocks), at most until the engine has repaired it

Everything else is a difference.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from journal import NEVER
from reference import UNITY, rounded, stretches

NEARLY_NS = 300_000  # by how much the clock that is estimated here may be late
REPAIR_NS = 60_000_000  # two looks of the engine and some
LOOK_NS = 13_000_000  # the device's ring is taken over once a cycle, 10 ms and some
MOST_AT_ONCE = 3


@dataclass
class Device:
    ring: int
    margin: int
    rate: int
    start_ns: int

    def frame(self, time_ns):
        return (time_ns - self.start_ns) * self.rate // 10**9


def gains_of(events, stream, device, initial, first, frames):
    """The gain of each frame, from the gain events of the stream's process."""
    opened = stream.opened
    gains = np.full(frames, initial, np.int64)
    begin = device.frame(opened.begin_ns)
    end = NEVER if opened.end_ns == NEVER else device.frame(opened.end_ns + LOOK_NS)
    for event in events:
        at, length = event["first_frame"] - first, event["frames"]
        decided = event["first_frame"] - device.margin
        if event["client"] != stream.client or not begin <= decided < end or at >= frames:
            continue
        ramp = np.arange(length, dtype=np.int64)
        ramp = (event["from"] * (length - ramp) + event["to"] * ramp) // length
        cut = slice(max(at, 0), max(min(at + length, frames), 0))
        gains[cut] = ramp[cut.start - at : cut.stop - at]
        gains[max(at + length, 0) :] = event["to"]
    return gains


class Expected:
    """The sum of all lives; what else may be heard where."""

    def __init__(self, frames, channels, device, nodes):
        self.device, self.nodes = device, nodes
        self.total = np.zeros((frames, channels), np.int64)
        self.playing = []  # (first, end, text)
        self.alternatives = []  # (first, difference to the total, player)
        self.excuses = {"in_flight": np.zeros(frames, bool)}

    def routed(self, samples, opened):
        result = np.zeros((len(samples), self.total.shape[1]), np.int64)
        for target, source in self.nodes[opened.node].routing(opened.channels, self.total.shape[1]).items():
            result[:, target] = samples[:, source]
        return result

    def add_life(self, life, pid, gain_events):
        for stream in life.streams:
            self.add_stream(life, stream, pid, gain_events)
        for batch in life.batches:
            self.excuse_batch(*batch)

    def add_stream(self, life, stream, pid, gain_events):
        part, opened = stream.part, stream.opened
        ahead = 0  # frames behind the end that may have been heard all the same
        if stream.end_ns is not None:
            heard = self.device.frame(stream.end_ns[1] + NEARLY_NS)
            ahead = int(np.clip(heard - part.end, 0, len(stream.after)))
        gains = gains_of(gain_events, stream, self.device, self.nodes[opened.node].gain, part.first,
                         part.frames + ahead)
        full = gains.copy()
        fading = min(part.fade, part.frames)
        if fading:
            cut = gains_of(gain_events, stream, self.device, self.nodes[opened.node].gain, part.end - part.fade, 1)[0]
            left = np.arange(fading, 0, -1, dtype=np.int64)
            gains[part.frames - fading : part.frames] = cut * left // part.fade
        paint = stream.epoch.slice(stream.position, stream.position + part.frames)
        samples = self.routed(life.sound(stream, paint, stream.position), opened)
        share = samples * gains[: part.frames, None]
        self.add(part.first, share)
        self.playing.append((part.first, part.end, f"pid {pid} stream {part.stream} from position {stream.position}, "
                             f"frames {part.first}..{part.end - 1}, fade {part.fade}, format {opened.form}, "
                             f"{opened.channels} channels, node {opened.node}"))
        self.add_alternatives(life, stream, pid, share, gains)
        self.add_overtime(life, stream, pid, share, full, ahead)

    def add(self, first, share):
        room = self.total[first : first + len(share)]
        room += share[: len(room)]

    def add_alternatives(self, life, stream, pid, share, gains):
        """Where a slow call changed what was just being played."""
        part = stream.part
        late = min(stream.heard_from - stream.position, part.frames)
        if late > 0:
            self.alternatives.append((part.first, -share[:late], pid))
        for position, paint in stream.epoch.alternatives:
            begin = max(position, stream.position)
            end = min(position + len(paint), stream.position + len(gains))  # also what was taken back too late
            if begin >= end:
                continue
            change = self.routed(life.sound(stream, paint[begin - position : end - position], begin), stream.opened)
            at = begin - stream.position
            change *= gains[at : at + len(change), None]
            change[: max(part.frames - at, 0)] -= share[at : at + len(change)]
            self.alternatives.append((part.first + at, change, pid))

    def add_overtime(self, life, stream, pid, share, gains, ahead):
        """Where the stream may have gone on, at full gain, because the call that ended it was slow."""
        part = stream.part
        fading = min(part.fade, part.frames)
        if ahead == 0 and (stream.end_ns is None or self.device.frame(stream.end_ns[1]) < part.end - fading):
            return
        first = stream.position + part.frames - fading
        paint = np.concatenate((stream.epoch.slice(first, first + fading), stream.after[:ahead]))
        full = self.routed(life.sound(stream, paint, first), stream.opened)
        full *= gains[part.frames - fading : part.frames + ahead, None]
        full[:fading] -= share[part.frames - fading :]
        self.alternatives.append((part.end - fading, full, pid))

    def excuse(self, reason, first, end):
        self.excuses[reason][max(first, 0) : max(end, 0)] = True

    def excuse_batch(self, begin, frames, store, stored, right):
        """From when its store may have put an old sum there until it, or the engine, has put that right."""
        for first_ns, end_ns in ((store, min(right, store + REPAIR_NS)),
                                 (max(store, stored - LOOK_NS), min(right, stored + REPAIR_NS))):
            first = self.device.frame(first_ns - LOOK_NS)
            end = self.device.frame(end_ns + NEARLY_NS)
            turn = max(0, (first - begin - frames) // self.device.ring)
            while begin + turn * self.device.ring < end:
                place = begin + turn * self.device.ring
                self.excuse("in_flight", max(place, first), min(place + frames, end))
                turn += 1


class Verdict:
    def __init__(self, recording, expected):
        self.recording, self.expected = recording, expected
        self.counts = {"either": 0, "in_flight": 0}
        heard = rounded(expected.total, recording.bits)
        wrong = np.flatnonzero((heard != recording.samples).any(axis=1))
        self.wrong = self.without_excused(self.without_either(wrong))

    def options_at(self, wrong):
        """frame -> player -> [differences to the total]"""
        options = {}
        for first, change, pid in self.expected.alternatives:
            begin, end = np.searchsorted(wrong, (first, first + len(change)))
            for frame in wrong[begin:end].tolist():
                options.setdefault(frame, {}).setdefault(pid, []).append(change[frame - first])
        return options

    def possible(self, frame, players):
        nothing = np.zeros(self.expected.total.shape[1], np.int64)
        # Two streams of a player may each have an alternative there.
        each = [[*changes, *(a + b for a, b in itertools.combinations(changes, 2))] for changes in players]
        for count in range(1, MOST_AT_ONCE + 1):  # of players in whose calls it was played as it was before
            for several in itertools.combinations(each, count):
                for chosen in itertools.product(*several):
                    total = self.expected.total[frame] + sum(chosen, nothing)
                    if (rounded(total, self.recording.bits) == self.recording.samples[frame]).all():
                        return True
        return False

    def without_either(self, wrong):
        options = self.options_at(wrong)
        left = [frame for frame in wrong.tolist() if frame not in options or
                not self.possible(frame, options[frame].values())]
        self.counts["either"] = len(wrong) - len(left)
        return np.array(left, np.int64)

    def without_excused(self, wrong):
        for reason, where in self.expected.excuses.items():
            excused = where[wrong]
            self.counts[reason] = int(excused.sum())
            wrong = wrong[~excused]
        return wrong

    def describe(self, most=8):
        marked = np.zeros(len(self.recording.samples), bool)
        marked[self.wrong] = True
        heard = rounded(self.expected.total, self.recording.bits)
        lines = []
        for first, last in stretches(marked)[:most]:
            lines.append(f"frames {first}..{last}: {self.recording.samples[first].tolist()} instead of "
                         f"{heard[first].tolist()}, at the end {self.recording.samples[last].tolist()} instead of "
                         f"{heard[last].tolist()}; there played:")
            lines += [f"    {text}" for begin, end, text in self.expected.playing if begin <= last and end > first]
            lines += [f"    pid {pid} has an alternative from {begin} to {begin + len(change) - 1}"
                      for begin, change, pid in self.expected.alternatives
                      if begin <= last and begin + len(change) > first]
        return "\n".join(lines)
