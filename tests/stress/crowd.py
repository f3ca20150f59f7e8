# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps a crowd of players alive, and makes life hard for them."""

import json
import signal
import subprocess
import time
from dataclasses import dataclass

from harness import require


@dataclass
class Node:
    """A PCM of the configuration."""

    name: str
    gain: int = 1 << 22
    text: str = ""
    mapping: tuple = None  # device channel of each channel

    def routing(self, channels, device_channels):
        """device channel -> channel of the client"""
        if self.mapping:
            return {target: number for number, target in enumerate(self.mapping)}
        if channels == 1:
            return {target: 0 for target in range(min(device_channels, 2))}
        return {number: number for number in range(channels)}

    def argument(self, device_channels):
        fewest, most = (len(self.mapping),) * 2 if self.mapping else (1, device_channels)
        return f"{self.name}:{fewest}:{most}"

    def config(self):
        return f"pcm.{self.name} {{ type ringmix autostart no {self.text} }}"


def make_nodes(random, device_channels):
    nodes = [Node("plain")]
    for number in range(3):
        decibels = random.choice([0.0, -6.0, 3.5, -20.0])
        mapping = tuple(random.sample(range(device_channels), random.randrange(1, device_channels + 1)))
        gain = round(10 ** (decibels / 20) * 2**22)
        text = f"gain_db {decibels} map [ {' '.join(map(str, mapping))} ]"
        nodes.append(Node(f"special{number}", gain, text, mapping))
    return nodes + [Node("plain2"), Node("plain3")]


class Member:
    """One player process."""

    def __init__(self, process, journal, survivor):
        self.process, self.journal, self.survivor = process, journal, survivor
        self.standing_until = None  # SIGCONT then
        self.dies_after_standing = False
        self.death_ns = None
        self.killed = False

    def look(self):
        """True once it is dead. A stop that it brought about itself begins to be counted here."""
        if self.process.poll() is None:
            return False
        if self.death_ns is None:
            self.death_ns = time.monotonic_ns()
        return True

    def stands(self):
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        except (FileNotFoundError, ProcessLookupError):
            return False


class Crowd:
    def __init__(self, context, server, count, nodes, device_channels, clock_ns, rate, end):
        self.context, self.server, self.random = context, server, context.random
        self.count, self.end, self.rate, self.clock_ns = count, end, rate, clock_ns
        self.arguments = [word for node in nodes for word in ("--node", node.argument(device_channels))]
        folder = context.build / "tests" / "stress"
        self.program = folder / "player"
        plugin = folder / "libasound_module_pcm_ringmix.so"
        config = context.asoundrc("\n".join([f'pcm_type.ringmix.lib "{plugin}"', *(node.config() for node in nodes)]))
        self.env = context.environment(ALSA_CONFIG_PATH=config, RINGMIX_PLUGIN=plugin)
        self.members, self.alive = [], []
        self.stops = self.kills = self.gains = 0

    def add(self, survivor):
        left = self.end - time.monotonic()
        life = left if survivor else min(left, self.random.choice([self.random.uniform(0.05, 1), self.random.uniform(1, 8)]))
        journal = self.context.folder / f"journal{len(self.members)}"
        words = [self.program, "--seed", self.random.randrange(1, 2**60), "--seconds", f"{life:.3f}", "--journal",
                 journal, "--clock", self.clock_ns, "--rate", self.rate, *self.arguments, "--stops"]
        if not survivor:
            words.append("--kills")
        member = Member(self.context.launch(words, "player", env=self.env), journal, survivor)
        self.members.append(member)
        self.alive.append(member)

    def kill(self, member):
        member.process.send_signal(signal.SIGKILL)
        member.process.wait()
        member.killed = True
        self.kills += 1

    def choose_pause(self):
        """How long to stand: not to be noticed; an underrun; several turns of the ring."""
        return self.random.choice([self.random.uniform(0, 0.01), self.random.uniform(0.01, 0.2),
                                   self.random.uniform(0.3, 1.2)])

    def tend_standing(self):
        now = time.monotonic()
        for member in self.alive:
            if member.standing_until is None and member.stands():  # at a hook
                member.standing_until = now + self.choose_pause()
                member.dies_after_standing = not member.survivor and self.random.random() < 0.3
            if member.standing_until is not None and member.standing_until <= now:
                member.standing_until = None
                if member.dies_after_standing:
                    self.kill(member)
                else:
                    member.process.send_signal(signal.SIGCONT)

    def disturb(self):
        free = [member for member in self.alive if member.standing_until is None]
        if not free:
            return
        member = self.random.choice(free)
        chance = self.random.random()
        if chance < 0.02 and len(free) > len(self.alive) // 2:
            member.process.send_signal(signal.SIGSTOP)
            member.standing_until = time.monotonic() + self.choose_pause()
            member.dies_after_standing = not member.survivor and self.random.random() < 0.2
            self.stops += 1
        elif chance < 0.03 and not member.survivor:
            self.kill(member)

    def change_gain(self):
        """Of one player at random; it may be gone by now."""
        control = [self.context.ctl_program, "--json"]
        env = self.context.environment()
        told = subprocess.run([*control, "clients"], env=env, capture_output=True, text=True, timeout=10)
        clients = json.loads(told.stdout) if told.returncode == 0 else []
        if not clients:
            return
        for _ in range(self.random.choice([1, 1, 1, 3])):
            words = self.random.choice([["mute"], ["unmute"], ["unmute"], ["gain", self.random.choice(
                ["0", "=-6.02", "+3", "-3", "-inf", "=-1.5", "2.25", "0"])]])
            chosen = str(self.random.choice(clients)["id"])
            subprocess.run([*control, words[0], chosen, *words[1:]], env=env, capture_output=True, timeout=10)
            self.gains += 1

    def run(self):
        """Until the time has come; then everybody may end."""
        for number in range(self.count):
            self.add(number < self.count // 2)
        next_gain = time.monotonic() + 0.5
        while time.monotonic() < self.end:
            self.alive = [member for member in self.alive if not member.look()]
            while len(self.alive) < self.count:
                self.add(False)
            self.tend_standing()
            self.disturb()
            if time.monotonic() > next_gain:
                self.change_gain()
                next_gain = time.monotonic() + self.random.uniform(0, 0.6)
            time.sleep(self.random.uniform(0, 0.006))
        deadline = time.monotonic() + 20
        while self.alive:
            self.alive = [member for member in self.alive if not member.look()]
            self.tend_standing()
            require(time.monotonic() < deadline, f"{len(self.alive)} players do not end: "
                    f"{[member.process.pid for member in self.alive]}")
            time.sleep(0.002)

    def check_ends(self):
        for member in self.members:
            code = member.process.returncode
            require(code == 0 or code == -signal.SIGKILL,
                    f"player {member.process.pid} ended with {code}: {member.process.log.read_text()[-500:]}")
