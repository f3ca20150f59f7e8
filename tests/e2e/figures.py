# SPDX-License-Identifier: LGPL-2.1-or-later
"""What playing costs: system calls and memory. Figures for the summary; few of them are judged."""

import re
import shutil
from collections import Counter
from pathlib import Path

from harness import Player, Server, Skip, require, scenario, wait_until


def calls_of(trace):
    """The names of the system calls of an strace log, in their order."""
    names = []
    for line in trace.read_text().splitlines():
        found = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if found:
            names.append((found.group(1), line))
    return names


def steady_calls(calls, descriptor):
    """Per read of the file that is played: what aplay calls in the middle half of them."""
    reads = [number for number, (name, line) in enumerate(calls)
             if name == "read" and f"read({descriptor}," in line.replace("  ", " ")]
    first, last = reads[len(reads) // 4], reads[3 * len(reads) // 4]
    counts = Counter(name for name, _ in calls[first:last])
    periods = 3 * len(reads) // 4 - len(reads) // 4
    return counts, periods


@scenario("system-calls")
def system_calls(context):
    if not shutil.which("strace"):
        raise Skip("no strace here")
    source = context.shop.noise(96000)
    trace = context.folder / "trace"
    with Server(context):
        player = Player(context, source, "--period-size=1024", "--buffer-size=8192",
                        launcher=["strace", "-o", trace])
        player.wait(60)
        if "PTRACE" in player.messages() or not trace.exists():
            raise Skip(f"strace does not work here: {player.messages()[:200]}")
        player.finish(underruns=None)
    calls = calls_of(trace)
    opened = [re.search(r"= (\d+)$", line).group(1) for name, line in calls
              if name in ("open", "openat") and str(source.path) in line]
    counts, periods = steady_calls(calls, opened[-1])
    require(counts["ioctl"] == 0, f"{counts['ioctl']} ioctl calls on the sound path")
    for name in ("futex", "semop", "sched_yield", "sendmsg", "recvmsg", "mmap", "munmap", "brk", "nanosleep"):
        require(counts[name] == 0, f"{counts[name]} {name} calls on the sound path: {dict(counts)}")
    return {"periods": periods} | {f"{name}_per_period": round(count / periods, 2)
                                   for name, count in sorted(counts.items())}


def memory(pid):
    """(Rss, Pss) in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{kind}: +(\d+) kB", text, re.M).group(1)) for kind in ("Rss", "Pss"))


@scenario("memory-and-sizes")
def memory_and_sizes(context):
    if not Path("/proc/self/smaps_rollup").exists():
        raise Skip("no smaps_rollup here")
    with Server(context) as server:
        idle = memory(server.pid)
        player = Player(context, context.shop.noise(48000))
        wait_until(lambda: any(client["state"] == "running" for client in server.clients()), 5, "it plays")
        busy, client = memory(server.pid), memory(player.pid)
        player.finish()
    return {"server_idle_rss_kib": idle[0], "server_idle_pss_kib": idle[1], "server_rss_kib": busy[0],
            "server_pss_kib": busy[1], "client_rss_kib": client[0], "client_pss_kib": client[1],
            "server_bytes": context.server_program.stat().st_size, "plugin_bytes": context.plugin.stat().st_size,
            "ctl_bytes": context.ctl_program.stat().st_size}
