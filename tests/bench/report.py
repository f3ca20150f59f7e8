#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""report.py RESULTS.json RATIOS.json PLOT.png: what bench_mix measured, as ratios within that run.

RESULTS.json is Google Benchmark's output of bench_mix with repetitions. Of each benchmark the fastest
repetition counts: on a machine with other work the others measure that work too. Processor time
is taken, except for two processes, which wait for each other.
"""

import json
import sys

BASELINE = "dmix/default/256"
COUNTS = (1, 2, 4, 8, 16, 32, 64)


def read(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
    times = {}
    for row in results["benchmarks"]:
        if row.get("run_type", "iteration") != "iteration" or "error_message" in row:
            continue
        name = row["run_name"].split("/iterations:")[0].removesuffix("/manual_time")
        time = row["real_time"] if name.startswith("two/") else row["cpu_time"]
        times[name] = min(time, times.get(name, time))
    return times


def best_simd(times):
    for name in ("avx2", "sse2", "neon"):
        if any(key.startswith(f"post/{name}/") for key in times):
            return name
    return "plain"


def goals(times, simd):
    """(what, measured, limit): it should be at least the limit, at most -limit if that is negative; None: no goal."""

    def post(lane="S16", clients=1, kind="post"):
        return times[f"{kind}/{simd}/{lane}/S16/{clients}/256"]

    base = times[BASELINE]
    rows = [("1 client: dmix / post", base / post(), 5)]
    if "floor/256" in times:
        rows.append(("1 client: post / floor", post() / times["floor/256"], -3))
    rows += [(f"{n} clients there: dmix / post", base / post(clients=n), 1) for n in COUNTS]
    rows += [(f"{n} clients in turn: dmix / post", base / post(clients=n, kind="round"), 1) for n in COUNTS]
    rows += [(f"{n} clients there: dmix / reading their lanes", base / times[f"read/{n}/256"], None)
             for n in (32, 64) if f"read/{n}/256" in times]
    for lane in ("S32", "FLOAT", "S32_HIGH"):
        worst = max(post(lane, n) / post("S16", n) for n in COUNTS)
        rows.append((f"{lane} lanes / S16 lanes, at worst", worst, -2.5))
    for where in ("same", "round"):
        if f"two/post/{where}/2" not in times:
            continue
        for routine in ("post", "dmix", "floor"):
            if f"two/{routine}/{where}/2" in times:
                ratio = times[f"two/{routine}/{where}/2"] / times[f"two/{routine}/{where}/1"]
                rows.append((f"{routine}: two processes / one ({where})", ratio, -2 if routine == "post" else None))
        rows.append((f"two processes ({where}): dmix / post",
                     times[f"two/dmix/{where}/2"] / times[f"two/post/{where}/2"], 1))
    return rows


def print_times(times):
    base = times[BASELINE]
    print(f"{'':42}{'ns':>10}{'ns/sample':>11}{'x dmix':>9}")
    for name in sorted(times, key=lambda key: [(part.isdigit(), int(part) if part.isdigit() else 0, part)
                                               for part in key.split("/")]):
        frames = int(name.split("/")[-1]) if not name.startswith("two/") else 256
        per_sample = times[name] / (2 * frames)
        print(f"{name:42}{times[name]:10.1f}{per_sample:11.3f}{per_sample / (base / 512):9.3f}")


def plot(times, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6))
    routines = sorted({key.rsplit("/", 2)[0] for key in times if key.startswith(("post/", "round/"))})
    for routine in routines:
        kind, _, lane, device = routine.split("/")
        shown = device == "S16" and (lane == "S16" or (lane == "FLOAT" and kind == "post"))
        points = [(n, times[f"{routine}/{n}/256"] / 512) for n in COUNTS if f"{routine}/{n}/256" in times]
        if shown and points:
            axes.plot(*zip(*points), marker="o", linestyle="--" if kind == "round" else "-", label=routine)
    for name in ("dmix/default/256", "dmix/lockfree/256", "floor/256"):
        if name in times:
            axes.axhline(times[name] / 512, linestyle=":", color="grey")
            axes.annotate(name, (COUNTS[-1], times[name] / 512), va="bottom", ha="right")
    axes.set(xscale="log", yscale="log", xlabel="clients", ylabel="ns per sample, transfers of 256 stereo frames",
             title="Bringing a client's samples into the device's ring")
    axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
    axes.legend(fontsize="small")
    axes.grid(True, which="both", alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main():
    results, ratios, picture = sys.argv[1:4]
    times = read(results)
    simd = best_simd(times)
    print_times(times)
    print(f"\nratios, whole posts of 256 stereo frames ({simd}), against {BASELINE} of this run")
    rows = goals(times, simd)
    for what, measured, limit in rows:
        if limit is None:
            print(f"        {what:48}{measured:8.2f}")
            continue
        reached = measured >= limit if limit > 0 else measured <= -limit
        bound = f"at least {limit}" if limit > 0 else f"at most {-limit}"
        print(f"{'ok' if reached else 'missed':8}{what:48}{measured:8.2f}   {bound}")
    with open(ratios, "w", encoding="utf-8") as file:
        json.dump({"simd": simd, "baseline": BASELINE, "ns": times,
                   "ratios": [{"what": w, "measured": m, "limit": l} for w, m, l in rows]}, file, indent=1)
    plot(times, picture)


if __name__ == "__main__":
    main()
