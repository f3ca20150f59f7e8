// SPDX-License-Identifier: LGPL-2.1-or-later

#include "plugin/pcm.h"

#include "core/format.h"

#include <cerrno>
#include <cstdlib>
#include <poll.h>

namespace ringmix::plugin
{

namespace
{

// Longest time without a look at the device, so that a lost one is noticed.
constexpr std::int64_t max_wait_ns = 500'000'000;
// Reasons for which the timer can be armed, beside positions (which are far smaller).
constexpr std::uint64_t at_once = ~std::uint64_t{0};
constexpr std::uint64_t just_look = at_once - 1;

std::uint32_t format_of(snd_pcm_format_t format) noexcept
{
    switch (format) {
    case SND_PCM_FORMAT_U8:
        return abi::format_u8;
    case SND_PCM_FORMAT_S16_LE:
        return abi::format_s16;
    case SND_PCM_FORMAT_S24_LE:
        return abi::format_s24;
    case SND_PCM_FORMAT_S24_3LE:
        return abi::format_s24_3;
    case SND_PCM_FORMAT_S32_LE:
        return abi::format_s32;
    case SND_PCM_FORMAT_FLOAT_LE:
        return abi::format_float;
    default:
        return 0;
    }
}

} // namespace

Pcm::Pcm(const Settings& settings) : settings_(settings), attachment_(settings.address), stream_(attachment_) {}

int Pcm::set_constraints() noexcept
{
    const abi::Geometry& geometry = attachment_.geometry();
    static constexpr unsigned accesses[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_RW_NONINTERLEAVED,
                                            SND_PCM_ACCESS_MMAP_INTERLEAVED, SND_PCM_ACCESS_MMAP_NONINTERLEAVED};
    static constexpr unsigned formats[] = {SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_S24_LE,   SND_PCM_FORMAT_S24_3LE,
                                           SND_PCM_FORMAT_S32_LE, SND_PCM_FORMAT_FLOAT_LE, SND_PCM_FORMAT_U8};
    const auto mapped = static_cast<unsigned>(settings_.map.size());
    // libasound limits buffers in bytes only. Two seconds of stereo in the widest format: that is
    // half a second of eight channels, and several seconds of narrower ones.
    const unsigned max_bytes = 2 * geometry.rate * 4 * std::min(geometry.channels, 2u);

    int error = snd_pcm_ioplug_set_param_list(&io_, SND_PCM_IOPLUG_HW_ACCESS, std::size(accesses), accesses);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_list(&io_, SND_PCM_IOPLUG_HW_FORMAT, std::size(formats), formats);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_CHANNELS, mapped != 0 ? mapped : 1,
                                                mapped != 0 ? mapped : geometry.channels);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_RATE, geometry.rate, geometry.rate);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32, max_bytes / 2);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(&io_, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 64, max_bytes);
    return error;
}

int Pcm::choose_map(core::ChannelMap& map) const
{
    const abi::Geometry& geometry = attachment_.geometry();
    if (settings_.map.empty()) {
        map = core::default_map(io_.channels, std::span(geometry.chmap, geometry.channels));
        return 0;
    }
    if (core::explicit_map(settings_.map, geometry.channels, map))
        return 0;
    SNDERR("ringmix: map names a device channel twice or one that the device does not have (it has %u)",
           geometry.channels);
    return -EINVAL;
}

// hw_params: gets a lane for the chosen format and buffer.
int Pcm::configure()
{
    core::ChannelMap map;
    if (const int error = choose_map(map); error < 0)
        return error;
    stream_.configure(format_of(io_.format), io_.channels, io_.buffer_size, map);
    return 0;
}

void Pcm::prepare() noexcept
{
    stream_.prepare();
    base_ = position_ = 0;
    last_appl_ = reported_hw_ = 0;
    late_ = false;
    wake();
}

// Marks the PCM as disconnected once the device cannot play any more.
bool Pcm::lost() noexcept
{
    if (attachment_.ours() && !attachment_.timeline().lost())
        return false;
    snd_pcm_ioplug_set_state(&io_, SND_PCM_STATE_DISCONNECTED);
    return true;
}

// snd_pcm_reset() sets both pointers to 0 without a word: what was queued is to be forgotten, and
// counting begins anew at the point that can still be changed.
void Pcm::follow_reset() noexcept
{
    if (io_.hw_ptr != 0 || io_.appl_ptr != 0 || (reported_hw_ == 0 && position_ == base_) || !stream_.running())
        return;
    const std::int64_t horizon = stream_.horizon_position();
    base_ = static_cast<std::uint64_t>(std::max<std::int64_t>(horizon, 0));
    stream_.take_back(std::min(base_, stream_.written()));
    position_ = base_;
    last_appl_ = reported_hw_ = 0;
}

