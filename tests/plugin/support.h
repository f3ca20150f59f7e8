// SPDX-License-Identifier: LGPL-2.1-or-later
//
// support.h: a private ringmixd on the virtual device, real libasound PCMs on it, signals whose every
// sample is known, and the recording of what the device played.

#pragma once

#include <alsa/asoundlib.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <poll.h>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

namespace ringmix::test {

inline constexpr int patience_ms = 10000; // for what must happen: reached only by a failure
inline constexpr unsigned device_rate = 48000;
// What the PCMs are configured to: RINGMIX_TEST_RATE, or the device's. At another rate Recording judges by what the
// signal is converted to, and all counts are in frames of the program.
unsigned client_rate();
inline bool converting() { return client_rate() != device_rate; }
// For test cases that judge single frames.
inline doctest::skip at_device_rate() { return doctest::skip(converting()); }

std::int64_t now_ms();

// Waits until `condition` holds; false if it never does.
template <class Condition> bool eventually(Condition&& condition)
{
    for (const std::int64_t end = now_ms() + patience_ms; now_ms() < end;) {
        if (condition())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
}

// A signal that never repeats within a test; full scale, all bits of the format in use.
class Signal {
public:
    Signal(snd_pcm_format_t format, unsigned channels, std::uint32_t seed = 1)
        : format_(format), channels_(channels), seed_(seed)
    {
    }
    unsigned channels() const { return channels_; }
    std::uint32_t ringmix_format() const; // abi::format_*
    std::size_t sample_bytes() const { return static_cast<std::size_t>(snd_pcm_format_physical_width(format_)) / 8; }
    // Frames from ... from + frames - 1, interleaved.
    std::vector<std::byte> frames(std::uint64_t from, std::uint64_t frames) const;
    void put(std::byte* to, std::uint64_t frame, unsigned channel) const;
    // What a device of 32 bits plays for it, without any gain.
    std::int32_t expected(std::uint64_t frame, unsigned channel) const;

private:
    std::uint32_t bits(std::uint64_t frame, unsigned channel) const;
    snd_pcm_format_t format_;
    unsigned channels_;
    std::uint32_t seed_;
};

// What the device has played (S32), and which streams it has seen.
struct Recording {
    struct Stream {
        std::string name;
        std::uint64_t first = 0;
        std::int64_t last = -1; // the last frame that is not fading; -1: still plays
        std::uint64_t fade = 0; // frames behind it that fade out

        std::uint64_t frames() const { return static_cast<std::uint64_t>(last + 1) - first; } // of the device
        // Of the program: converted, a few less, of which nothing is still to be heard.
        std::uint64_t played() const;
    };
    unsigned channels = 0;
    std::vector<std::int32_t> samples;
    std::vector<Stream> streams;

    std::uint64_t frames() const { return samples.size() / channels; }
    // The one stream of client `name`.
    Stream only(const std::string& name) const;
    // Places are device frames; behind the beginning of a stream, further on by frames of the program.
    // The first of `count` frames from device frame `at` on that is not `signal` from its frame `from` on;
    // -1 if all are. Stereo to stereo. Converted: those
    // that have nothing else in them.
    std::int64_t differs(std::uint64_t at, const Signal& signal, std::uint64_t from, std::uint64_t count) const;
    bool fading(std::uint64_t frame) const;
    // The first frame in at ... end - 1 that is not silent; -1 if all are.
    std::int64_t sounds(std::uint64_t at, std::uint64_t end) const;

private:
    const Stream* stream_at(std::uint64_t at) const; // the last that has begun
    bool is_edge(std::uint64_t at) const;
};

// What a device with 32 bits plays for the frames from `from` on of a signal, at `position` of a stream that is silent
// otherwise: from the stream's beginning until they have rung out; interleaved.
std::vector<std::int32_t> heard(const Signal& signal, std::uint64_t from, std::uint64_t count,
                                std::uint64_t position = 0);
// How many frames that are.
std::uint64_t heard_frames(std::uint64_t count);

// A ringmixd of its own: S32_LE, 48000 Hz, its output recorded.
class Server {
public:
    explicit Server(std::vector<std::string> options = {"--channels", "2"});
    Server(const Server&) = delete;
    ~Server();

    const std::string& socket() const { return socket_; }
    pid_t pid() const { return pid_; }
    // Waits until `streams` streams have been seen, and all have ended and been written out; then
    // ends the server and reads what it has recorded.
    Recording recording(std::size_t streams = 1);
    // As far as it is written out now, the server goes on.
    Recording recorded_so_far() const;
    // Clients that the server knows now.
    unsigned clients() const;
    void signal(int number) const;
    void kill();

private:
    bool all_written(std::size_t streams) const;
    std::vector<Recording::Stream> events() const;
    int reap();

    std::string directory_, socket_, output_;
    pid_t pid_ = -1;
};

struct Setup {
    snd_pcm_access_t access = SND_PCM_ACCESS_RW_INTERLEAVED;
    snd_pcm_format_t format = SND_PCM_FORMAT_S16_LE;
    unsigned channels = 2;
    snd_pcm_uframes_t period = 480;
    snd_pcm_uframes_t buffer = 4800;
    snd_pcm_uframes_t start_threshold = 0; // 0: the buffer
    snd_pcm_uframes_t avail_min = 0;       // 0: the period
    bool stops = true;                     // false: goes on over underruns
};
inline constexpr snd_pcm_uframes_t by_hand = 1u << 30; // a start threshold that is never reached

// An open PCM. All checks are doctest REQUIREs.
class Pcm {
public:
    explicit Pcm(const Server& server, const std::string& name = "test", const std::string& keys = "", int mode = 0);
    Pcm(const Server& server, const Setup& setup) : Pcm(server) { configure(setup); }
    Pcm(const Pcm&) = delete;
    ~Pcm() { close(); }
    operator snd_pcm_t*() const { return pcm_; }
    const Setup& setup() const { return setup_; }
    snd_pcm_state_t state() const { return snd_pcm_state(pcm_); }

    void configure(const Setup& setup);
    void set_thresholds();
    void close();
    // Blocking, in RW_INTERLEAVED: all of it must be taken.
    void write(const Signal& signal, std::uint64_t from, std::uint64_t frames);
    snd_pcm_sframes_t delay() const;
    snd_pcm_sframes_t avail() const;
    // Until the audible position is `frames` frames further on, by the PCM's own delay.
    void wait_played(snd_pcm_sframes_t frames) const;
    std::vector<pollfd> descriptors() const;

    static int try_open(snd_pcm_t** pcm, const std::string& node, int mode = 0,
                        snd_pcm_stream_t direction = SND_PCM_STREAM_PLAYBACK);

private:
    snd_pcm_t* pcm_ = nullptr;
    Setup setup_;
};

// A node's definition with these keys on this server.
std::string node(const Server& server, const std::string& keys);
// A configuration with the plugin to test and this `pcm.node`.
std::string definition(const std::string& node);
// libasound and the plugin explain refusals on stderr: not wanted where they are expected.
class Quiet {
public:
    Quiet();
    ~Quiet();
};

unsigned short revents(snd_pcm_t* pcm, std::vector<pollfd>& descriptors);
// Runs `body` in a forked child and returns the child; its exit status is the int that `body` returns.
template <class Body> pid_t forked(Body&& body)
{
    const pid_t pid = ::fork();
    if (pid == 0)
        ::_exit(body());
    return pid;
}
int exit_status(pid_t pid);

} // namespace ringmix::test
