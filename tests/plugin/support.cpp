// SPDX-License-Identifier: LGPL-2.1-or-later
//
// support.cpp: PCMs and signals.

#include "support.h"

#include "ringmix/abi.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

namespace ringmix::test {

namespace {
void say_nothing(const char*, int, const char*, int, const char*, ...) {}
} // namespace

std::uint32_t Signal::bits(std::uint64_t frame, unsigned channel) const
{
    std::uint64_t x = (frame * 64 + channel) * 0x9e3779b97f4a7c15 + seed_ * 0xbf58476d1ce4e5b9ull; // splitmix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return static_cast<std::uint32_t>(x >> 32) | 1u << 8; // no format gets 0: silence is never mistaken
}

void Signal::put(std::byte* to, std::uint64_t frame, unsigned channel) const
{
    std::uint32_t word = bits(frame, channel);
    if (format_ == SND_PCM_FORMAT_U8)
        word = word >> 24 == 0x80 ? 0x81 : word >> 24;
    else if (format_ == SND_PCM_FORMAT_S16_LE)
        word = word >> 16 == 0 ? 1 : word >> 16;
    else if (format_ == SND_PCM_FORMAT_FLOAT_LE) {
        const float value = static_cast<float>(static_cast<std::int32_t>(word)) * 0x1p-31f;
        std::memcpy(&word, &value, sizeof word);
    }
    std::memcpy(to, &word, sample_bytes()); // S24: with a random top byte; little endian machines only
}

std::int32_t Signal::expected(std::uint64_t frame, unsigned channel) const
{
    std::uint32_t word = 0;
    put(reinterpret_cast<std::byte*>(&word), frame, channel);
    switch (format_) {
    case SND_PCM_FORMAT_U8:
        return static_cast<std::int32_t>((word ^ 0x80) << 24);
    case SND_PCM_FORMAT_S16_LE:
        return static_cast<std::int32_t>(word << 16);
    case SND_PCM_FORMAT_S24_LE:
    case SND_PCM_FORMAT_S24_3LE:
        return static_cast<std::int32_t>(word << 8);
    case SND_PCM_FORMAT_FLOAT_LE: {
        float value;
        std::memcpy(&value, &word, sizeof value);
        const double scaled = std::floor(static_cast<double>(value) * 0x1p31 + 0.5);
        return static_cast<std::int32_t>(std::clamp(scaled, -0x1p31, 0x1p31 - 1));
    }
    default:
        return static_cast<std::int32_t>(word);
    }
}

std::uint32_t Signal::ringmix_format() const
{
    switch (format_) {
    case SND_PCM_FORMAT_U8:
        return abi::format_u8;
    case SND_PCM_FORMAT_S16_LE:
        return abi::format_s16;
    case SND_PCM_FORMAT_S24_LE:
        return abi::format_s24;
    case SND_PCM_FORMAT_S24_3LE:
        return abi::format_s24_3;
    case SND_PCM_FORMAT_FLOAT_LE:
        return abi::format_float;
    default:
        return abi::format_s32;
    }
}

std::vector<std::byte> Signal::frames(std::uint64_t from, std::uint64_t count) const
{
    std::vector<std::byte> bytes(count * channels_ * sample_bytes());
    for (std::uint64_t i = 0; i < count; i++)
        for (unsigned c = 0; c < channels_; c++)
            put(bytes.data() + (i * channels_ + c) * sample_bytes(), from + i, c);
    return bytes;
}

std::string node(const Server& server, const std::string& keys)
{
    const bool says = keys.find("autostart") != std::string::npos;
    return "type ringmix socket \"" + server.socket() + "\" " + (says ? "" : "autostart no ") + keys;
}

std::string definition(const std::string& node)
{
    const char* plugin = std::getenv("RINGMIX_PLUGIN");
    REQUIRE_MESSAGE(plugin != nullptr, "RINGMIX_PLUGIN must name the plugin to test");
    return "pcm_type.ringmix.lib \"" + std::string(plugin) + "\" pcm.node { " + node + " }";
}

int Pcm::try_open(snd_pcm_t** pcm, const std::string& node, int mode, snd_pcm_stream_t direction)
{
    snd_config_t* config = nullptr;
    REQUIRE(snd_config_load_string(&config, definition(node).c_str(), 0) == 0);
    const int error = snd_pcm_open_lconf(pcm, "node", direction, mode, config);
    snd_config_delete(config);
    return error;
}

Pcm::Pcm(const Server& server, const std::string& name, const std::string& keys, int mode)
{
    REQUIRE(try_open(&pcm_, node(server, "client_name \"" + name + "\" " + keys), mode) == 0);
}

void Pcm::close()
{
    if (pcm_ != nullptr)
        CHECK(snd_pcm_close(pcm_) == 0);
    pcm_ = nullptr;
}

void Pcm::configure(const Setup& setup)
{
    setup_ = setup;
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    REQUIRE(snd_pcm_hw_params_any(pcm_, hw) >= 0);
    REQUIRE(snd_pcm_hw_params_set_access(pcm_, hw, setup.access) == 0);
    REQUIRE(snd_pcm_hw_params_set_format(pcm_, hw, setup.format) == 0);
    REQUIRE(snd_pcm_hw_params_set_channels(pcm_, hw, setup.channels) == 0);
    REQUIRE(snd_pcm_hw_params_set_rate(pcm_, hw, client_rate(), 0) == 0);
    REQUIRE(snd_pcm_hw_params_set_period_size(pcm_, hw, setup.period, 0) == 0);
    REQUIRE(snd_pcm_hw_params_set_buffer_size(pcm_, hw, setup.buffer) == 0);
    REQUIRE(snd_pcm_hw_params(pcm_, hw) == 0);
    CHECK(state() == SND_PCM_STATE_PREPARED);
    set_thresholds();
}

void Pcm::set_thresholds()
{
    snd_pcm_sw_params_t* sw;
    snd_pcm_sw_params_alloca(&sw);
    snd_pcm_uframes_t boundary = 0;
    REQUIRE(snd_pcm_sw_params_current(pcm_, sw) == 0);
    REQUIRE(snd_pcm_sw_params_get_boundary(sw, &boundary) == 0);
    REQUIRE(snd_pcm_sw_params_set_start_threshold(
                pcm_, sw, setup_.start_threshold != 0 ? setup_.start_threshold : setup_.buffer) == 0);
    REQUIRE(snd_pcm_sw_params_set_avail_min(pcm_, sw, setup_.avail_min != 0 ? setup_.avail_min : setup_.period) == 0);
    REQUIRE(snd_pcm_sw_params_set_stop_threshold(pcm_, sw, setup_.stops ? setup_.buffer : boundary) == 0);
    REQUIRE(snd_pcm_sw_params(pcm_, sw) == 0);
}

void Pcm::write(const Signal& signal, std::uint64_t from, std::uint64_t frames)
{
    const std::vector<std::byte> bytes = signal.frames(from, frames);
    REQUIRE(snd_pcm_writei(pcm_, bytes.data(), frames) == static_cast<snd_pcm_sframes_t>(frames));
}

snd_pcm_sframes_t Pcm::delay() const
{
    snd_pcm_sframes_t delay = 0;
    REQUIRE(snd_pcm_delay(pcm_, &delay) == 0);
    return delay;
}

snd_pcm_sframes_t Pcm::avail() const
{
    const snd_pcm_sframes_t avail = snd_pcm_avail(pcm_);
    REQUIRE(avail >= 0);
    return avail;
}

void Pcm::wait_played(snd_pcm_sframes_t frames) const
{
    const snd_pcm_sframes_t target = delay() - frames;
    REQUIRE(eventually([&] { return delay() <= target; }));
}

std::vector<pollfd> Pcm::descriptors() const
{
    std::vector<pollfd> descriptors(static_cast<std::size_t>(snd_pcm_poll_descriptors_count(pcm_)));
    const auto count = static_cast<unsigned>(descriptors.size());
    REQUIRE(snd_pcm_poll_descriptors(pcm_, descriptors.data(), count) == static_cast<int>(count));
    return descriptors;
}

unsigned short revents(snd_pcm_t* pcm, std::vector<pollfd>& descriptors)
{
    unsigned short events = 0;
    REQUIRE(snd_pcm_poll_descriptors_revents(pcm, descriptors.data(), static_cast<unsigned>(descriptors.size()),
                                             &events) == 0);
    return events;
}

Quiet::Quiet() { snd_lib_error_set_handler(say_nothing); }

Quiet::~Quiet() { snd_lib_error_set_handler(nullptr); }

int exit_status(pid_t pid)
{
    int status = 0;
    const bool ended = eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; });
    return !ended ? -2 : WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

} // namespace ringmix::test