std::uint64_t Pcm::position_of(snd_pcm_uframes_t appl_ptr) const noexcept
{
    // Signed distance on the circle of `boundary` frames: rewinds are negative.
    const snd_pcm_uframes_t forward =
        appl_ptr >= last_appl_ ? appl_ptr - last_appl_ : appl_ptr + boundary_ - last_appl_;
    if (forward <= boundary_ / 2)
        return position_ + forward;
    const snd_pcm_uframes_t back = boundary_ - forward;
    return position_ > back ? position_ - back : 0;
}

snd_pcm_sframes_t Pcm::pointer() noexcept
{
    if (lost())
        return static_cast<snd_pcm_sframes_t>(reported_hw_);
    follow_reset();
    std::int64_t position = static_cast<std::int64_t>(base_) + static_cast<std::int64_t>(reported_hw_);
    if (io_.state == SND_PCM_STATE_DRAINING) {
        // The end is reached when the last frame has been heard.
        stream_.tend();
        const auto end = static_cast<std::int64_t>(stream_.written());
        const std::int64_t heard = stream_.heard_position();
        position = heard >= end ? end : std::max(position, std::min(heard, end - 1));
    } else if (stream_.running()) {
        position = std::max(position, stream_.horizon_position());
        const auto appl = static_cast<std::int64_t>(position_of(io_.appl_ptr));
        const std::int64_t queued = appl - position;
        const auto buffer = static_cast<std::int64_t>(io_.buffer_size);
        const bool stops = stop_threshold_ <= static_cast<snd_pcm_uframes_t>(boundary_ / 2);
        if (stops && (late_ || buffer - queued >= static_cast<std::int64_t>(stop_threshold_))) {
            stream_.xrun();
            wake();
            return -EPIPE;
        }
    }
    reported_hw_ = static_cast<snd_pcm_uframes_t>(static_cast<std::uint64_t>(position) - base_) % boundary_;
    return static_cast<snd_pcm_sframes_t>(reported_hw_);
}

void Pcm::transfer(const snd_pcm_channel_area_t* areas, snd_pcm_uframes_t offset, snd_pcm_uframes_t size) noexcept
{
    follow_reset();
    client::ChannelArea sources[abi::max_channels];
    const unsigned channels = std::min<unsigned>(io_.channels, abi::max_channels);
    for (unsigned c = 0; c < channels; c++) {
        const std::size_t step = areas[c].step / 8;
        sources[c] = {static_cast<const std::byte*>(areas[c].addr) + areas[c].first / 8 + offset * step, step};
    }
    position_ = position_of(io_.appl_ptr);
    last_appl_ = io_.appl_ptr;
    while (size > 0) { // more than a buffer at once only where nothing stops at an xrun
        const snd_pcm_uframes_t count = std::min(size, io_.buffer_size);
        late_ |= stream_.write(position_, {sources, channels}, count) != 0;
        for (unsigned c = 0; c < channels; c++)
            sources[c].base += count * sources[c].step;
        position_ += count;
        last_appl_ = (last_appl_ + count) % boundary_;
        size -= count;
    }
    // The timer has expired for the space that is now filled: it must not stay readable.
    if (sys::monotonic_ns() >= armed_ns_.load(std::memory_order_relaxed))
        arm();
}

int Pcm::delay(snd_pcm_sframes_t* frames) const noexcept
{
    if (io_.state == SND_PCM_STATE_XRUN)
        return -EPIPE;
    if (io_.state == SND_PCM_STATE_DISCONNECTED)
        return -ENODEV;
    *frames =
        static_cast<snd_pcm_sframes_t>(static_cast<std::int64_t>(position_of(io_.appl_ptr)) - stream_.heard_position());
    return 0;
}

// Called without the PCM's lock; snd_pcm_avail_update takes it, runs pointer(), and ends the
// stream (state SETUP) when the last frame has been heard.
int Pcm::drain() noexcept
{
    if (!stream_.running()) {
        if (stream_.written() == 0)
            return 0;
        stream_.start();
    }
    stream_.drain();
    for (;;) {
        snd_pcm_avail_update(io_.pcm);
        if (io_.state == SND_PCM_STATE_DISCONNECTED)
            return -ENODEV;
        if (io_.state != SND_PCM_STATE_DRAINING)
            return 0;
        arm();
        if (io_.nonblock == 2) // snd_pcm_abort()
            return -EINTR;
        if (io_.nonblock)
            return -EAGAIN;
        timer_.wait();
    }
}

