# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs at many rates at once. What is heard is judged by the filter's definition (docs/rates.md), in doubles."""

from math import gcd

import numpy as np

from audio import read_wav
from harness import Player, Server, require, scenario, wait_until
from reference import ended_parts, load_events

RATES = [8000, 11025, 22050, 32000, 44100, 88200, 96000, 192000]
DEVICE = 48000
UNIT = 2.0**8  # of 24 bits, of 32


class Filter:
    """How sound at `rate` becomes sound at the device's."""

    def __init__(self, rate):
        self.phases, self.step = DEVICE // gcd(rate, DEVICE), rate // gcd(rate, DEVICE)
        long = 32000 <= min(rate, DEVICE) < 48000
        longer = max(1.0, rate / DEVICE)
        self.length = (96 if long else 64) * longer
        self.taps = -(-int(np.ceil(self.length)) // 16) * 16
        self.cutoff = (0.49 if long else 0.48) / longer
        self.beta = 13.5 if long else 12.5
        self.lead = -((-(self.taps // 2) * self.phases) // self.step)
        self.rows = np.array([self.row(phase / self.phases) for phase in range(self.phases)])

    def row(self, phase):
        distance = np.arange(self.taps) - (self.taps // 2 - 1) - phase
        window = np.i0(self.beta * np.sqrt(np.maximum(1 - (2 * distance / self.length) ** 2, 0)))
        window[np.abs(2 * distance) > self.length] = 0
        numbers = np.sinc(2 * self.cutoff * distance) * window
        return numbers / numbers.sum()

    def frames(self, frames):
        """Of the device, until so many frames of the program have rung out."""
        # The first frame f with floor((f - lead) * step / phases) >= frames + taps / 2 - 1.
        return self.lead - (-(frames + self.taps // 2 - 1) * self.phases // self.step)

    def convert(self, samples):
        frames = np.arange(self.frames(len(samples)))
        moment = (frames - self.lead) * self.step
        first = moment // self.phases - self.taps // 2 + 1
        padded = np.concatenate((np.zeros((2 * self.taps, samples.shape[1])), samples.astype(np.float64),
                                 np.zeros((2 * self.taps, samples.shape[1]))))
        result = np.empty((len(frames), samples.shape[1]))
        for begin in range(0, len(frames), 4096):  # so that memory stays small
            part = slice(begin, begin + 4096)
            places = first[part, None] + np.arange(self.taps) + 2 * self.taps
            rows = self.rows[moment[part] % self.phases]
            for channel in range(samples.shape[1]):
                result[part, channel] = (rows * padded[places, channel]).sum(axis=1)
        return result


def sine(rate, frequency, seconds, level):
    angles = 2 * np.pi * frequency / rate * np.arange(int(rate * seconds))
    return np.round(level * 32767 * np.stack((np.sin(angles), np.cos(angles)), axis=1)).astype(np.int64)


def sources_of(context, seconds):
    """Noise and sines by turns; quiet enough for the sum of eight to be below full scale."""
    sources = []
    for number, rate in enumerate(RATES):
        frames = int(rate * seconds) + 37 * number
        if number % 2 == 0:
            sources.append(context.shop.noise(frames, 900 + number, rate=rate, level=0.1))
        else:
            samples = sine(rate, 440.0 * 2 ** (number / 4), frames / rate, 0.1)
            sources.append(context.shop.write(f"sine{rate}", samples, rate=rate))
    return sources


def check_clients(server, count):
    """What `ringmixctl clients` says of them, once all play."""
    wait_until(lambda: len([c for c in server.clients() if c["state"] in ("running", "draining")]) == count, 10,
               f"{count} programs play at once")
    told = {client["rate"]: client for client in server.clients()}
    require(sorted(told) == RATES, f"rates {sorted(told)}")
    for rate, client in told.items():
        latency = Filter(rate).taps // 2
        require((client["format"], client["converted"], client["conversion_latency"]) == ("S16_LE", True, latency),
                f"{rate} Hz: {client}")


@scenario("rates-at-once")
def rates_at_once(context):
    """The sum of eight programs at eight rates, each converted from its first frame to its last: no frame is lost, the
    pitch is right, and nothing is off by more than rounding."""
    sources = sources_of(context, 1.0 if context.quick else 2.0)
    with Server(context, "--format", "S32_LE") as server:
        players = [Player(context, source) for source in sources]
        check_clients(server, len(RATES))
        for player in players:
            player.finish()
            require("Rate conversion" not in player.messages(), f"plug converts: {player.messages()}")
        server.wait_free()
    parts = ended_parts(load_events(server.events))
    recording = read_wav(server.output)
    expected = np.zeros(recording.samples.shape)
    for player in players:
        source, own = player.source, parts.get(player.pid, [])
        require(len(own) == 1 and own[0].fade == 0, f"{source.rate} Hz: streams {own}")
        converted = Filter(source.rate).convert(source.samples)
        least, silence = len(converted), player.period() * DEVICE // source.rate + 1  # aplay fills its last period
        require(least <= own[0].frames <= least + silence,
                f"{source.rate} Hz: {own[0].frames} frames were played instead of {least} to {least + silence}")
        expected[own[0].first : own[0].first + least] += converted
    off = np.abs(recording.samples - expected)
    worst = int(off.max(axis=1).argmax())
    limit = 4 * UNIT
    require(off.max() <= limit, f"frame {worst} is {recording.samples[worst].tolist()} instead of "
                                f"{expected[worst].tolist()}; {int((off > limit).any(axis=1).sum())} frames are off")
    require(np.abs(expected).max() > 2.0**28, "nothing was heard")
    return {"clients": len(players), "frames_compared": len(expected), "worst_units_of_24_bits": round(off.max() / UNIT, 2)}
