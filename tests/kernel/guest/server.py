# SPDX-License-Identifier: LGPL-2.1-or-later
"""A ringmixd of a scenario's own, and what it tells about itself."""

import json
import shutil
import subprocess

from scenario import CHANNELS, GRACE_SECONDS, RATE, Trouble, await_that

STATUS_KEYS = {"device", "state", "format", "rate", "channels", "period_frames", "ring_frames", "frames_played",
               "xruns", "margin_frames"}


def start_server(it, socket, name="ringmixd"):
    program = shutil.which("ringmixd") or "ringmixd"
    server = it.start(name, [
        program, "--device", it.card.device, "--format", it.format, "--rate", str(RATE), "--channels", str(CHANNELS),
        "--period", str(it.period), "--buffer", str(it.buffer), "--socket", str(socket)])
    await_that("ringmixd to be ready", lambda: server.has_ended() or (server.stderr and socket.exists()))
    if server.has_ended():
        raise Trouble(f"ringmixd ended with {server.wait(0)} at start: {server.stderr}")
    return server


def ask(env, what):
    """ringmixctl's answer; anything odd about it is Trouble."""
    answer = subprocess.run([shutil.which("ringmixctl") or "ringmixctl", "--json", what], env=env,
                            capture_output=True, text=True, timeout=GRACE_SECONDS)
    if answer.returncode != 0:
        raise Trouble(f"ringmixctl {what} ended with {answer.returncode}: {answer.stderr}")
    try:
        return json.loads(answer.stdout)
    except ValueError:
        raise Trouble(f"ringmixctl {what} is not JSON: {answer.stdout!r}") from None


def status(env):
    """The instance's status as a dict."""
    values = ask(env, "status")
    if missing := STATUS_KEYS - values.keys():
        raise Trouble(f"ringmixctl status lacks {', '.join(sorted(missing))}")
    return values


def players(env):
    """How many programs are playing."""
    return sum(client["state"] == "running" for client in ask(env, "clients"))
