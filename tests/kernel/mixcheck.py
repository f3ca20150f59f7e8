#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Is a recording the exact sum of its sources?

Given what a device played and the files that its clients played, finds where each source starts
(cross-correlation: sources must be noise-like, and unlike each other) and compares every frame with
the saturated sum, bit for bit. Frames that no source reaches must be silence. Floats are summed as ringmix
does it: each is rounded to 32 bits, and the sum is rounded to a float once.

A source marked as a prefix belongs to a client that was stopped somewhere: only its first frames were
played, and how many is found too (the count with the fewest differences).
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pcmfile import read_wav

HEAD_FRAMES = 16384  # how much of a source is looked for
START_FRAMES = 4800  # what counts as the beginning of a source
SILENT_FRAMES = 16  # so many frames of silence are no accident of noise
SURE_FRAMES = 4  # so many right frames in a row are no accident
SIGNIFICANT = 8.0  # a peak this many times the correlation's RMS is no accident


@dataclass(eq=False)
class Source:
    samples: np.ndarray  # (frames, channels)
    name: str = ""
    prefix: bool = False
    offset: int | None = None  # its first frame's place in the recording; None: not found
    played: int = 0  # frames of it that were played

    @property
    def end(self):
        return self.offset + self.played


@dataclass
class Report:
    frames: int = 0  # compared while a source was playing
    silent_frames: int = 0  # compared while none was
    differences: int = 0  # frames that differ, or that the recording does not have
    starts_only: bool = False  # all that differ are in the beginning of a source
    clipped: int = 0  # frames whose sum does not fit the format
    overlap: int = 0  # frames in which every source was playing
    sources: list = field(default_factory=list)  # {name, offset, played}
    lost: list = field(default_factory=list)  # names of sources that are not in the recording
    examples: list = field(default_factory=list)  # first places that differ, in words

    @property
    def exact(self):
        return self.differences == 0 and not self.lost and self.frames > 0


def units(samples):
    """Samples as whole numbers that can be summed: floats in 32-bit scale."""
    if samples.dtype.kind != "f":
        return samples.astype(np.int64)
    return np.clip(np.floor(samples.astype(float) * 2.0**31 + 0.5), -(2.0**31), 2.0**31 - 1).astype(np.int64)


def limits(kind):
    """Of such numbers, what a device of this sample type can play."""
    return np.iinfo(np.int32 if kind.kind == "f" else kind)


def saturated(total, kind):
    """The samples that the device must play."""
    whole = np.clip(total, limits(kind).min, limits(kind).max)
    return (whole * 2.0**-31).astype(kind) if kind.kind == "f" else whole


def find_offsets(recording, sources):
    """Sets each source's offset (frames from the recording's start; may be negative), None if not found."""
    heads = [source.samples[:HEAD_FRAMES] for source in sources]
    size = 1 << (len(recording) + max(map(len, heads)) - 1).bit_length()
    spectrum = np.fft.rfft(recording.astype(float), size, axis=0)
    for source, head in zip(sources, heads):
        correlation = np.fft.irfft(spectrum * np.fft.rfft(head.astype(float), size, axis=0).conj(), size, axis=0)
        correlation = correlation.sum(axis=1)
        peak = int(correlation.argmax())
        rms = np.sqrt(np.mean(correlation**2))
        found = rms > 0 and correlation[peak] > SIGNIFICANT * rms
        source.offset = (peak if peak < len(recording) else peak - size) if found else None
        source.played = len(source.samples) if found else 0


def add(total, source, sign=1, frames=None):
    """Adds (or takes away) a source's first frames to the sum, as far as the recording reaches."""
    frames = source.played if frames is None else frames
    first, last = max(source.offset, 0), min(source.offset + frames, len(total))
    if first < last:
        total[first:last] += sign * units(source.samples[first - source.offset : last - source.offset])


def differing(recording, total, tolerance=0):
    """Per frame: does the recording differ from the saturated sum, by more than the tolerance?"""
    expected = saturated(total, recording.dtype)
    if tolerance:
        return (np.abs(expected - recording) > tolerance).any(axis=1)
    return (expected != recording).any(axis=1)


def surely(right):
    """Without runs of right frames that are so short that they may be an accident: of samples that are clipped."""
    count = len(right) - SURE_FRAMES + 1
    runs = np.logical_and.reduce([right[i : i + count] for i in range(SURE_FRAMES)])
    sure = np.zeros(len(right), bool)
    for i in range(SURE_FRAMES):
        sure[i : i + count] |= runs
    return sure


def wrong_before(recording, total, prefixes):
    """For each set of prefix sources that still play (a bit mask): how many frames before each one are wrong then."""
    for source in prefixes:
        add(total, source, -1)
    counts = {}
    for playing in range(1 << len(prefixes)):
        present = [source for i, source in enumerate(prefixes) if playing >> i & 1]
        for source in present:
            add(total, source, +1, len(source.samples))
        counts[playing] = np.cumsum(np.append(0, ~surely(~differing(recording, total))))
        for source in present:
            add(total, source, -1, len(source.samples))
    for source in prefixes:
        add(total, source)
    return counts


