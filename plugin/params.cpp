// SPDX-License-Identifier: LGPL-2.1-or-later
//
// params.cpp: what a PCM offers for hw_params, and what it makes of the choice.

#include "core/format.h"
#include "plugin/pcm.h"

#include <algorithm>
#include <cerrno>

namespace ringmix::plugin {

namespace {

// The largest buffer: two seconds of S16 stereo at the device's rate, one of FLOAT stereo. Converted, the lane for it
// has 4 bytes a sample and is longer by the ratio of the rates: 840 KB for the largest buffer of 44.1 kHz S16 stereo
// on a device with 48 kHz.
constexpr unsigned max_bytes_per_rate = 8;
// The smallest period: 32 frames of S16 stereo.
constexpr unsigned min_period_bytes = 128;

struct Format {
    snd_pcm_format_t alsa;
    std::uint32_t ringmix;
};
constexpr Format formats[] = {{SND_PCM_FORMAT_S16_LE, abi::format_s16},     {SND_PCM_FORMAT_S24_LE, abi::format_s24},
                              {SND_PCM_FORMAT_S24_3LE, abi::format_s24_3},  {SND_PCM_FORMAT_S32_LE, abi::format_s32},
                              {SND_PCM_FORMAT_FLOAT_LE, abi::format_float}, {SND_PCM_FORMAT_U8, abi::format_u8}};

std::uint32_t format_of(snd_pcm_format_t alsa) noexcept
{
    for (const Format& format : formats)
        if (format.alsa == alsa)
            return format.ringmix;
    return 0;
}

} // namespace

// Programs that want no conversion (`mode`) are told what the device has.
int Pcm::set_constraints(int mode)
{
    const abi::Geometry& geometry = attachment_->geometry();
    static constexpr unsigned accesses[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_RW_NONINTERLEAVED,
                                            SND_PCM_ACCESS_MMAP_INTERLEAVED, SND_PCM_ACCESS_MMAP_NONINTERLEAVED};
    unsigned offered[std::size(formats)], offers = 0;
    for (const Format& format : formats)
        if ((mode & SND_PCM_NO_AUTO_FORMAT) == 0 || format.ringmix == geometry.format)
            offered[offers++] = static_cast<unsigned>(format.alsa);
    const auto mapped = static_cast<unsigned>(settings_.map.size());
    const unsigned least_channels = (mode & SND_PCM_NO_AUTO_CHANNELS) != 0 ? geometry.channels : 1;
    const unsigned most_channels = (mode & SND_PCM_NO_AUTO_CHANNELS) != 0 ? geometry.channels : this->most_channels();
    if (const int mistake = check_map(); mistake < 0)
        return mistake;
    // libasound limits buffers in bytes only, and programs that ask for nothing get the largest.
    const unsigned max_bytes = geometry.rate * max_bytes_per_rate;

    int error = snd_pcm_ioplug_set_param_list(&io_, SND_PCM_IOPLUG_HW_ACCESS, std::size(accesses), accesses);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_list(&io_, SND_PCM_IOPLUG_HW_FORMAT, offers, offered);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_CHANNELS, mapped != 0 ? mapped : least_channels,
                                                mapped != 0 ? mapped : most_channels);
    if (error >= 0)
        error = offer_rates(io_, (mode & SND_PCM_NO_AUTO_RESAMPLE) != 0 ? std::vector<RateRange>{} : settings_.rates,
                            geometry.rate);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_PERIOD_BYTES, min_period_bytes, max_bytes / 2);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 2 * min_period_bytes, max_bytes);
    // Says also that a buffer is a whole number of periods, as it is with hardware: programs ask how many.
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_PERIODS, 2, max_bytes / min_period_bytes);
    return error;
}

// That a program may have.
unsigned Pcm::most_channels() const noexcept
{
    const unsigned device = attachment_->geometry().channels;
    return settings_.downmix == core::Downmixing::off ? device : std::max(device, settings_.channels_max);
}

int Pcm::check_map() const
{
    const unsigned channels = attachment_->geometry().channels;
    core::ChannelMap map;
    if (core::explicit_map(settings_.map, channels, map))
        return 0;
    SNDERR("ringmix: map names a device channel twice or one that the device does not have (it has %u)", channels);
    return -EINVAL;
}

// Which channels of the device the program's are heard on; false: not all of them can be. The map is a good one:
// set_constraints() has seen to that.
bool Pcm::choose_routing(const std::vector<std::uint8_t>& positions, core::Routing& routing) const
{
    const abi::Geometry& geometry = attachment_->geometry();
    if (!settings_.map.empty())
        return core::explicit_map(settings_.map, geometry.channels, routing.map);
    return core::route(positions, std::span(geometry.chmap, geometry.channels), settings_.downmix, routing);
}

// hw_params: gets a lane for the chosen format, buffer and channels.
int Pcm::configure()
{
    core::Routing routing;
    if (!choose_routing(positions(), routing))
        return -EINVAL;
    track_->configure(format_of(io_.format), io_.channels, io_.rate, io_.buffer_size, routing.map, routing.downmix);
    return 0;
}

} // namespace ringmix::plugin
