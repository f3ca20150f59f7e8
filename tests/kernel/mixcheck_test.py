#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of mixcheck on made-up recordings: it must accept the exact sum, and nothing else."""

import unittest

import numpy as np

from mixcheck import Source, check, find_interruption, saturated, units
from pcmfile import SAMPLE_TYPES, noise

OFFSETS = (700, 9000, 15001, 20000)
FRAMES = 48000


def mix(sample_format, offsets=OFFSETS, played=None, length=80000):
    """A recording of four sources, and the sources."""
    sources = [Source(noise(sample_format, FRAMES + 1000 * i, 2, seed=i), f"s{i}") for i in range(len(offsets))]
    total = np.zeros((length, 2), np.int64)
    for i, (source, offset) in enumerate(zip(sources, offsets)):
        samples = source.samples if played is None else source.samples[: played[i]]
        total[offset : offset + len(samples)] += units(samples)
    kind = SAMPLE_TYPES[sample_format]
    return saturated(total, kind).astype(kind), sources


class MixCheck(unittest.TestCase):
    def test_exact_sum(self):
        for sample_format in SAMPLE_TYPES:
            recording, sources = mix(sample_format)
            report = check(recording, sources)
            self.assertTrue(report.exact)
            self.assertEqual([source["offset"] for source in report.sources], list(OFFSETS))
            self.assertEqual(report.frames, OFFSETS[3] + FRAMES + 3000 - OFFSETS[0])
            self.assertEqual(report.overlap, OFFSETS[0] + FRAMES - OFFSETS[3])
            self.assertGreater(report.clipped, 1000)

    def test_one_wrong_bit(self):
        for sample_format in SAMPLE_TYPES:
            recording, sources = mix(sample_format)
            recording.view(f"<i{recording.itemsize}")[30000, 1] ^= 1
            self.assertEqual(check(recording, sources).differences, 1)

    def test_only_beginnings_differ(self):
        recording, sources = mix("S16_LE")
        self.assertFalse(check(recording, sources).starts_only)
        recording[OFFSETS[1] : OFFSETS[1] + 46] += 1
        self.assertTrue(check(recording, sources).starts_only)
        recording[OFFSETS[1] - 1, 0] += 1
        report = check(recording, sources)
        self.assertEqual((report.differences, report.starts_only), (47, False))

    def test_noise_in_the_silence(self):
        recording, sources = mix("S16_LE")
        recording[10, 0] = 1
        self.assertEqual(check(recording, sources).differences, 1)

    def test_frames_left_out(self):
        recording, sources = mix("S16_LE")
        report = check(np.delete(recording, slice(40000, 40010), axis=0), sources)
        self.assertGreater(report.differences, 10000)

    def test_recording_too_short(self):
        recording, sources = mix("S16_LE")
        self.assertEqual(check(recording[: OFFSETS[3] + FRAMES + 2900], sources).differences, 100)
        recording, sources = mix("S16_LE")
        self.assertEqual(check(recording[800:], sources).differences, 100)

    def test_source_that_was_not_played(self):
        recording, sources = mix("S16_LE")
        sources.append(Source(noise("S16_LE", FRAMES, 2, seed=99), "stranger"))
        report = check(recording, sources)
        self.assertEqual(report.lost, ["stranger"])
        self.assertFalse(report.exact)

    def test_silence_is_not_a_success(self):
        _, sources = mix("S16_LE")
        self.assertFalse(check(np.zeros((80000, 2), "<i2"), sources).exact)

    def test_prefixes(self):
        played = (FRAMES, 17000, 33333, FRAMES + 3000)
        recording, sources = mix("S16_LE", played=played)
        sources[1].prefix = sources[2].prefix = True
        report = check(recording, sources)
        self.assertTrue(report.exact)
        self.assertEqual([source["played"] for source in report.sources], list(played))

    def test_prefixes_with_one_end(self):
        """In pairs, so that none of them explains anything by itself."""
        for ends in ((48000, 52000, 52000, 46000), (46000, 46000, 52000, 52000), (48000, 48000, 48000, 48000)):
            played = [end - offset for end, offset in zip(ends, OFFSETS)]
            recording, sources = mix("S16_LE", played=played)
            for source in sources:
                source.prefix = True
            report = check(recording, sources)
            self.assertTrue(report.exact, report.examples)
            self.assertEqual([source["played"] for source in report.sources], played)

    def test_interruption(self):
        recording, _ = mix("S16_LE")
        self.assertIsNone(find_interruption(recording))
        recording[40000:40017] = 0
        self.assertEqual(find_interruption(recording), (40000, 40017))

    def test_fade_after_a_prefix(self):
        recording, sources = mix("S16_LE", played=(FRAMES, 17000, FRAMES + 2000, FRAMES + 3000))
        recording[26000:26100] //= 2
        sources[1].prefix = True
        self.assertGreater(check(recording, sources).differences, 90)
        self.assertEqual(check(recording, sources, fade=128).differences, 0)


if __name__ == "__main__":
    unittest.main()
