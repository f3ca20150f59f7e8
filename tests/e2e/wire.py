# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hand-made client of include/ringmix/protocol.h: for questions at the right moment, and for bad manners."""

import os
import socket
import struct

MAGIC, MAJOR, MINOR = 0x584D4E52, 1, 0
HELLO, WELCOME, CONFIGURE, CONFIGURED, RELEASE, DONE, ERROR = range(1, 8)
ASK_STATUS, STATUS, ASK_CLIENTS, CLIENT_INFO, ADOPT = range(8, 13)
HANDOVER = 14
PLAYER, TOOL, SUCCESSOR = 1, 2, 3
HEADER = struct.Struct("<IHHII")
HELLO_BODY = struct.Struct("<IIII64s")
CONFIGURE_BODY = struct.Struct("<IIQ32s4I")
ERROR_BODY = struct.Struct("<iI256s")
STATUS_BODY = struct.Struct("<256s64s256s12I7Q")
STATUS_NUMBERS = ["format", "rate", "channels", "period_frames", "ring_frames", "margin_frames", "reach_frames",
                  "clients", "server_pid", "realtime", "clip", "dither", "frames_played", "xruns", "output_frames",
                  "output_lost_frames", "arena_bytes", "arena_used_bytes", "repairs"]


def message(kind, body=b"", magic=MAGIC, major=MAJOR, size=None):
    return HEADER.pack(magic, major, MINOR, kind, HEADER.size + len(body) if size is None else size) + body


def hello(role=TOOL, name=b"test", major=MAJOR):
    return message(HELLO, HELLO_BODY.pack(role, os.getpid(), 1 << 22, 0, name), major=major)


def configure(form=2, channels=2, frames=1024, mapping=(0, 1)):
    return message(CONFIGURE, CONFIGURE_BODY.pack(form, channels, frames, bytes(mapping).ljust(32, b"\xff"), 0, 0, 0, 0))


def text(field):
    return field.split(b"\0")[0].decode()


class Wire:
    """One connection. Packets go in and out as they are."""

    def __init__(self, path, timeout=5.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.descriptors = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []

    def send(self, packet):
        self.socket.send(packet)

    def receive(self):
        """(type, body); (None, b"") when the server has closed. Descriptors are kept until close()."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self.socket, 2048, 8)
        except ConnectionError:
            return None, b""
        self.descriptors += descriptors
        return (HEADER.unpack_from(packet)[3], packet[HEADER.size :]) if packet else (None, b"")

    def ask(self, packet):
        try:
            self.send(packet)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server said before it closed can still be read
        return self.receive()

    def enter(self, role=TOOL):
        kind, body = self.ask(hello(role))
        if kind != WELCOME:
            raise RuntimeError(f"not welcome: {self.error(kind, body)}")
        return struct.unpack_from("<I", body)[0]

    def status(self):
        kind, body = self.ask(message(ASK_STATUS))
        if kind != STATUS:
            raise RuntimeError(f"no status: {self.error(kind, body)}")
        device, state, output, *numbers = STATUS_BODY.unpack(body)
        words = {"device": text(device), "state": text(state), "output": text(output)}
        return words | dict(zip(STATUS_NUMBERS, numbers))

    @staticmethod
    def error(kind, body):
        """(errno, text) of an Error message."""
        if kind != ERROR:
            return None, f"message {kind}" if kind is not None else "closed without a word"
        number, _, words = ERROR_BODY.unpack(body)
        return number, text(words)