snd_pcm_uframes_t Pcm::avail() const noexcept { return snd_pcm_ioplug_avail(&io_, io_.hw_ptr, io_.appl_ptr); }

void Pcm::arm_at(std::uint64_t reason, std::int64_t time_ns) noexcept
{
    armed_ns_.store(time_ns, std::memory_order_relaxed);
    armed_reason_.store(reason, std::memory_order_relaxed);
    timer_.set(time_ns);
}

// Makes the descriptor readable now; the next arm() looks afresh.
void Pcm::wake() noexcept { arm_at(at_once, 1); }

// Sets the timer to the moment at which there will be something to do.
void Pcm::arm() noexcept
{
    std::uint64_t reason = just_look;
    if (io_.state == SND_PCM_STATE_RUNNING)
        reason = position_of(io_.appl_ptr) + avail_min_ -
                 std::min<std::uint64_t>(io_.buffer_size, position_of(io_.appl_ptr) + avail_min_);
    else if (io_.state == SND_PCM_STATE_DRAINING)
        reason = stream_.written();
    else if ((io_.state != SND_PCM_STATE_PREPARED && io_.state != SND_PCM_STATE_PAUSED) || avail() >= avail_min_)
        reason = at_once;

    const std::int64_t now = sys::monotonic_ns();
    if (armed_reason_.load(std::memory_order_relaxed) == reason &&
        (reason == at_once || now < armed_ns_.load(std::memory_order_relaxed)))
        return;
    if (reason == at_once)
        return wake();
    std::int64_t time = now + max_wait_ns;
    if (io_.state == SND_PCM_STATE_RUNNING && stream_.running())
        time = std::min(time, stream_.time_of_horizon(reason));
    else if (io_.state == SND_PCM_STATE_DRAINING)
        time = std::min(time, stream_.time_heard(reason));
    arm_at(reason, time);
}

// What poll() would report of a kernel PCM in this state.
unsigned short Pcm::ready_events() noexcept
{
    snd_pcm_avail_update(io_.pcm);
    switch (io_.state) {
    case SND_PCM_STATE_PREPARED:
    case SND_PCM_STATE_RUNNING:
    case SND_PCM_STATE_PAUSED:
        if (avail() >= avail_min_)
            return POLLOUT;
        break;
    case SND_PCM_STATE_DRAINING:
        break;
    case SND_PCM_STATE_DISCONNECTED:
        return POLLERR | POLLHUP | POLLOUT;
    default:
        return POLLERR | POLLOUT;
    }
    arm();
    return 0;
}

snd_pcm_chmap_query_t** Pcm::query_chmaps() const noexcept
{
    const abi::Geometry& geometry = attachment_.geometry();
    const unsigned first = settings_.map.empty() ? 1 : static_cast<unsigned>(settings_.map.size());
    const unsigned last = settings_.map.empty() ? geometry.channels : first;
    auto** maps = static_cast<snd_pcm_chmap_query_t**>(std::calloc(last - first + 2, sizeof(snd_pcm_chmap_query_t*)));
    for (unsigned n = first; maps != nullptr && n <= last; n++) {
        auto* map =
            static_cast<snd_pcm_chmap_query_t*>(std::calloc(1, sizeof(snd_pcm_chmap_query_t) + n * sizeof(unsigned)));
        if (map == nullptr) {
            snd_pcm_free_chmaps(maps);
            return nullptr;
        }
        map->type = SND_CHMAP_TYPE_FIXED;
        map->map.channels = n;
        for (unsigned c = 0; c < n; c++)
            map->map.pos[c] = settings_.map.empty()                  ? core::standard_position(c, n)
                              : settings_.map[c] < geometry.channels ? geometry.chmap[settings_.map[c]]
                                                                     : 0u;
        maps[n - first] = map;
    }
    return maps;
}

snd_pcm_chmap_t* Pcm::get_chmap() const noexcept
{
    const abi::Geometry& geometry = attachment_.geometry();
    auto* map =
        static_cast<snd_pcm_chmap_t*>(std::calloc(1, sizeof(snd_pcm_chmap_t) + io_.channels * sizeof(unsigned)));
    if (map == nullptr)
        return nullptr;
    map->channels = io_.channels;
    for (unsigned c = 0; c < io_.channels; c++)
        map->pos[c] = settings_.map.empty()                  ? core::standard_position(c, io_.channels)
                      : settings_.map[c] < geometry.channels ? geometry.chmap[settings_.map[c]]
                                                             : 0u;
    return map;
}

} // namespace ringmix::plugin
