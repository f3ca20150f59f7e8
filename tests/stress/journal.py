# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a player has done, from its journal (journal.h): which noise lay at which position of which stream.

A journal and the server's event log together determine what the player was heard with. Where they do
not, because a call took so long that frames which it was about to change were played meanwhile, there
are alternatives: what would have been heard if the change had come too late.
"""

from dataclasses import dataclass, field

import numpy as np

RECORD = np.dtype([("kind", "<u4"), ("done", "<u4"), ("position", "<i8"), ("frames", "<i8"), ("result", "<i8"),
                   ("key", "<u8"), ("horizon_before", "<i8"), ("horizon_after", "<i8"), ("begin_ns", "<i8"),
                   ("end_ns", "<i8"), ("state_before", "<u4"), ("state_after", "<u4"), ("started", "<u4"),
                   ("reserved", "<u4", 3)])
HEADER = np.dtype([("from", "<u8"), ("frames", "<u4"), ("point", "<u4"), ("call_ns", "<i8"), ("store_ns", "<i8"),
                   ("reserved", "V64")])
(OPEN, PREPARE, WRITE, REWIND, FORWARD, START, PAUSE, RESUME, DRAIN, DROP, CLOSE, WAIT, BATCH, WEAPON,
 END) = range(1, 16)
STOP, KILL, DELAY = 1, 2, 3  # actions of a WEAPON record
UNKNOWN, NEVER = -(2**63), 2**63 - 1
PREPARED, RUNNING, PAUSED = 2, 3, 6  # snd_pcm_state_t
XRUN = 4
SHIFTS = [24, 16, 8, 8, 0, 8]  # bits that each format of noise.h leaves out


def scattered(x):
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def noise(keys, sounding, first_position, channels, form):
    """(frames, channels) in 32-bit scale, as noise.h makes it; silence where nothing sounds."""
    positions = np.arange(first_position, first_position + len(keys), dtype=np.uint64) * np.uint64(32)
    places = positions[:, None] + np.arange(channels, dtype=np.uint64)
    with np.errstate(over="ignore"):
        words = (scattered(keys[:, None] ^ places) >> np.uint64(32)).astype(np.uint32).view(np.int32) >> 3
    shift = SHIFTS[form]
    return ((words >> shift) << shift).astype(np.int64) * sounding[:, None]


def read(path):
    """The header, and the records in pieces: the file is large and sparse."""
    piece, records = 1 << 14, []
    if not path.exists():
        path.touch()  # killed before it came so far
    with open(path, "rb") as file:
        header = np.frombuffer(file.read(HEADER.itemsize).ljust(HEADER.itemsize, b"\0"), HEADER)[0]
        while True:
            part = np.frombuffer(file.read(piece * RECORD.itemsize), RECORD)
            count = int(np.argmin(np.append(part["kind"], 0)))
            records.append(part[:count])
            if count < piece:
                return header, records


@dataclass
class Opened:
    """A PCM, from open to close."""

    node: int
    form: int
    channels: int
    buffer: int
    begin_ns: int
    end_ns: int = NEVER
    last: tuple = None  # client and number of its last stream


@dataclass
class Epoch:
    """From one prepare to the next: which write's noise lies at each position (-1: silence)."""

    paint: np.ndarray = field(default_factory=lambda: np.full(1 << 12, -1, np.int32))
    written: int = 0
    alternatives: list = field(default_factory=list)  # (first position, what lay there before a slow call)

    def slice(self, first, end):
        """The paint of these positions, silence behind what was ever written."""
        found = self.paint[first:end]
        return np.concatenate((found, np.full(end - first - len(found), -1, np.int32)))

    def write(self, position, frames, number, before, after):
        """Write `number` replaces everything from `position` on by `frames` frames. before, after: the commit horizon
        before and after the call."""
        end = position + frames
        begin = max(position, before, 0)
        most = max(end, self.written)
        while most > len(self.paint):
            self.paint = np.concatenate((self.paint, np.full(len(self.paint), -1, np.int32)))
        if begin < min(after, most):
            self.alternatives.append((begin, self.paint[begin : min(after, most)].copy()))
        if end > begin:
            self.paint[begin:end] = number
        self.paint[max(end, begin) : most] = -1
        self.written = max(end, min(begin, self.written))


@dataclass
class Stream:
    """What the event log calls a stream: between a start or resume and a pause or another end."""

    opened: Opened
    epoch: Epoch
    part: object  # of the event log
    client: int  # which of the server's it was
    position: int  # that its first frame plays
    begin_ns: tuple  # when the call began and ended that started it
    heard_from: int  # position from which on the call that started it is certain to have put it into the ring
    end_ns: tuple = None  # when the call began and ended in which it was stopped
    after: np.ndarray = None  # the paint behind its end, at that time


