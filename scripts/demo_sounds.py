# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sounds for scripts/demo, and the proof that their mix is exact.

    demo_sounds.py make DIR    writes chord.wav, beat.wav and sweep.wav (48 kHz, stereo, 16 bit)
    demo_sounds.py check DIR   compares mix.wav with the sum of what mix.wav.jsonl says was played
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "e2e"))
from audio import SourceShop, read_wav, scaled  # noqa: E402
from reference import Mix, compare, ended_parts, load_events  # noqa: E402

RATE = 48000


def times(seconds):
    return np.arange(int(RATE * seconds)) / RATE


def envelope(time, attack=0.02, release=0.4):
    return np.clip(np.minimum(time / attack, (time[-1] - time) / release), 0, 1)


def chord():
    time = times(6)
    tones = [np.sin(2 * np.pi * hz * time) / (i + 2) for i, hz in enumerate((220, 277.18, 329.63, 440, 554.37))]
    return np.stack([sum(tones), sum(tones[::-1])], axis=1) * envelope(time)[:, None] * 0.6


def beat():
    time = times(5)
    phase = time % 0.5
    drum = np.sin(2 * np.pi * 90 * np.sqrt(phase + 0.01)) * np.exp(-phase * 12)
    hat = np.random.default_rng(1).uniform(-1, 1, len(time)) * np.exp(-((time + 0.25) % 0.5) * 60)
    return np.stack([drum + 0.3 * hat, drum - 0.3 * hat], axis=1) * 0.7


def sweep():
    time = times(4)
    tone = np.sin(2 * np.pi * 200 * (np.exp(time * 0.8) - 1) / 0.8) * envelope(time)
    pan = time / time[-1]
    return np.stack([tone * (1 - pan), tone * pan], axis=1) * 0.6


def make(folder):
    shop = SourceShop(folder)
    for name, sound in (("chord", chord()), ("beat", beat()), ("sweep", sweep())):
        shop.write(name, np.round(np.clip(sound, -1, 1) * 32767).astype(np.int64), rate=RATE)


def check(folder):
    recording = read_wav(folder / "mix.wav")
    parts = ended_parts(load_events(folder / "mix.wav.jsonl"))
    files = dict(line.split() for line in (folder / "players").read_text().splitlines())
    mix = Mix(*recording.samples.shape)
    for pid, streams in parts.items():
        samples = scaled(read_wav(folder / files[str(pid)]).samples, "S16_LE")
        for part in streams:
            mix.add(samples, part)
            print(f"  {files[str(pid)]:10}  played from frame {part.first} on, {part.frames} frames")
    figures = compare(recording, mix)
    print(f"\nthe mix is exactly the sum: {figures['frames_compared']} frames compared, "
          f"{figures['differences']} differences, up to {figures['most_at_once']} sounds at once")
    print(f"listen to it: {folder / 'mix.wav'}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
