// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/device_kernel_params.h"

#include "core/channel_map.h"
#include "core/format.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <memory>
#include <stdexcept>
#include <vector>

namespace ringmix::server {

namespace {

struct HwDelete {
    void operator()(snd_pcm_hw_params_t* params) const noexcept { snd_pcm_hw_params_free(params); }
};
using HwParams = std::unique_ptr<snd_pcm_hw_params_t, HwDelete>;
using SwParams = std::unique_ptr<snd_pcm_sw_params_t, decltype(&snd_pcm_sw_params_free)>;

HwParams make_hw_params()
{
    snd_pcm_hw_params_t* params = nullptr;
    if (snd_pcm_hw_params_malloc(&params) < 0)
        throw std::bad_alloc();
    return HwParams(params);
}

HwParams copy_of(const HwParams& params)
{
    HwParams copy = make_hw_params();
    snd_pcm_hw_params_copy(copy.get(), params.get());
    return copy;
}

snd_pcm_format_t to_alsa(std::uint32_t format) noexcept
{
    switch (format) {
    case abi::format_s16:
        return SND_PCM_FORMAT_S16_LE;
    case abi::format_s24:
        return SND_PCM_FORMAT_S24_LE;
    case abi::format_s24_3:
        return SND_PCM_FORMAT_S24_3LE;
    case abi::format_float:
        return SND_PCM_FORMAT_FLOAT_LE;
    default:
        return SND_PCM_FORMAT_S32_LE;
    }
}

// In order: the wish, the same width, wider ones from near to far, narrower ones likewise; without a
// wish what sounds best. FLOAT comes last where it is not wished for: a card that has integers too most
// likely turns it into those.
std::vector<std::uint32_t> format_order(std::uint32_t wish)
{
    using namespace abi;
    switch (wish) {
    case format_u8:
    case format_s16:
        return {format_s16, format_s24_3, format_s24, format_s32, format_float};
    case format_s24:
        return {format_s24, format_s24_3, format_s32, format_s16, format_float};
    case format_s24_3:
        return {format_s24_3, format_s24, format_s32, format_s16, format_float};
    case format_float:
        return {format_float, format_s32, format_s24_3, format_s24, format_s16};
    default:
        return {format_s32, format_s24_3, format_s24, format_s16, format_float};
    }
}

// One negotiation: what it is about, and how it speaks.
struct Negotiation {
    snd_pcm_t* pcm;
    const DeviceWishes& wishes;
    Say say;

    [[noreturn]] void refuse(const std::string& why) const
    {
        throw std::runtime_error(fmt::format("device {} cannot be used: {}", wishes.device, why));
    }
    void check(int result, const char* what) const
    {
        if (result < 0)
            refuse(fmt::format("{}: {}", what, snd_strerror(result)));
    }
    void tell(std::uint64_t wish, std::uint64_t got, const char* what) const
    {
        if (wish != 0 && wish != got && say != nullptr)
            say(fmt::format("{}: {} {} is not possible: using {}", wishes.device, what, wish, got));
    }

