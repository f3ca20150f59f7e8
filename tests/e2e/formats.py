# SPDX-License-Identifier: LGPL-2.1-or-later
"""Formats, gains, maps, rates and buffers of all kinds, alone and mixed with each other."""

import numpy as np

from audio import WAV_FORMATS, read_wav
from harness import Player, Server, require, scenario, wait_until
from playing import check_recording, loud_sources, start_scattered
from reference import ended_parts, load_events, stretches

FORMATS = ["U8", "S16_LE", "S24_LE", "S24_3LE", "S32_LE", "FLOAT_LE"]
PLAIN = "pcm.plain { type ringmix autostart no }"


def format_sources(context, seconds):
    """Each format from a file without a header, and those that WAV files know from one as well."""
    frames = int(48000 * seconds)
    raw = [context.shop.noise(frames + 37 * number, number, form, raw=True, level=0.5)
           for number, form in enumerate(FORMATS)]
    wav = [context.shop.noise(frames + 11 * number, 10 + number, form, level=0.5)
           for number, form in enumerate(sorted(set(WAV_FORMATS.values())))]
    return raw + wav


def play_formats(context, form):
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc(PLAIN))
    with Server(context, "--format", form) as server:
        players = start_scattered(context, format_sources(context, 1.0 if context.quick else 2.0),
                                  0.8 if context.quick else 2.5, device="plain", env=env)
        for player in players:
            player.finish()
        server.wait_free()
    return {"clients": len(players)} | check_recording(server, players)


@scenario("formats-on-s16")
def formats_on_s16(context):
    return play_formats(context, "S16_LE")


@scenario("formats-on-s24", quick=False)
def formats_on_s24(context):
    return play_formats(context, "S24_LE")


@scenario("formats-on-s24-3", quick=False)
def formats_on_s24_3(context):
    return play_formats(context, "S24_3LE")


@scenario("formats-on-s32")
def formats_on_s32(context):
    return play_formats(context, "S32_LE")


@scenario("gain-and-map")
def gain_and_map(context):
    """Fixed-point gains and crossed channels on a device of four channels."""
    decibels = [-6.0, 3.5, 0.0, -90.0, 12.0]
    maps = [[1, 0], [3, 2], [0, 3], [2, 1], [0, 1]]
    nodes = "\n".join(f"pcm.g{number} {{ type ringmix gain_db {db} map [ {' '.join(map(str, mapping))} ] }}"
                      for number, (db, mapping) in enumerate(zip(decibels, maps)))
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc(nodes))
    with Server(context, "--channels", "4", "--format", "S24_3LE") as server:
        players = [Player(context, context.shop.noise(30000, number, FORMATS[1 + number], raw=True, level=0.2),
                          device=f"g{number}", env=env) for number in range(len(maps))]
        for player in players:
            player.finish()
    gains = {player: round(10 ** (db / 20) * 2**22) for player, db in zip(players, decibels)}
    routings = {player: {target: number for number, target in enumerate(mapping)}
                for player, mapping in zip(players, maps)}
    return {"clients": len(players)} | check_recording(server, players, gains=gains, routings=routings)


def sounding(recording):
    """The one stretch of the recording that is not silent, as a slice."""
    loud = np.flatnonzero(recording.samples.any(axis=1))
    require(len(loud) > 0, "nothing was played")
    return slice(int(loud[0]), int(loud[-1]) + 1)


