# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sample formats and WAV files.

Noise in every format that a client may play, what ringmix makes of such samples (numbers in 32-bit
scale, as src/kernels/mix.h says), and the WAV files that ringmixd --output writes.
"""

import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLE_BYTES = {"U8": 1, "S16_LE": 2, "S24_LE": 4, "S24_3LE": 3, "S32_LE": 4, "FLOAT_LE": 4}
BITS = {"U8": 8, "S16_LE": 16, "S24_LE": 24, "S24_3LE": 24, "S32_LE": 32}
WAV_FORMATS = {(1, 8): "U8", (1, 16): "S16_LE", (1, 24): "S24_3LE", (1, 32): "S32_LE", (3, 32): "FLOAT_LE"}


@dataclass
class Source:
    """A file to play, and what it holds."""

    path: Path
    form: str
    rate: int
    samples: np.ndarray  # int64 in 32-bit scale, (frames, channels)

    @property
    def frames(self):
        return len(self.samples)

    @property
    def channels(self):
        return self.samples.shape[1]

    @property
    def raw_arguments(self):
        """For aplay, which cannot read them from a file without a header."""
        return ["-t", "raw", "-f", self.form, "-c", str(self.channels), "-r", str(self.rate)]


def scaled(samples, form):
    """Samples as numbers (floats for FLOAT_LE) in 32-bit scale."""
    if form != "FLOAT_LE":
        return samples.astype(np.int64) << (32 - BITS[form])
    wide = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=2.0, neginf=-2.0)
    return np.clip(np.floor(wide * 2.0**31 + 0.5), -(2.0**31), 2.0**31 - 1).astype(np.int64)


def packed24(numbers):
    """Numbers of 24 bits as three bytes each, little endian."""
    return numbers.astype("<i4").view(np.uint8).reshape(*numbers.shape, 4)[..., :3].tobytes()


def encoded(samples, form):
    """The bytes that a file of this format holds."""
    if form == "U8":
        return (samples + 128).astype(np.uint8).tobytes()
    if form == "S24_3LE":
        return packed24(samples)
    if form == "S24_LE":  # what lies in the upper byte must not matter
        junk = np.random.default_rng(1).integers(0, 256, samples.shape) << 24
        return ((samples & 0xFFFFFF) | junk).astype("<u4").tobytes()
    return samples.astype({"S16_LE": "<i2", "S32_LE": "<i4", "FLOAT_LE": "<f4"}[form]).tobytes()


def noise(form, frames, channels, seed, level=0.7):
    """White noise, uniform up to `level` times full scale."""
    random = np.random.default_rng(seed)
    if form == "FLOAT_LE":
        samples = random.uniform(-level, level, (frames, channels)).astype("<f4")
        odd = [np.nan, np.inf, -np.inf, 1.0, -1.0, -0.0, 1e-42, 3.5, -7.0, 2.0**-32, 2.0**-33, -(2.0**-32)]
        samples[frames // 2 : frames // 2 + len(odd)] = np.array(odd, "<f4")[:, None]
        return samples
    peak = int(level * (2 ** (BITS[form] - 1) - 1))
    return random.integers(-peak, peak, (frames, channels), endpoint=True)


def wav_header(form, rate, channels, size):
    tag, bits = next(key for key, name in WAV_FORMATS.items() if name == form)
    frame = channels * bits // 8
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, tag, channels, rate,
                       rate * frame, frame, bits, b"data", size)


class SourceShop:
    """Makes sources, each once: asked again for the same one, it gives the same file."""

    def __init__(self, folder):
        self.folder = folder
        self.made = {}
        self.lock = threading.Lock()

    def noise(self, frames, number=0, form="S16_LE", channels=2, rate=48000, level=0.7, raw=False):
        key = (frames, number, form, channels, rate, level, raw)
        with self.lock:
            if key not in self.made:
                samples = noise(form, frames, channels, zlib.crc32(repr(key[:6]).encode()), level)
                self.made[key] = self.write(f"noise{len(self.made)}", samples, form, rate, raw)
            return self.made[key]

    def write(self, name, samples, form="S16_LE", rate=48000, raw=False):
        """A source of given samples (numbers in the format's own scale)."""
        data = encoded(samples, form)
        header = b"" if raw else wav_header(form, rate, samples.shape[1], len(data))
        path = self.folder / f"{name}.{'raw' if raw else 'wav'}"
        path.write_bytes(header + data)
        return Source(path, form, rate, scaled(samples, form))


@dataclass
class Recording:
    """What a device has played."""

    rate: int
    bits: int
    samples: np.ndarray  # int64 in the device's own scale, or float32; (frames, channels)

    @property
    def floats(self):
        return self.samples.dtype == np.float32


def check_fact(path, data, position, frames):
    """What is not PCM must say how many frames there are."""
    at = data.find(b"fact", 0, position)
    if at < 0 or struct.unpack_from("<II", data, at + 4) != (4, frames):
        raise ValueError(f"{path}: no chunk that tells its {frames} frames")


def read_wav(path):
    """Reads PCM and floats, also of RF64 and WAVE_FORMAT_EXTENSIBLE; strict about the sizes that the header says."""
    data = Path(path).read_bytes()
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise ValueError(f"{path}: not a WAV file: {data[:12]}")
    riff_size = struct.unpack_from("<I", data, 4)[0]
    position, layout = 12, None
    while True:
        if position + 8 > len(data):
            raise ValueError(f"{path}: no samples in it")
        name, size = struct.unpack_from("<4sI", data, position)
        position += 8
        if name == b"fmt ":
            layout = list(struct.unpack_from("<HHIIHH", data, position))
            if layout[0] == 0xFFFE:
                layout[0] = struct.unpack_from("<H", data, position + 24)[0]
        if name == b"data":
            break
        position += size + size % 2
    tag, channels, rate, byte_rate, frame, bits = layout
    kinds = [(1, 16), (1, 24), (1, 32), (3, 32)]
    if (tag, bits) not in kinds or frame != channels * bits // 8 or byte_rate != rate * frame:
        raise ValueError(f"{path}: strange format {layout}")
    if position + size > len(data) or size % frame or riff_size < position + size - 8:
        raise ValueError(f"{path}: its header promises {size} bytes of {frame}-byte frames (RIFF {riff_size}), "
                         f"{len(data) - position} are there")
    if tag == 3:
        check_fact(path, data, position, size // frame)
        samples = np.frombuffer(data, "<f4", size // 4, position)
    elif bits == 24:
        bytes3 = np.frombuffer(data, np.uint8, size, position).reshape(-1, 3)
        wide = np.zeros((len(bytes3), 4), np.uint8)
        wide[:, 1:] = bytes3
        samples = wide.view("<i4").astype(np.int64) >> 8
    else:
        samples = np.frombuffer(data, f"<i{bits // 8}", size // (bits // 8), position).astype(np.int64)
    return Recording(rate, bits, samples.reshape(-1, channels))
