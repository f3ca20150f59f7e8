# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs, and how each is made to play the tone."""

import shutil
import subprocess
import wave
from dataclasses import dataclass
from typing import Callable

import numpy as np

from slimserver import SlimServer
from stage import Broken

PYTHON = "/usr/bin/python3"
PROGRAMS = []


def tone_file(rate):
    return lambda shop: shop.wav(rate)


@dataclass
class Program:
    name: str
    packages: list
    play: Callable  # with a Stage; returns when it has played
    reference: Callable = tone_file(44100)  # with a Shop: a WAV file with what is to be heard
    keys: str = ""  # for the ALSA configuration
    cents: float = 0.01
    shift: float = 10  # µs
    gain: float = 0  # dB that the program makes it louder
    judge_level: bool = True
    noise: float = 80  # dB
    length: float = 0.1  # seconds that it may be longer or shorter
    note: str = ""


def program(name, *packages, **details):
    """Registers a function of a Stage that plays."""
    def register(function):
        PROGRAMS.append(Program(name, list(packages), function, **details))
        return function
    return register


def read_reference(path):
    """Samples with full scale 1.0, and their rate."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return samples / 32768.0, file.getframerate()


def for_rates(name, rates, packages, command, **details):
    """A program that plays WAV files: `command` with the file's place in it."""
    for rate in rates:
        program(f"{name}, {rate / 1000:g} kHz", *packages, reference=tone_file(rate), **details)(
            lambda stage, rate=rate: stage.play([word.format(file=stage.shop.wav(rate)) for word in command]))


for_rates("aplay", (44100, 48000, 11025), ["alsa-utils"], ["aplay", "-q", "{file}"])
for_rates("ffmpeg", (44100, 22050, 96000), ["ffmpeg"],
          ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", "{file}", "-f", "alsa", "default"])
for_rates("sox", (44100,), ["sox", "libsox-fmt-alsa"], ["sox", "-q", "{file}", "-t", "alsa", "default"])
for_rates("mpv", (44100, 96000), ["mpv"], ["mpv", "--no-config", "--no-video", "--ao=alsa", "--really-quiet", "{file}"])
for_rates("GStreamer", (44100, 32000), ["gstreamer1.0-tools", "gstreamer1.0-alsa", "gstreamer1.0-plugins-good"],
          ["gst-launch-1.0", "-q", "filesrc", "location={file}", "!", "wavparse", "!", "audioconvert", "!", "alsasink",
           "device=default"])


@program("mpg123", "mpg123", "ffmpeg", length=0.2, noise=70)
def mpg123(stage):
    file = stage.shop.encoded(44100, "mp3", ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", "{wav}", "-b:a", "320k",
                                             "{out}"])
    stage.play(["mpg123", "-q", "-o", "alsa", "-a", "default", file])


@program("ogg123", "vorbis-tools", "libao4", noise=45)
def ogg123(stage):
    file = stage.shop.encoded(44100, "ogg", ["oggenc", "-Q", "-q", "9", "-o", "{out}", "{wav}"])
    stage.play(["ogg123", "-q", "-d", "alsa", file])


@program("VLC", "vlc-bin", "vlc-plugin-base", noise=25, note="asks for no conversion, and converts itself")
def vlc(stage):
    stage.folder.chmod(0o777)  # it does not run as root
    stage.play(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cvlc", "--quiet", "--intf", "dummy",
                "--no-video", "--aout", "alsa", "--play-and-exit", stage.shop.wav(44100)])


MPD_SETTINGS = """
music_directory "{music}"
db_file "{folder}/db"
pid_file "{folder}/pid"
bind_to_address "{folder}/mpd.socket"
audio_output {{
    type "alsa"
    name "ringmix"
    device "default"
    mixer_type "none"
}}
"""


