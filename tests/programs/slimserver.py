# SPDX-License-Identifier: LGPL-2.1-or-later
"""As much of a Logitech Media Server as squeezelite needs to play one file: orders on one port, the sound on another."""

import socket
import struct
import threading
import time
import wave

RATES = {11025: b"0", 22050: b"1", 32000: b"2", 44100: b"3", 48000: b"4"}


class SlimServer:
    """Gives the first player that comes the frames of a WAV file (16 bits, stereo)."""

    def __init__(self, wav):
        with wave.open(str(wav), "rb") as file:
            self.rate, self.frames = RATES[file.getframerate()], file.readframes(file.getnframes())
        self.orders, self.sound = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.port = self.orders.getsockname()[1]
        for serve in (self.give_orders, self.give_sound):
            threading.Thread(target=serve, daemon=True).start()

    def stream_order(self, command):
        """strm: PCM, 16 bits, two channels, little endian; played at once, when 100 KB are there."""
        request = b"GET /sound HTTP/1.0\r\n\r\n" if command == b"s" else b""
        return b"strm" + command + b"1p1" + self.rate + b"21" + struct.pack(
            ">BBBcBBBIHI", 100, 0, 0, b"0", 0, 1, 0, 0, self.sound.getsockname()[1], 0) + request

    def give_orders(self):
        player, _ = self.orders.accept()
        player.recv(4096)  # its greeting
        unity = struct.pack(">II", 1 << 16, 1 << 16)  # gains, left and right: it begins with none
        for order in (b"aude\1\1", b"audg" + unity + b"\1\0" + unity, self.stream_order(b"s")):
            player.sendall(struct.pack(">H", len(order)) + order)
        try:
            while True:  # a player that hears nothing takes its server for dead
                order = self.stream_order(b"t")
                player.sendall(struct.pack(">H", len(order)) + order)
                time.sleep(1)
        except OSError:
            pass

    def give_sound(self):
        stream, _ = self.sound.accept()
        stream.recv(4096)
        try:
            stream.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + self.frames)
        except OSError:
            pass
        stream.close()