class Life:
    """One process. parts: (stream, client) of each stream in the event log; death_ns: when it was seen dead; grace_ns: how long the
    server may take to take note of that."""

    def __init__(self, path, parts, death_ns, grace_ns=100_000_000):
        header, records = read(path)
        self.parts, self.death_ns, self.gone_ns = list(parts), death_ns, death_ns + grace_ns
        self.opens, self.streams, self.keys = [], [], []
        self.batches = []  # (from, frames, store began, stored, put right)
        self.silent = None  # epoch and position of a stream without sound, of which the event log says nothing
        self.counts = {"rewinds": 0, "pauses": 0, "underruns": 0, "writes": 0, "hook_stops": 0, "hook_kills": 0,
                       "hook_delays": 0, "frames_written": 0}
        self.opened = self.epoch = self.stream = None
        self.position = 0  # that plays at the next start
        if int(header["frames"]) and int(header["store_ns"]):
            begin = int(header["store_ns"])
            self.batches.append((int(header["from"]), int(header["frames"]), begin, begin, self.gone_ns))
        for part in records:
            for record in part.tolist():
                self.replay(dict(zip(RECORD.names, record)))
        if self.parts:
            raise ValueError(f"{path.name}: the event log has streams that the journal does not know: {self.parts}")

    def replay(self, record):
        kind = record["kind"]
        if kind == OPEN:
            if record["done"] and record["horizon_after"] >= 0:
                self.opened = Opened(record["frames"], record["result"], record["key"], record["position"],
                                     record["begin_ns"])
                self.opens.append(self.opened)
                self.epoch, self.position = Epoch(), 0
        elif kind == BATCH:
            self.batches.append((record["position"], record["frames"], record["begin_ns"], record["horizon_after"],
                                 record["end_ns"] if record["done"] else self.gone_ns))
        elif kind == WEAPON:
            self.counts[{STOP: "hook_stops", KILL: "hook_kills", DELAY: "hook_delays"}[record["frames"]]] += 1
        elif kind != END:
            self.call(record)

    def call(self, record):
        kind, done = record["kind"], record["done"]
        begun = record["horizon_before"] != UNKNOWN
        after = record["horizon_after"] if done else NEVER
        end_ns = record["end_ns"] if done else self.gone_ns
        if record["state_before"] != RUNNING:  # noticed between calls
            self.end((record["begin_ns"], record["begin_ns"]), record["horizon_before"])
        if begun:
            self.change(record, done, after)
        if record["state_before"] == RUNNING and record["state_after"] == XRUN:
            self.counts["underruns"] += 1
        may_start = kind in (WRITE, START, RESUME, DRAIN) and record["state_before"] in (PREPARED, PAUSED)
        if record["started"] or (not done and begun and may_start):
            self.start(record, after, end_ns, done)
        if kind == CLOSE or not done or record["state_after"] != RUNNING:
            self.end((record["begin_ns"], end_ns), record["horizon_before"])
        if kind == PAUSE and record["state_after"] == PAUSED:
            self.position = after
        if kind == CLOSE and self.opened is not None:
            self.opened.end_ns = end_ns
        if kind == PREPARE and begun:
            self.epoch, self.position = Epoch(), 0

    def change(self, record, done, after):
        kind, before = record["kind"], record["horizon_before"]
        if kind == WRITE:
            frames = record["result"] if done else record["frames"]
            if frames > 0:
                self.epoch.write(record["position"], frames, len(self.keys), before, after)
                self.keys.append(record["key"])
                self.counts["frames_written"] += frames
            self.counts["writes"] += 1
        elif kind == DRAIN or (kind == START and (not done or record["result"] >= 0)):
            self.epoch.write(record["position"], 0, -1, before, after)
        elif done and record["result"] > 0 and kind == REWIND:
            self.counts["rewinds"] += 1
        elif kind == PAUSE:
            self.counts["pauses"] += 1

    def start(self, record, after, end_ns, done):
        if not self.logged():
            if done:  # it was resumed behind its end
                self.silent = (self.epoch, self.position)
            return  # or it died before any of it could be heard
        self.opened.last = (self.parts[0][1], self.parts[0][0].stream)
        self.stream = Stream(self.opened, self.epoch, *self.parts.pop(0), self.position,
                             (record["begin_ns"], end_ns), after)
        self.streams.append(self.stream)

    def logged(self):
        """Whether the event log's next stream is the one that starts now. It may leave out those without sound."""
        if not self.parts or self.opened.last is None:
            return bool(self.parts)
        part, client = self.parts[0]
        self.opened.last = (self.opened.last[0], self.opened.last[1] + 1)
        return (client, part.stream) == self.opened.last

    def end(self, call_ns, horizon):
        """horizon: position that could still be changed when the call began."""
        if self.silent is not None:
            epoch, position = self.silent
            if horizon > position and (epoch.paint[position : epoch.written] >= 0).any():
                raise ValueError(f"a stream is missing in the event log, ended at {call_ns[1]}")
        self.silent = None
        if self.stream is None:
            return
        first = self.stream.position + self.stream.part.frames
        self.stream.end_ns = call_ns
        self.stream.after = self.epoch.slice(first, first + (1 << 17))
        self.stream = None

    def sound(self, stream, paint, first_position):
        """The samples of `paint`, in 32-bit scale."""
        keys = np.array(self.keys or [0], np.uint64)[paint]
        return noise(keys, paint >= 0, first_position, stream.opened.channels, stream.opened.form)