@scenario("mono-and-rates")
def mono_and_rates(context):
    """All of it is played; mono exactly, and on both channels."""
    figures = {"clients": 0, "frames_compared": 0, "differences": 0}
    cases = [(48000, 1), (44100, 2), (44100, 1), (8000, 1), (96000, 2)]
    for rate, channels in cases[: 3 if context.quick else None]:
        source = context.shop.noise(rate // 2 if context.quick else rate, 50, channels=channels, rate=rate, level=0.5)
        with Server(context) as server:
            player = Player(context, source)
            player.finish()
            server.wait_free()
        parts = ended_parts(load_events(server.events))
        recording = read_wav(server.output)
        require(len(parts.get(player.pid, [])) == 1, f"{rate} Hz: streams {parts}")
        part = parts[player.pid][0]
        least = source.frames * 48000 // rate
        period = player.period() * 48000 // rate
        require(least - 64 <= part.frames <= least + period + 64,
                f"{rate} Hz: {part.frames} frames were played instead of {least} (period {period})")
        heard = sounding(recording)
        require(part.first <= heard.start and heard.stop <= part.end and heard.stop - heard.start >= least - 64,
                f"{rate} Hz: sounds from {heard.start} to {heard.stop}, streams {part}")
        figures["clients"] += 1
        if channels == 1:
            require((recording.samples[:, 0] == recording.samples[:, 1]).all(), f"{rate} Hz mono: channels differ")
        if (rate, channels) == (48000, 1):
            expected = np.zeros_like(recording.samples)
            expected[part.first : part.first + source.frames] = source.samples >> 16
            wrong = (recording.samples != expected).any(axis=1)
            require(not wrong.any(), f"mono: {wrong.sum()} frames differ: {stretches(wrong)[:5]}")
            figures["frames_compared"] += len(wrong)
    return figures


@scenario("mono-on-six")
def mono_on_six(context):
    """Mono goes to the two front speakers of a 5.1 device, a stereo client too; the others are silent."""
    env = context.environment(ALSA_CONFIG_PATH=context.asoundrc(PLAIN))
    with Server(context, "--channels", "6") as server:
        players = [Player(context, context.shop.noise(24000, 60 + channels, channels=channels), device="plain", env=env)
                   for channels in (1, 2, 6)]
        for player in players:
            player.finish()
    routings = dict(zip(players, [{0: 0, 1: 0}, {0: 0, 1: 1}, {channel: channel for channel in range(6)}]))
    return {"clients": 3} | check_recording(server, players, routings=routings)


@scenario("small-buffers")
def small_buffers(context):
    """They may underrun on a busy machine, but must play to the end; what is heard is theirs."""
    figures = {"clients": 0, "underruns": 0}
    cases = [(64, 256), (1, 2), (8, 32), (16, 16), (32, 4096)]
    for period, buffer in cases[: 2 if context.quick else None]:
        env = context.environment(ALSA_CONFIG_PATH=context.asoundrc(PLAIN))
        source = context.shop.noise(24000, 70)
        with Server(context) as server:
            players = [Player(context, source, f"--period-size={period}", f"--buffer-size={buffer}", device=device,
                              env=env) for device in ("plain", "ringmix")]
            for player in players:
                player.wait()
                refused = "Can't use period equal to buffer size" in player.messages()  # aplay's own rule
                require(refused or player.process.returncode == 0,
                        f"period {period}, buffer {buffer}: {player.messages()[-400:]}")
                figures["clients"] += not refused
                figures["underruns"] += player.underruns()
            server.wait_free()
        ended_parts(load_events(server.events))
    return figures


@scenario("buffer-beyond-ring")
def buffer_beyond_ring(context):
    """Clients' buffers of two seconds on a ring of 85 ms."""
    sources = loud_sources(context, 3, 2.1, 2.2 if context.quick else 4.0)
    with Server(context, "--buffer", "4096", "--period", "256") as server:
        players = start_scattered(context, sources, 0.5, "--buffer-time=2000000")
        wait_until(lambda: any(client["queued_frames"] > 3 * 4096 for client in server.clients()), 5,
                   "more is queued than the ring holds")
        for player in players:
            player.finish()
        server.wait_free()
    return {"clients": 3} | check_recording(server, players)


@scenario("odd-device")
def odd_device(context):
    """A ring and periods of no round number, another rate."""
    sources = [context.shop.noise(22050 + 997 * number, number, rate=44100) for number in range(4)]
    with Server(context, "--rate", "44100", "--period", "441", "--buffer", "7919") as server:
        players = start_scattered(context, sources, 0.5)
        for player in players:
            player.finish()
        server.wait_free()
        require(server.status()["ring_frames"] == 7919, f"another ring: {server.status()}")
    return {"clients": 4} | check_recording(server, players)
