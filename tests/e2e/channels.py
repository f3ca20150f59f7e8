# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs with more channels than the device. What is heard is judged by ITU-R BS.775's numbers, in doubles."""

from math import sqrt

import numpy as np

from audio import read_wav
from harness import Player, Server, require, scenario
from rates import UNIT, Filter
from reference import ended_parts, load_events

PART = sqrt(0.5)
USUAL = ["FL", "FR", "RL", "RR", "FC", "LFE"]  # the order of ALSA
WAVE = ["FL", "FR", "FC", "LFE", "RL", "RR"]  # and that of WAVE files
STEREO = {"FL": (1, 0), "FR": (0, 1), "RL": (PART, 0), "RR": (0, PART), "FC": (PART, PART), "LFE": (0, 0)}
SCALED = 1 / (1 + 2 * PART)


def play(context, cases):
    """cases: (source, order, arguments, device, scale); each alone on its stretch of the recording."""
    nodes = "pcm.loud { type ringmix downmix loud gain_db -12.041199826559248 }"
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc(nodes))
    with Server(context, "--format", "S32_LE") as server:
        players = []
        for source, _, arguments, device, _ in cases:
            players.append(Player(context, source, *arguments, device=device, env=env))
            players[-1].finish()
            require("onversion PCM" not in players[-1].messages(), f"plug converts: {players[-1].messages()}")
        server.wait_free()
    return ended_parts(load_events(server.events)), read_wav(server.output), players


@scenario("downmix")
def downmix(context):
    """Six channels of noise on the stereo device: in both orders, at two rates, scaled and loud."""
    frames = 20000 if context.quick else 60000
    at_device, at_cd = (context.shop.noise(frames, 700 + n, channels=6, rate=rate, level=level)
                        for n, (rate, level) in enumerate(((48000, 0.9), (44100, 0.5))))  # converted, it overshoots
    wave_order = ["--chmap=" + ",".join(WAVE)]
    cases = [(at_device, USUAL, [], "ringmix", SCALED), (at_device, WAVE, wave_order, "ringmix", SCALED),
             (at_cd, WAVE, wave_order, "ringmix", SCALED), (at_device, USUAL, [], "loud", 0.25)]
    parts, recording, players = play(context, cases)
    worst = 0.0
    for player, (source, order, _, device, scale) in zip(players, cases):
        weights = scale * np.array([STEREO[position] for position in order])
        expected = source.samples.astype(np.float64) @ weights
        if source.rate != recording.rate:
            expected = Filter(source.rate).convert(expected)
        own = parts.get(player.pid, [])
        require(len(own) == 1 and own[0].frames >= len(expected), f"{device}: streams {own}")
        heard = recording.samples[own[0].first : own[0].first + len(expected)]
        off = np.abs(heard - expected)
        worst = max(worst, off.max() / UNIT)
        frame = int(off.max(axis=1).argmax())
        require(off.max() <= 4 * UNIT, f"{device}, {order}, {source.rate} Hz: frame {frame} is {heard[frame].tolist()} "
                                       f"instead of {expected[frame].tolist()}")
        require(np.abs(heard).max() > 2.0**28, "nothing was heard")
    return {"plays": len(cases), "worst_units_of_24_bits": round(float(worst), 2)}