    std::uint32_t choose_format(const HwParams& params) const;
    std::uint32_t choose_channels(const HwParams& params) const;
    std::uint32_t choose_rate(const HwParams& params) const;
    bool period_then_ring(const HwParams& params, std::uint32_t rate) const;
    bool ring_then_period(const HwParams& params, std::uint32_t rate) const;
    void choose_sizes(HwParams& params, DeviceShape& shape) const;
    void choose_chmap(DeviceShape& shape) const;
};

std::uint32_t Negotiation::choose_format(const HwParams& params) const
{
    for (const std::uint32_t format : format_order(wishes.format)) {
        if (snd_pcm_hw_params_test_format(pcm, params.get(), to_alsa(format)) < 0)
            continue;
        check(snd_pcm_hw_params_set_format(pcm, params.get(), to_alsa(format)), "sample format");
        if (wishes.format != 0 && wishes.format != format && say != nullptr)
            say(fmt::format("{}: format {} is not possible: using {}", wishes.device, core::format_name(wishes.format),
                            core::format_name(format)));
        return format;
    }
    refuse("it has none of the sample formats S16_LE, S24_LE, S24_3LE, S32_LE, FLOAT_LE");
}

std::uint32_t Negotiation::choose_channels(const HwParams& params) const
{
    unsigned most = abi::max_channels;
    check(snd_pcm_hw_params_set_channels_max(pcm, params.get(), &most), "32 channels or less");
    unsigned channels = wishes.channels != 0 ? wishes.channels : 2;
    check(snd_pcm_hw_params_set_channels_near(pcm, params.get(), &channels), "channels");
    tell(wishes.channels, channels, "channels");
    return channels;
}

std::uint32_t Negotiation::choose_rate(const HwParams& params) const
{
    unsigned rate = wishes.rate != 0 ? wishes.rate : 48000;
    check(snd_pcm_hw_params_set_rate_near(pcm, params.get(), &rate, nullptr), "rate");
    tell(wishes.rate, rate, "rate");
    return rate;
}

snd_pcm_uframes_t least_ring(std::uint32_t rate) noexcept { return (rate + 24) / 25; } // 40 ms

// The ring that is wished for, or 8192 frames at 48 kHz (170 ms) and likewise at other rates.
snd_pcm_uframes_t wanted_ring(const DeviceWishes& wishes, std::uint32_t rate, snd_pcm_uframes_t period) noexcept
{
    if (wishes.buffer_frames != 0)
        return wishes.buffer_frames;
    const auto usual = static_cast<snd_pcm_uframes_t>(std::uint64_t{rate} * 8192 / 48000);
    return (usual + period / 2) / period * period;
}

bool Negotiation::period_then_ring(const HwParams& params, std::uint32_t rate) const
{
    snd_pcm_uframes_t period = wishes.period_frames != 0 ? wishes.period_frames : 1024;
    int side = 0;
    if (snd_pcm_hw_params_set_period_size_near(pcm, params.get(), &period, &side) < 0)
        return false;
    snd_pcm_uframes_t least = std::max(4 * period, least_ring(rate)), most = abi::max_ring;
    if (snd_pcm_hw_params_set_buffer_size_min(pcm, params.get(), &least) < 0 ||
        snd_pcm_hw_params_set_buffer_size_max(pcm, params.get(), &most) < 0)
        return false;
    snd_pcm_uframes_t ring = std::max(wanted_ring(wishes, rate, period), least);
    return snd_pcm_hw_params_set_buffer_size_near(pcm, params.get(), &ring) >= 0;
}

// For devices whose ring is too small for four of the periods that were wished for.
bool Negotiation::ring_then_period(const HwParams& params, std::uint32_t rate) const
{
    unsigned periods = 4;
    int side = 0;
    snd_pcm_uframes_t least = least_ring(rate), most = abi::max_ring;
    if (snd_pcm_hw_params_set_periods_min(pcm, params.get(), &periods, &side) < 0 ||
        snd_pcm_hw_params_set_buffer_size_min(pcm, params.get(), &least) < 0 ||
        snd_pcm_hw_params_set_buffer_size_max(pcm, params.get(), &most) < 0)
        return false;
    snd_pcm_uframes_t period = wishes.period_frames != 0 ? wishes.period_frames : 1024;
    snd_pcm_uframes_t ring = std::max(wanted_ring(wishes, rate, period), least);
    return snd_pcm_hw_params_set_period_size_near(pcm, params.get(), &period, &side) >= 0 &&
           snd_pcm_hw_params_set_buffer_size_near(pcm, params.get(), &ring) >= 0;
}

void Negotiation::choose_sizes(HwParams& params, DeviceShape& shape) const
{
    HwParams trial = copy_of(params);
    if (!period_then_ring(trial, shape.rate)) {
        trial = copy_of(params);
        if (!ring_then_period(trial, shape.rate)) {
            snd_pcm_uframes_t most = 0;
            snd_pcm_hw_params_get_buffer_size_max(params.get(), &most);
            refuse(fmt::format("its ring is too small to be shared: it can have {} frames at most; needed are four "
                               "periods and 40 ms ({} frames)",
                               most, least_ring(shape.rate)));
        }
    }
    params = std::move(trial);
}

void Negotiation::choose_chmap(DeviceShape& shape) const
{
    for (std::uint32_t c = 0; c < shape.channels; c++)
        shape.chmap[c] = core::standard_position(c, shape.channels);
    const std::unique_ptr<snd_pcm_chmap_t, decltype(&std::free)> map(snd_pcm_get_chmap(pcm), &std::free);
    if (!map || map->channels != shape.channels)
        return;
    bool known = false;
    for (std::uint32_t c = 0; c < shape.channels; c++)
        known = known || (map->pos[c] & SND_CHMAP_POSITION_MASK) > SND_CHMAP_NA;
    if (!known)
        return;
    for (std::uint32_t c = 0; c < shape.channels; c++) {
        const unsigned position = map->pos[c] & SND_CHMAP_POSITION_MASK;
        const bool driver_specific = (map->pos[c] & SND_CHMAP_DRIVER_SPEC) != 0;
        shape.chmap[c] = driver_specific || position > SND_CHMAP_LAST ? std::uint8_t{SND_CHMAP_UNKNOWN}
                                                                      : static_cast<std::uint8_t>(position);
    }
}

} // namespace

DeviceShape settle_hw_params(snd_pcm_t* pcm, const DeviceWishes& wishes, Say say)
{
    const Negotiation negotiation{pcm, wishes, say};
    HwParams params = make_hw_params();
    negotiation.check(snd_pcm_hw_params_any(pcm, params.get()), "no configuration at all");
    if (snd_pcm_hw_params_set_access(pcm, params.get(), SND_PCM_ACCESS_MMAP_INTERLEAVED) < 0)
        negotiation.refuse("its ring cannot be mapped with interleaved channels (no mmap)");

    DeviceShape shape{};
    shape.kind = abi::device_kernel;
    // What was asked for comes before what is merely usual.
    if (wishes.format != 0)
        shape.format = negotiation.choose_format(params);
    shape.channels = negotiation.choose_channels(params);
    shape.rate = negotiation.choose_rate(params);
    if (wishes.format == 0)
        shape.format = negotiation.choose_format(params);
    negotiation.choose_sizes(params, shape);
    negotiation.check(snd_pcm_hw_params(pcm, params.get()), "setting it up");

    snd_pcm_uframes_t period = 0, ring = 0;
    int side = 0;
    snd_pcm_hw_params_get_period_size(params.get(), &period, &side);
    snd_pcm_hw_params_get_buffer_size(params.get(), &ring);
    shape.period_frames = static_cast<std::uint32_t>(period);
    shape.ring_frames = static_cast<std::uint32_t>(ring);
    negotiation.tell(wishes.period_frames, period, "period");
    negotiation.tell(wishes.buffer_frames, ring, "buffer");
    const int fifo = snd_pcm_hw_params_get_fifo_size(params.get());
    shape.latency_frames = fifo > 0 ? std::min(static_cast<std::uint32_t>(fifo), shape.ring_frames) : 0;
    shape.fetch_frames = snd_pcm_hw_params_is_batch(params.get()) != 0 ? shape.period_frames : 0;
    negotiation.choose_chmap(shape);
    return shape;
}

void settle_sw_params(snd_pcm_t* pcm, const DeviceWishes& wishes)
{
    const Negotiation negotiation{pcm, wishes, nullptr};
    snd_pcm_sw_params_t* raw = nullptr;
    if (snd_pcm_sw_params_malloc(&raw) < 0)
        throw std::bad_alloc();
    const SwParams owner(raw, snd_pcm_sw_params_free);
    negotiation.check(snd_pcm_sw_params_current(pcm, raw), "asking for its settings");
    snd_pcm_uframes_t boundary = 0;
    negotiation.check(snd_pcm_sw_params_get_boundary(raw, &boundary), "its boundary");
    negotiation.check(snd_pcm_sw_params_set_start_threshold(pcm, raw, boundary), "start threshold");
    negotiation.check(snd_pcm_sw_params_set_stop_threshold(pcm, raw, boundary), "stop threshold");
    negotiation.check(snd_pcm_sw_params_set_silence_threshold(pcm, raw, 0), "silence threshold");
    negotiation.check(snd_pcm_sw_params_set_silence_size(pcm, raw, boundary), "silence size");
    negotiation.check(snd_pcm_sw_params_set_avail_min(pcm, raw, boundary), "avail_min");
    negotiation.check(snd_pcm_sw_params_set_tstamp_mode(pcm, raw, SND_PCM_TSTAMP_ENABLE), "time stamps");
    negotiation.check(snd_pcm_sw_params_set_tstamp_type(pcm, raw, SND_PCM_TSTAMP_TYPE_MONOTONIC), "monotonic time");
    negotiation.check(snd_pcm_sw_params(pcm, raw), "setting it to run for ever");
}

} // namespace ringmix::server
