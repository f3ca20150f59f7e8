#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rates_report.py RESULTS.json [PLOT.png]: what bench_rates measured, as a table, with the goals that ringmix has.

Prints, for each pair of rates and each converter: by how much a tone of 1 kHz is out of tune (cents), what is beside
tones of 1, 10 and 18 kHz and of 0.41 of the lower rate (dB below them), by how much tones up to 0.41 of the lower rate
differ in level (dB), the loudest that a tone which the device cannot hold leaves below 0.45 of the lower rate (dB), the
latency (ms), and the time for a stereo frame of the device (ns).
"""

import json
import sys

BASE = "libsamplerate linear"
# Pairs whose time has a goal: those that programs and devices have.
TIMED = {(44100, 48000), (48000, 44100), (96000, 48000), (48000, 96000), (88200, 48000), (192000, 48000),
         (32000, 48000), (22050, 48000), (16000, 48000), (11025, 48000), (8000, 48000)}


def ripple(converter):
    levels = [level for part, level in converter["response"] if part <= 0.4101]
    return max(levels) - min(levels)


def alias(rates, converter):
    """Of tones from 0.55 of the device's rate on; None where there are none."""
    if rates["client"] <= rates["device"]:
        return None
    return max((level for part, level in converter["response"] if part >= 0.5499), default=None)


def noise(converter, hertz):
    return next((tone["noise"] for tone in converter["tones"] if abs(tone["hertz"] - hertz) < 1), None)


def show(value, form):
    return "-" if value is None else form.format(value)


def print_table(rates):
    lower = min(rates["client"], rates["device"])
    print(f"\n{rates['client']} -> {rates['device']} Hz")
    print(f"  {'':37}{'cents':>9}{'1 kHz':>7}{'10 kHz':>7}{'18 kHz':>7}{'0.41':>6}{'ripple':>9}{'alias':>7}"
          f"{'ms':>6}{'ns':>8}")
    for c in rates["converters"]:
        numbers = [show(noise(c, hertz), "{:.0f}") for hertz in (1000, 10000, 18000, 0.41 * lower)]
        print(f"  {c['name']:37}{c['tones'][0]['cents']:9.4f}{numbers[0]:>7}{numbers[1]:>7}{numbers[2]:>7}{numbers[3]:>6}"
              f"{ripple(c):9.5f}{show(alias(rates, c), '{:.0f}'):>7}"
              f"{show(c['latency_ms'] if c['latency_ms'] >= 0 else None, '{:.2f}'):>6}"
              f"{show(c['ns'] if c['ns'] > 0 else None, '{:.1f}'):>8}")


def goals(rates):
    """(what, measured, limit, met)."""
    name = f"{rates['client']} -> {rates['device']}"
    ours = [c for c in rates["converters"] if c["ours"]]
    base = next((c["ns"] for c in rates["converters"] if c["name"] == BASE), None)
    for c in ours:
        cents = max(abs(tone["cents"]) for tone in c["tones"])
        yield f"{name} {c['name']}: out of tune, cents", cents, 0.001, cents < 0.001
        worst = min(tone["noise"] for tone in c["tones"])
        yield f"{name} {c['name']}: signal to noise, dB", worst, 120, worst >= 120
        yield f"{name} {c['name']}: ripple, dB", ripple(c), 0.01, ripple(c) <= 0.01
        if (level := alias(rates, c)) is not None:
            yield f"{name} {c['name']}: aliases, dB", level, -110, level <= -110
        if base is not None and (rates["client"], rates["device"]) in TIMED:
            vector = c["name"].endswith(("avx2", "neon"))
            most = (2 if vector else 4) * max(1, rates["client"] / rates["device"] / 2)
            yield f"{name} {c['name']}: time / {BASE}", c["ns"] / base, most, c["ns"] / base <= most


def plot(results, path):
    try:
        import matplotlib
    except ImportError:
        print("\nno plots: python3-matplotlib is missing")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = ("ringmix avx2", "ringmix neon", "libsamplerate linear", "libsamplerate medium", "soxr HQ", "speexdsp 3")
    wanted = ((44100, 48000), (96000, 48000), (48000, 44100))
    chosen = [r for r in results if (r["client"], r["device"]) in wanted] or results[:3]
    figure, axes = pyplot.subplots(len(chosen), 3, figsize=(16, 4 * len(chosen)), squeeze=False)
    for row, rates in zip(axes, chosen):
        for c in rates["converters"]:
            if c["name"] not in shown:
                continue
            row[0].plot(*zip(*c["response"]), label=c["name"])
            row[1].plot(*zip(*((part, level) for part, level in c["response"] if part <= 0.5)), label=c["name"])
            row[2].plot(*zip(*c["impulse"]), label=c["name"])
        title = f"{rates['client']} → {rates['device']} Hz"
        row[0].set(title=f"{title}: response", ylim=(-180, 5), xlabel="parts of the lower rate", ylabel="dB")
        row[1].set(title=f"{title}: what passes", ylim=(-1, 0.1), xlim=(0.3, 0.5), xlabel="parts of the lower rate")
        row[2].set(title=f"{title}: an impulse", xlim=(-1.2, 1.2), xlabel="ms from its peak")
        for axis in row:
            axis.grid(True, alpha=0.3)
        row[0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    print(f"\n{path}")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        results = json.load(file)
    for rates in results:
        print_table(rates)
    print("\ngoals")
    rows = [goal for rates in results for goal in goals(rates)]
    for what, measured, limit, met in rows:
        if not met:
            print(f"  missed  {what:60}{measured:12.5f}   limit {limit:g}")
    print(f"  {sum(met for *_, met in rows)} goals met, {sum(not met for *_, met in rows)} missed")
    if len(sys.argv) > 2:
        plot(results, sys.argv[2])


if __name__ == "__main__":
    main()