def find_ends(recording, total, prefixes, fade):
    """Sets how much of each prefix source was played: of all ways to end one after the other, that with the fewest
    frames that are wrong."""
    wrong = wrong_before(recording, total, prefixes)
    everybody = (1 << len(prefixes)) - 1
    least = {everybody: wrong[everybody]}  # wrong frames up to each frame, if this set plays there

    def change(playing):
        """The same up to each frame, if the others ended there, less what would have been wrong before."""
        more = [former for former in least if former & playing == playing and former != playing]
        best = np.min([least[former] for former in more], axis=0)
        after = wrong[playing]
        return more, best - np.concatenate((after[fade:], np.full(min(fade, len(after)), after[-1])))

    for playing in sorted(range(everybody), key=int.bit_count, reverse=True):
        least[playing] = wrong[playing] + np.minimum.accumulate(change(playing)[1])
    playing, frame = min(least, key=lambda some: least[some][-1]), len(recording)
    ends = dict.fromkeys(range(len(prefixes)), frame)
    while playing != everybody:
        more, before = change(playing)
        frame = int(before[: frame + 1].argmin())
        former = min(more, key=lambda some: least[some][frame])
        ends |= {i: frame for i in range(len(prefixes)) if (former & ~playing) >> i & 1}
        playing = former
    for i, end in ends.items():
        source = prefixes[i]
        add(total, source, -1)
        source.played = min(max(end - source.offset, 0), len(source.samples))
        add(total, source)


def find_interruption(recording):
    """The longest silence between sound and sound, as (first frame, frame after the last one); None if there is
    none of more than SILENT_FRAMES."""
    loud = np.flatnonzero(recording.any(axis=1))
    pauses = np.diff(loud)
    if not len(pauses) or pauses.max() <= SILENT_FRAMES:
        return None
    longest = int(pauses.argmax())
    return int(loud[longest]) + 1, int(loud[longest + 1])


def examples(recording, total, wrong, count=5):
    starts = np.flatnonzero(wrong & ~np.concatenate(([False], wrong[:-1])))
    ends = np.flatnonzero(wrong & ~np.concatenate((wrong[1:], [False]))) + 1
    return [f"frames {start} to {end - 1}: at first {recording[start].tolist()} instead of "
            f"{saturated(total[start], recording.dtype).tolist()}"
            for start, end in list(zip(starts, ends))[:count]]


def check(recording, sources, fade=0, located=False, tolerance=0):
    """Compares the recording with the sum of the sources. fade: frames after a prefix source's end that are
    not compared. located: the offsets are known already. tolerance: of whole numbers, where sources were converted."""
    if not located:
        find_offsets(recording, sources)
    present = [source for source in sources if source.offset is not None]
    report = Report(lost=[source.name for source in sources if source.offset is None])
    total = np.zeros(recording.shape, np.int64)
    playing = np.zeros(len(recording), np.int32)
    skipped = np.zeros(len(recording), bool)
    starting = np.zeros(len(recording), bool)
    for source in present:
        add(total, source)
        starting[max(source.offset, 0) : max(source.offset + START_FRAMES, 0)] = True
    prefixes = [source for source in present if source.prefix]
    find_ends(recording, total, prefixes, fade)
    for source in present:
        playing[max(source.offset, 0) : max(source.end, 0)] += 1
        outside = max(-source.offset, 0) + max(source.end - len(recording), 0)
        report.differences += min(outside, source.played)
        if source.prefix:
            skipped[max(source.end, 0) : max(source.end + fade, 0)] = True
        report.sources.append({"name": source.name, "offset": source.offset, "played": source.played})
    wrong = differing(recording, total, tolerance) & ~skipped
    most = limits(recording.dtype)
    report.differences += int(wrong.sum())
    report.starts_only = bool(wrong.any() and not (wrong & ~starting).any())
    report.frames = int(((playing > 0) & ~skipped).sum())
    report.silent_frames = int(((playing == 0) & ~skipped).sum())
    report.clipped = int(((total > most.max) | (total < most.min)).any(axis=1).sum())
    report.overlap = int((playing == len(sources)).sum())
    report.examples = examples(recording, total, wrong)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", help="WAV file of what the device played")
    parser.add_argument("source", nargs="*", help="WAV file that was played from start to end")
    parser.add_argument("--prefix", action="append", default=[], metavar="SOURCE",
                        help="WAV file of a client that was stopped before its end; repeatable")
    parser.add_argument("--fade", type=int, default=0, metavar="FRAMES",
                        help="do not compare so many frames after the end of a prefix")
    options = parser.parse_args()
    rate, recording = read_wav(options.recording)
    sources = []
    for path in options.source + options.prefix:
        source_rate, samples = read_wav(path)
        if (source_rate, samples.dtype, samples.shape[1]) != (rate, recording.dtype, recording.shape[1]):
            parser.error(f"{path} is not of the recording's rate, format and channels")
        sources.append(Source(samples, Path(path).name, prefix=path in options.prefix))
    report = check(recording, sources, options.fade)
    print(json.dumps(vars(report), indent=1))
    return 0 if report.exact else 1


if __name__ == "__main__":
    sys.exit(main())