@program("mpd", "mpd", "mpc")
def mpd(stage):
    settings, music = stage.folder / "mpd.conf", stage.folder / "music"
    music.mkdir()
    (music / "tone.wav").symlink_to(stage.shop.wav(44100))
    settings.write_text(MPD_SETTINGS.format(folder=stage.folder, music=music))
    stage.start(["mpd", "--no-daemon", "--stderr", settings])
    stage.wait((stage.folder / "mpd.socket").exists, "mpd listens")
    for words in (["update", "--wait"], ["add", "tone.wav"], ["play"]):
        stage.play(["mpc", "--host", stage.folder / "mpd.socket", *words])
    stage.wait(stage.has_played, "mpd has played")


@program("squeezelite", "squeezelite")
def squeezelite(stage):
    server = SlimServer(stage.shop.wav(44100))
    player = stage.start(["squeezelite", "-o", "default", "-s", f"127.0.0.1:{server.port}", "-C", "1"])
    stage.wait(stage.has_played, "squeezelite has played")
    stage.stop(player)


PORTAUDIO = f"""
import wave, pyaudio
file = wave.open({{file!r}}, "rb")
audio = pyaudio.PyAudio()
device = next(i for i in range(audio.get_device_count()) if audio.get_device_info_by_index(i)["name"] == "default")
stream = audio.open(format=pyaudio.paInt16, channels=2, rate=44100, output=True, output_device_index=device,
                    frames_per_buffer=64)
while data := file.readframes(64):
    stream.write(data)
stream.stop_stream()
stream.close()
audio.terminate()
"""
PYALSAAUDIO = """
import wave, alsaaudio
file = wave.open({file!r}, "rb")
pcm = alsaaudio.PCM(device="default")
pcm.setrate(44100), pcm.setchannels(2), pcm.setformat(alsaaudio.PCM_FORMAT_S16_LE), pcm.setperiodsize(160)
while data := file.readframes(160):
    written = pcm.write(data)
    if written != len(data) // 4 and written >= 0:
        raise SystemExit(f"a blocking write took {{written}} of {{len(data) // 4}} frames")
pcm.close()
"""


@program("PyAudio (PortAudio, 64 frames)", "python3-pyaudio", length=0.15)
def pyaudio(stage):
    stage.play([PYTHON, "-c", PORTAUDIO.format(file=str(stage.shop.wav(44100)))])


@program("pyalsaaudio (160 frames)", "python3-alsaaudio", length=0.15)
def pyalsaaudio(stage):
    stage.play([PYTHON, "-c", PYALSAAUDIO.format(file=str(stage.shop.wav(44100)))])


@program("PortAudio, callback, low latency", "portaudio19-dev", "pkg-config", "gcc", length=0.15)
def portaudio(stage):
    stage.play([stage.shop.program("portaudio_tone.c", "portaudio-2.0"), stage.shop.wav(44100)])


@program("SDL2", "libsdl2-dev", "pkg-config", "gcc", length=0.15)
def sdl(stage):
    stage.play([stage.shop.program("sdl_tone.c", "sdl2"), stage.shop.wav(44100)], SDL_AUDIODRIVER="alsa")


@program("OpenAL Soft", "libopenal-dev", "pkg-config", "gcc", length=0.15, judge_level=False, noise=70,
         note="level: its own (a limiter, and stereo sources)")
def openal(stage):
    stage.play([stage.shop.program("openal_tone.c", "openal"), stage.shop.wav(44100)], ALSOFT_DRIVERS="alsa")


SOUNDS = "/usr/share/sounds/sf2/TimGM6mb.sf2"
FLUIDSYNTH = ["fluidsynth", "-q", "-n", "-i", "-R", "0", "-C", "0"]


def song(shop):
    """A held note: organ, A4."""
    path = shop.folder / "song.mid"
    events = bytes([0x00, 0xC0, 19, 0x00, 0x90, 69, 100, 0xA5, 0x40, 0x80, 69, 0, 0x00, 0xFF, 0x2F, 0x00])
    head = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 1, 0xE0])
    path.write_bytes(head + b"MTrk" + len(events).to_bytes(4, "big") + events)
    return path


