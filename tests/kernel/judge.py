# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judges what scenarios left behind: the recordings by mixcheck, and what the guest noted itself."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import mixcheck
import numpy as np
from pcmfile import read_wav

sys.path.append(str(Path(__file__).resolve().parent.parent / "e2e"))
from rates import DEVICE, UNIT, Filter  # noqa: E402

MIN_OVERLAP = 12000  # frames in which all clients play; with less, a run would show little
STALL_SECONDS = 0.08  # about half a ring of 8192 frames: after such a stall, a failure may be the machine's
START_STALL_SECONDS = 0.02  # the same of a stream's beginning: so long before its first frame it is placed


@dataclass
class Verdict:
    name: str
    frames: int = 0  # compared while a client was playing
    clients: int = 0
    differences: int = 0
    starts_only: bool = False  # all differences are in the beginning of a stream
    faults: list = field(default_factory=list)  # in words; none: passed
    result: dict = field(default_factory=dict)  # the scenario's own notes

    @property
    def passed(self):
        return not self.faults

    @property
    def excusable(self):
        """Failed, but the machine stood still for so long that it says nothing about the mixer."""
        limit = START_STALL_SECONDS if self.starts_only else STALL_SECONDS
        return not self.passed and self.clients > 0 and self.result["stall_seconds"] > limit

    @property
    def client_cpu_seconds(self):
        return sum(client["cpu_seconds"] for client in self.result.get("clients", []))


def load_source(out, path):
    """As a device of 32 bits plays it; the second value: how far off that may be, in its units."""
    rate, samples = read_wav(out / path)
    if rate == DEVICE:
        return mixcheck.Source(samples, path), 0
    heard = np.round(Filter(rate).convert(samples)).astype(np.int64)
    return mixcheck.Source(np.repeat(heard, 2, axis=1) if heard.shape[1] == 1 else heard, path), int(4 * UNIT)


def load_sources(out, result):
    return [load_source(out, path)[0] for path in result["sources"]]


def tolerance(out, result):
    return sum(load_source(out, path)[1] for path in result["sources"])


def compare(verdict, recording, sources, located=False, most_off=0):
    """Adds to the verdict what comparing the recording with the sources gives."""
    report = mixcheck.check(recording, sources, located=located, tolerance=most_off)
    verdict.frames, verdict.differences, verdict.starts_only = report.frames, report.differences, report.starts_only
    verdict.faults += [f"{name} is not in the recording" for name in report.lost]
    if report.differences:
        verdict.faults.append(f"{report.differences} frames differ; {'; '.join(report.examples)}")
    elif not report.lost and report.overlap < MIN_OVERLAP:
        verdict.faults.append(f"all clients played together for {report.overlap} frames only")
    if verdict.result["clips"] and not report.clipped:
        verdict.faults.append("no frame clipped, though the sources are loud enough")


def add_report(verdict, report, part):
    verdict.frames += report.frames
    verdict.differences += report.differences
    verdict.faults += [f"{name} is not in the recording {part}" for name in report.lost]
    if report.differences:
        verdict.faults.append(f"{part}, {report.differences} frames differ; {'; '.join(report.examples)}")
    elif not report.lost and report.overlap < MIN_OVERLAP:
        verdict.faults.append(f"{part}, all clients played together for {report.overlap} frames only")


def compare_interrupted(verdict, recording, sources, late_frames):
    """A recording with one interruption in it, silence: up to it the sum of the sources' beginnings; and after it,
    up to their ends, the sum again, of what they go on with, at most so many frames late. That is checked
    backwards, from the ends."""
    silence = mixcheck.find_interruption(recording)
    if silence is None:
        verdict.faults.append("no interruption is heard")
        return
    first, last = silence
    head, tail = recording[:first], recording[last:][::-1]
    begins = [mixcheck.Source(source.samples, source.name, prefix=True) for source in sources]
    ends = [mixcheck.Source(source.samples[::-1], source.name, prefix=True) for source in sources]
    add_report(verdict, mixcheck.check(head, begins), "before the interruption")
    add_report(verdict, mixcheck.check(tail, ends), "after the interruption")
    verdict.result["silence"] = last - first
    verdict.result["skipped"] = skipped = []
    for begin, end in zip(begins, ends):
        if begin.offset is None or end.offset is None:
            continue
        skipped.append(len(begin.samples) - begin.played - end.played)
        if begin.end != first:
            verdict.faults.append(f"{begin.name} ends {first - begin.end} frames before the interruption")
        if not 0 <= len(tail) - end.end <= late_frames:
            verdict.faults.append(f"{end.name} begins {len(tail) - end.end} frames after the interruption")
        if skipped[-1] < 0:
            verdict.faults.append(f"{begin.name}: {-skipped[-1]} frames are heard twice")


def compare_segments(out, verdicts, wav):
    """Scenarios that played one after the other into one recording: each frame belongs to one of them."""
    try:
        _, recording = read_wav(wav)
    except ValueError as error:
        for verdict in verdicts:
            verdict.faults.append(str(error))
        return
    groups = [load_sources(out, verdict.result) for verdict in verdicts]
    mixcheck.find_offsets(recording, [source for group in groups for source in group])
    spans = [[(source.offset, source.end) for source in group if source.offset is not None] for group in groups]
    edges = [0]
    for before, after in zip(spans, spans[1:]):
        end = max((end for _, end in before), default=edges[-1])
        edges.append((end + min((start for start, _ in after), default=end)) // 2)
    edges.append(len(recording))
    for verdict, group, first, last in zip(verdicts, groups, edges, edges[1:]):
        for source in group:
            if source.offset is not None:
                source.offset -= first
        compare(verdict, recording[first:last], group, located=True)


def judge(out, names, hda_wav, usb_wav):
    """Verdicts on the named scenarios of one boot, in order. out: the results; the others: what QEMU recorded."""
    verdicts = []
    for name in names:
        verdict = Verdict(name)
        verdicts.append(verdict)
        try:
            verdict.result = json.loads((out / name / "result.json").read_text())
        except FileNotFoundError:
            verdict.faults.append("did not run to its end")
            continue
        verdict.clients = len(verdict.result["clients"])
        verdict.faults += verdict.result["errors"]
        if not verdict.clients:  # nothing was played, and the notes say why
            continue
        capture = out / name / "capture.wav"
        if capture.exists():
            try:
                recording, sources = read_wav(capture)[1], load_sources(out, verdict.result)
                if (late := verdict.result.get("late_frames")) is not None:
                    compare_interrupted(verdict, recording, sources, late)
                else:
                    compare(verdict, recording, sources, most_off=tolerance(out, verdict.result))
            except ValueError as error:
                verdict.faults.append(str(error))
        elif verdict.result["card"] == "aloop":
            verdict.faults.append("there is no capture")
    for card, wav in (("hda", hda_wav), ("usb", usb_wav)):
        segments = [verdict for verdict in verdicts if verdict.clients and verdict.result["card"] == card]
        if segments:
            compare_segments(out, segments, wav)
    return verdicts
