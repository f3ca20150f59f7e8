# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is heard of a tone: its pitch, level, what is beside it, and whether it went on all the time.

Pitch and evenness come from the phase of the tone, block by block: a straight line through all phases is the pitch, and
how far a block is off that line is time that was lost or won on the way to it.
"""

from dataclasses import dataclass

import numpy as np

SILENT = 1e-4  # of full scale
EDGE = 0.3  # seconds at both ends that are not looked at
WINDOW, HOP = 0.1, 0.01  # seconds


@dataclass
class Tone:
    """As heard of one channel."""

    hertz: float
    level: float  # dB, of a sine of full scale
    noise: float  # dB: all that is not the sine, below it
    shift: float  # µs: how far a moment is off, at most
    seconds: float  # from the first sound to the last

    def cents(self, hertz):
        return 1200 * np.log2(self.hertz / hertz)


def sounding(samples):
    loud = np.flatnonzero(np.abs(samples) > SILENT)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def peak(samples, rate):
    """The loudest frequency, within a part of a hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    spectrum[: int(20 * len(samples) / rate)] = 0
    at = int(spectrum.argmax())
    a, b, c = np.log(spectrum[at - 1 : at + 2] + 1e-30)
    return (at + (a - c) / (2 * (a - 2 * b + c))) * rate / len(samples)


def phases(samples, rate, hertz):
    """Of the tone against one of `hertz`, each HOP seconds; in radians, unwrapped."""
    turned = samples * np.exp(-2j * np.pi * hertz / rate * np.arange(len(samples)))
    length, hop = int(WINDOW * rate), int(HOP * rate)
    window = np.hanning(length)
    starts = np.arange(0, len(samples) - length, hop)
    return (starts + length / 2) / rate, np.unwrap(np.angle([(turned[s : s + length] * window).sum() for s in starts]))


def fit(samples, turn):
    """Amplitude of the sine of `turn` radians a frame (least squares), and the power of the rest."""
    angles = turn * np.arange(len(samples))
    basis = np.stack((np.sin(angles), np.cos(angles)), axis=1)
    weights, *_ = np.linalg.lstsq(basis, samples, rcond=None)
    return float(np.hypot(*weights)), float(np.mean((samples - basis @ weights) ** 2))


def tone(samples, rate):
    """The Tone in one channel (full scale 1.0); None: nothing, or next to nothing, is heard."""
    heard = sounding(samples)
    edge = int(EDGE * rate)
    if len(heard) < 2 * edge + int(5 * WINDOW * rate):
        return None
    inner = heard[edge : len(heard) - edge]
    hertz = peak(inner[: 1 << 17], rate)
    for _ in range(2):
        times, angles = phases(inner, rate, hertz)
        slope, offset = np.polyfit(times, angles, 1)
        hertz += slope / (2 * np.pi)
    times, angles = phases(inner, rate, hertz)
    off = angles - np.median(angles)
    amplitude, rest = fit(inner, 2 * np.pi * hertz / rate)
    return Tone(hertz, 20 * np.log10(amplitude + 1e-12), 10 * np.log10(amplitude**2 / 2 / (rest + 1e-30)),
                float(np.abs(off).max() / (2 * np.pi * hertz) * 1e6), len(heard) / rate)