def fluidsynth_reference(shop):
    """What it renders into a file at its own default rate."""
    path = shop.folder / "song.wav"
    done = subprocess.run([*FLUIDSYNTH, "-r", "44100", "-O", "s16", "-T", "wav", "-F", str(path), SOUNDS,
                           str(song(shop))], capture_output=True, text=True)
    if not path.exists():
        raise Broken(f"fluidsynth: {done.stderr[-300:]}")
    return path


@program("FluidSynth", "fluidsynth", "timgm6mb-soundfont", reference=fluidsynth_reference, shift=100, length=1,
         note="beside what it renders into a file")
def fluidsynth(stage):
    stage.play([*FLUIDSYNTH, "-a", "alsa", SOUNDS, song(stage.shop)])


@program("JACK (jackd, 1024 frames)", "jackd2", "jack-tools", length=0.15, noise=70,
         keys="pcm.two { type ringmix channels_max 2 }")
def jack(stage):
    own = {"JACK_NO_AUDIO_RESERVATION": "1", "JACK_DEFAULT_SERVER": f"ringmix{stage.folder.name}"}
    server = stage.start(["jackd", "--realtime", "-d", "alsa", "-P", "two", "-r", "44100", "-p", "1024", "-n", "3"],
                         **own)
    stage.wait(stage.playing, "jackd plays")
    stage.play(["jack-play", stage.shop.wav(44100)], **own, JACK_PLAY_CONNECT_TO="system:playback_%d")
    stage.stop(server)


def bus(stage):
    """A D-Bus of its own; its address."""
    address = f"unix:path={stage.folder}/bus"
    stage.start(["dbus-daemon", "--session", "--nofork", "--address=" + address])
    stage.wait((stage.folder / "bus").exists, "D-Bus listens")
    return {"DBUS_SESSION_BUS_ADDRESS": address}


@program("PulseAudio", "pulseaudio-utils", "dbus-daemon", "libasound2-plugins", length=0.15, noise=70,
         note="converts itself to the rate of its sink")
def pulseaudio(stage):
    address = bus(stage)
    there = stage.shop.unpacked("pulseaudio")
    modules = next(there.glob("usr/lib/**/modules"))
    server = stage.start([there / "usr/bin/pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1",
                          f"--dl-search-path={modules}", "--load=module-native-protocol-unix",
                          "--load=module-alsa-sink device=default rate=44100"],
                         LD_LIBRARY_PATH=":".join(map(str, [modules, *there.glob("usr/lib/*/pulseaudio")])), **address)
    stage.wait((stage.folder / "pulse" / "native").exists, "PulseAudio listens")
    stage.play(["paplay", stage.shop.wav(44100)], **address)
    stage.stop(server)


PIPEWIRE_SINK = """context.objects = [
    { factory = adapter
        args = { factory.name = api.alsa.pcm.sink  node.name = sink  media.class = Audio/Sink  api.alsa.path = default
                 audio.rate = 48000  audio.channels = 2  audio.position = [ FL FR ] } }
"""


@program("PipeWire (pw-play)", "pipewire", "pipewire-bin", "wireplumber", "dbus-daemon", length=0.3, noise=70,
         note="converts itself to the rate of its sink")
def pipewire(stage):
    settings = stage.folder / "pipewire"
    shutil.copytree("/usr/share/pipewire", settings)
    text = (settings / "pipewire.conf").read_text()
    (settings / "pipewire.conf").write_text(text.replace("context.objects = [", PIPEWIRE_SINK, 1))
    own = bus(stage) | {"PIPEWIRE_CONFIG_DIR": str(settings), "PIPEWIRE_RUNTIME_DIR": str(stage.folder),
                        "XDG_STATE_HOME": str(stage.folder)}
    server = stage.start(["pipewire"], **own)
    stage.wait((stage.folder / "pipewire-0").exists, "PipeWire listens")
    stage.start(["wireplumber"], **own)

    def there():
        told = subprocess.run(["pw-cli", "ls", "Port"], env=stage.env | own, capture_output=True, text=True)
        return "playback_FR" in told.stdout
    stage.wait(there, "PipeWire has its sink")
    stage.play(["pw-play", stage.shop.wav(44100)], **own)
    stage.stop(server)
