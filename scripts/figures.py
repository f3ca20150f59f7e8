# SPDX-License-Identifier: LGPL-2.1-or-later
"""The closing figures of scripts/test: figures.py REPORT BUILD

REPORT has a line of JSON for each end-to-end and kernel test and each configuration of the model; BUILD is
the build that was tested.
What was not run (--quick) is left out.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def exactness(rows):
    for row in rows:
        if "frames_compared" in row and not row["test"].startswith("kernel"):
            yield f"{row['test']:24} {row['frames_compared']:>9} frames, {row.get('differences', '?')} differences" + (
                f", {row['clients']} clients" if "clients" in row else "")


def kernel(rows):
    for row in rows:
        if row["test"].startswith("kernel"):
            rest = {key: value for key, value in row.items() if key not in ("test", "outcome", "seed", "seconds")}
            yield f"{row['test']:24} {row.get('outcome', '')}  " + ", ".join(f"{k} {v}" for k, v in rest.items())


def model(rows):
    rows = [row for row in rows if row["test"].startswith("model")]
    hold = [row for row in rows if row["expected"] == "holds"]
    for row in hold:
        yield f"{row['test'].removeprefix('model '):24} {row['outcome']:6} {row['states']:>9} states"
    mutations = [row for row in rows if row["expected"] == "fails"]
    if mutations:
        found = sum(row["outcome"] == "ok" for row in mutations)
        yield f"{len(mutations)} mutations, {found} of them found out"


def calls(rows):
    for row in rows:
        if row["test"] == "system-calls" and row["outcome"] == "ok":
            yield "in a playing aplay, per period: " + ", ".join(
                f"{key.removesuffix('_per_period')} {value}" for key, value in row.items()
                if key.endswith("_per_period"))


def memory(rows):
    for row in rows:
        if row["test"] == "memory-and-sizes" and row["outcome"] == "ok":
            yield (f"resident (proportional): server {row['server_rss_kib']} KiB ({row['server_pss_kib']}), "
                   f"a playing aplay {row['client_rss_kib']} KiB ({row['client_pss_kib']})")
            yield (f"sizes as built, with debug symbols: ringmixd {row['server_bytes']}, plugin {row['plugin_bytes']}, "
                   f"ringmixctl {row['ctl_bytes']} bytes")


def stripped(build):
    sizes = []
    for name in ("server/ringmixd", "plugin/libasound_module_pcm_ringmix.so", "server/ctl/ringmixctl"):
        with tempfile.NamedTemporaryFile() as copy:
            subprocess.run(["strip", "-o", copy.name, build / name], check=True)
            sizes.append(f"{Path(name).name} {os.stat(copy.name).st_size}")
    yield "sizes stripped: " + ", ".join(sizes) + " bytes"


def open_time(build):
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/s.sock"
        server = subprocess.Popen([build / "server/ringmixd", "--device", "virtual", "--socket", socket],
                                  stderr=subprocess.PIPE, text=True)
        server.stderr.readline()
        environment = os.environ | {"RINGMIX_SOCKET": socket}
        answer = subprocess.run([build / "tests/bench/open_time", "ringmix"], env=environment, capture_output=True,
                                text=True)
        server.terminate()
        server.wait()
    if answer.returncode != 0:
        yield f"open_time failed: {answer.stderr.strip()}"
        return
    row = json.loads(answer.stdout)
    yield (f"snd_pcm_open to the first frame in the ring: {row['open_to_ring_ms']} ms, "
           f"until it is heard: {row['open_to_heard_ms']} ms (median of {row['runs']}, server running)")


def main():
    report, build = Path(sys.argv[1]), Path(sys.argv[2])
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    print(f"on {processor()}, {os.cpu_count()} processors, Linux {platform.release()}")
    for title, lines in (("exactness", exactness(rows)), ("kernel rig", kernel(rows)), ("model", model(rows)),
                         ("cost", calls(rows)), ("", memory(rows)), ("", stripped(build)), ("", open_time(build))):
        lines = list(lines)
        if title and lines:
            print(f"\n{title}")
        for line in lines:
            print(f"  {line}")


if __name__ == "__main__":
    main()
