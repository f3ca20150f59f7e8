# SPDX-License-Identifier: LGPL-2.1-or-later
"""Soft clipping, dither and FLOAT devices: every frame is what the formulas say."""

import subprocess

import numpy as np

from audio import read_wav
from formats import PLAIN, format_sources
from harness import Player, Server, require, scenario
from playing import check_recording, loud_sources, mix_of, start_scattered
from reference import ended_parts, load_events


def play(context, sources, form, *options, spread=0.8, **shape):
    """Scattered players on a device of this format; every frame is compared. Returns the server and the figures."""
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc(PLAIN))
    words = [word for key, value in shape.items() for word in (f"--{key}", value)]
    with Server(context, "--format", form, *words, *options) as server:
        status = context.ctl("status")
        told = {key: status[key] for key in ("format", "clip", "dither")}
        require(told == {"format": form, "clip": "hard", "dither": "none"} | shape, f"the status tells {told}")
        players = start_scattered(context, sources, spread, device="plain", env=env)
        for player in players:
            player.finish()
        server.wait_free()
    figures = {"clients": len(players)} | check_recording(server, players, **shape)
    parts = ended_parts(load_events(server.events))
    return server, figures, mix_of(read_wav(server.output), parts, players, **shape)


def play_soft(context, form):
    """Loud enough for all of the curve: below -6 dB, bent, beyond +3.5 dB."""
    _, figures, mix = play(context, loud_sources(context, 2, 1.2, 1.6, level=0.95), form, spread=0.2, clip="soft")
    require(figures["frames_clipped"] > 10000, f"only {figures['frames_clipped']} frames are above full scale")
    straight = int(mix.total.any(axis=1).sum()) - mix.bent_frames()
    require(straight > 1000, f"only {straight} frames are below -6 dB")
    return figures | {"frames_bent": mix.bent_frames()}


@scenario("soft-clip-on-s16")
def soft_clip_on_s16(context):
    return play_soft(context, "S16_LE")


@scenario("soft-clip-on-s32")
def soft_clip_on_s32(context):
    return play_soft(context, "S32_LE")


@scenario("dither-on-s16")
def dither_on_s16(context):
    """S32 and FLOAT sources are dithered; where only S16 plays, and in silence, nothing is."""
    frames = 48000 if context.quick else 96000
    sources = [context.shop.noise(frames + 999 * number, number, form, level=0.3)
               for number, form in enumerate(["S32_LE", "FLOAT_LE", "S16_LE"])]
    _, figures, mix = play(context, sources, "S16_LE", dither="tpdf")
    dithered = int((mix.total & ((1 << 38) - 1) != 0).any(axis=1).sum())
    require(dithered > frames, f"only {dithered} frames needed rounding")
    return figures | {"frames_dithered": dithered}


@scenario("soft-and-dithered", quick=False)
def soft_and_dithered(context):
    """All client formats, both at once, on 24 bits in 3 bytes."""
    return play(context, format_sources(context, 1.5), "S24_3LE", clip="soft", dither="tpdf")[1]


@scenario("transparent-when-dithered")
def transparent_when_dithered(context):
    """A program alone in the device's format is passed on bit for bit."""
    source = context.shop.noise(24000)
    server, figures, _ = play(context, [source], "S16_LE", dither="tpdf")
    played = read_wav(server.output).samples
    first = int(np.flatnonzero(played.any(axis=1))[0])
    require((played[first : first + source.frames] == source.samples >> 16).all(), "its samples were changed")
    return figures


@scenario("formats-on-float")
def formats_on_float(context):
    """All client formats, summed beyond full scale; other programs can read the recording."""
    server, figures, _ = play(context, format_sources(context, 1.0 if context.quick else 2.0), "FLOAT_LE")
    require(read_wav(server.output).floats, "the recording is not of floats")
    listed = subprocess.run(["aplay", "-v", "-D", "null", server.output], capture_output=True, text=True,
                            env=context.environment(), timeout=30)
    require(listed.returncode == 0 and "Float 32 bit Little Endian" in listed.stderr,
            f"aplay does not take the recording: {listed.stderr}")
    return figures


@scenario("soft-clip-on-float", quick=False)
def soft_clip_on_float(context):
    """Four channels: an extensible header."""
    sources = [context.shop.noise(48000 + 1001 * number, number, form, channels=4, level=0.9, raw=True)
               for number, form in enumerate(["FLOAT_LE", "S32_LE"])]
    return play(context, sources, "FLOAT_LE", "--channels", "4", spread=0.3, clip="soft")[1]
