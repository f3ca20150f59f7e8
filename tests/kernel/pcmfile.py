# SPDX-License-Identifier: LGPL-2.1-or-later
"""WAV files of S16_LE, S32_LE and FLOAT_LE samples as numpy arrays of shape (frames, channels).

The reader takes what arecord and QEMU write, also when the writer was killed before it could fill in
the sizes of the header.
"""

import struct
from pathlib import Path

import numpy as np

SAMPLE_TYPES = {"S16_LE": np.dtype("<i2"), "S32_LE": np.dtype("<i4"), "FLOAT_LE": np.dtype("<f4")}
PCM, IEEE_FLOAT = 1, 3  # in a WAV file


def format_of(samples):
    """ALSA's name for the array's sample format."""
    return next(name for name, kind in SAMPLE_TYPES.items() if kind == samples.dtype)


def read_wav(path):
    """Returns (rate in Hz, samples). Raises ValueError on anything but those formats in a WAV file."""
    data = Path(path).read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path}: not a WAV file")
    position, layout = 12, None
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        position += 8
        if name == b"fmt ":
            layout = struct.unpack_from("<HHIIHH", data, position)
        if name == b"data":
            break
        position += size + size % 2
    else:
        raise ValueError(f"{path}: no samples in it")
    if layout is None or layout[5] not in (16, 32):
        raise ValueError(f"{path}: not 16 or 32 bit samples")
    channels, rate, bits = layout[1], layout[2], layout[5]
    kind = np.dtype(f"<{'f' if layout[0] == IEEE_FLOAT else 'i'}{bits // 8}")
    if kind not in SAMPLE_TYPES.values():
        raise ValueError(f"{path}: floats of {bits} bits")
    left = len(data) - position
    size = min(size, left) if size else left
    size -= size % (channels * kind.itemsize)
    return rate, np.frombuffer(data, kind, size // kind.itemsize, position).reshape(-1, channels)


def write_wav(path, rate, samples):
    """Writes the array's samples, in the format of its type."""
    tag = IEEE_FLOAT if samples.dtype.kind == "f" else PCM
    size, width, channels = samples.nbytes, samples.dtype.itemsize, samples.shape[1]
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, tag, channels, rate,
                         rate * channels * width, channels * width, 8 * width, b"data", size)
    Path(path).write_bytes(header + samples.tobytes())


def noise(sample_format, frames, channels, seed, level=0.6, lead=0):
    """White noise, uniform up to level times full scale: four of them clip in about one sample of ten.
    lead: so many frames of silence before it."""
    kind = SAMPLE_TYPES[sample_format]
    random = np.random.default_rng(seed)
    if kind.kind == "f":
        samples = random.uniform(-level, level, (frames, channels)).astype(kind)
    else:
        peak = int(level * np.iinfo(kind).max)
        samples = random.integers(-peak, peak, (frames, channels), kind, endpoint=True)
    return np.concatenate((np.zeros((lead, channels), kind), samples))
