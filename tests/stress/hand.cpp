// SPDX-License-Identifier: LGPL-2.1-or-later

#include "hand.h"

#include "weapons.h"

#include <algorithm>

namespace ringmix::stress {

namespace {
constexpr snd_pcm_format_t alsa_formats[formats] = {SND_PCM_FORMAT_U8,     SND_PCM_FORMAT_S16_LE,
                                                    SND_PCM_FORMAT_S24_LE, SND_PCM_FORMAT_S24_3LE,
                                                    SND_PCM_FORMAT_S32_LE, SND_PCM_FORMAT_FLOAT_LE};
} // namespace

int Hand::set_hardware()
{
    snd_pcm_hw_params_t* params;
    snd_pcm_hw_params_alloca(&params);
    int error = snd_pcm_hw_params_any(pcm_, params);
    if (error >= 0)
        error = snd_pcm_hw_params_set_access(pcm_, params, shape_.access);
    if (error >= 0)
        error = snd_pcm_hw_params_set_format(pcm_, params, alsa_formats[shape_.format]);
    if (error >= 0)
        error = snd_pcm_hw_params_set_channels(pcm_, params, shape_.channels);
    if (error >= 0)
        error = snd_pcm_hw_params_set_rate(pcm_, params, shape_.rate, 0);
    if (error >= 0)
        error = snd_pcm_hw_params_set_buffer_size_near(pcm_, params, &shape_.buffer);
    if (error >= 0)
        error = snd_pcm_hw_params_set_period_size_near(pcm_, params, &shape_.period, nullptr);
    if (error >= 0)
        error = snd_pcm_hw_params(pcm_, params);
    return error;
}

int Hand::set_software()
{
    snd_pcm_sw_params_t* params;
    snd_pcm_sw_params_alloca(&params);
    snd_pcm_uframes_t boundary = 0;
    int error = snd_pcm_sw_params_current(pcm_, params);
    if (error >= 0)
        error = snd_pcm_sw_params_get_boundary(params, &boundary);
    if (error >= 0)
        error = snd_pcm_sw_params_set_start_threshold(pcm_, params, shape_.start_threshold);
    if (error >= 0)
        error = snd_pcm_sw_params_set_stop_threshold(pcm_, params, shape_.stops_at_xrun ? shape_.buffer : boundary);
    if (error >= 0)
        error = snd_pcm_sw_params_set_avail_min(pcm_, params, shape_.period);
    if (error >= 0)
        error = snd_pcm_sw_params(pcm_, params);
    return error;
}

int Hand::open(const Shape& shape)
{
    shape_ = shape;
    Record& record = journal_.begin(kind_open, 0, shape_.node_number, shape_.channels);
    record.result = shape_.format;
    int error = snd_pcm_open(&pcm_, shape_.node.c_str(), SND_PCM_STREAM_PLAYBACK, SND_PCM_NONBLOCK);
    if (error >= 0) {
        load_weapons();
        error = set_hardware();
        if (error >= 0)
            error = set_software();
    }
    record.position = static_cast<std::int64_t>(shape_.buffer);
    record.horizon_after = error;
    record.end_ns = now_ns();
    record.done.store(1, std::memory_order_release);
    position_ = 0; // hw_params prepares
    if (error < 0)
        close();
    return error;
}

void Hand::close()
{
    if (pcm_ == nullptr)
        return;
    Record& record = journal_.begin(kind_close, position_, 0, 0);
    note_call(record.begin_ns);
    record.state_before = static_cast<std::uint32_t>(snd_pcm_state(pcm_));
    record.horizon_before = 0;
    snd_pcm_close(pcm_);
    pcm_ = nullptr;
    record.end_ns = now_ns();
    record.done.store(1, std::memory_order_release);
}

// The first position that can still be changed. False: the stream has ended (perhaps just now).
bool Hand::horizon(std::int64_t& position)
{
    const snd_pcm_sframes_t avail = snd_pcm_avail_update(pcm_);
    if (avail < 0)
        return false;
    position = position_ + avail - static_cast<std::int64_t>(shape_.buffer);
    return true;
}

template <class Call> long Hand::noted(Kind kind, std::int64_t frames, std::uint64_t key, Call&& call)
{
    Record& record = journal_.begin(kind, position_, frames, key);
    note_call(record.begin_ns);
    record.state_before = static_cast<std::uint32_t>(state());
    std::int64_t before = 0;
    long result = 0;
    // Also where nothing plays: then it is where the stream stands.
    const bool anywhere = kind == kind_prepare || kind == kind_drop;
    if (horizon(before) || anywhere) {
        record.horizon_before = before;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        result = call();
        const bool stood = record.state_before == SND_PCM_STATE_PREPARED || record.state_before == SND_PCM_STATE_PAUSED;
        record.started = stood && state() == SND_PCM_STATE_RUNNING;
    } else {
        result = -EPIPE;
    }
    record.result = result;
    if (result > 0 && (kind == kind_write || kind == kind_forward))
        position_ += result;
    if (result > 0 && kind == kind_rewind)
        position_ -= result;
    std::int64_t after = 0;
    record.horizon_after = horizon(after) ? after : never;
    record.state_after = static_cast<std::uint32_t>(state());
    record.end_ns = now_ns();
    if (record.started)
        started_ns_ = record.end_ns;
    record.done.store(1, std::memory_order_release);
    return result;
}

void Hand::fill(std::byte* at, std::size_t step, unsigned channel, std::int64_t position, snd_pcm_uframes_t frames,
                std::uint64_t key) const
{
    for (snd_pcm_uframes_t i = 0; i < frames; i++)
        put_sample(at + i * step, shape_.format, noise(key, position + static_cast<std::int64_t>(i), channel));
}

// The part up to the end of the mapped buffer: to the plugin it is a write of its own.
long Hand::write_mapped(snd_pcm_uframes_t frames, std::uint64_t key)
{
    const snd_pcm_channel_area_t* areas = nullptr;
    snd_pcm_uframes_t offset = 0, count = frames;
    if (const int error = snd_pcm_mmap_begin(pcm_, &areas, &offset, &count); error < 0)
        return error;
    for (unsigned c = 0; c < shape_.channels; c++) {
        const std::size_t step = areas[c].step / 8;
        fill(static_cast<std::byte*>(areas[c].addr) + areas[c].first / 8 + offset * step, step, c, position_, count,
             key);
    }
    const snd_pcm_sframes_t taken = snd_pcm_mmap_commit(pcm_, offset, count);
    if (taken > 0 && state() == SND_PCM_STATE_PREPARED &&
        shape_.start_threshold <= static_cast<snd_pcm_uframes_t>(position_ + taken))
        snd_pcm_start(pcm_); // nobody else does for mapped access
    return taken;
}

long Hand::write_planes(snd_pcm_uframes_t frames, std::uint64_t key)
{
    const std::size_t bytes = sample_bytes[shape_.format];
    memory_.resize(frames * bytes * shape_.channels + sizeof(std::uint32_t));
    std::vector<void*> planes;
    for (unsigned c = 0; c < shape_.channels; c++) {
        planes.push_back(memory_.data() + c * frames * bytes);
        fill(memory_.data() + c * frames * bytes, bytes, c, position_, frames, key);
    }
    return snd_pcm_writen(pcm_, planes.data(), frames);
}

long Hand::write(snd_pcm_uframes_t frames, std::uint64_t key)
{
    const auto wanted = static_cast<std::int64_t>(frames);
    switch (shape_.access) {
    case SND_PCM_ACCESS_MMAP_INTERLEAVED:
    case SND_PCM_ACCESS_MMAP_NONINTERLEAVED:
        for (long done = 0; done < wanted;) {
            const auto at = static_cast<snd_pcm_uframes_t>(position_) % shape_.buffer;
            const auto part = std::min(wanted - done, static_cast<std::int64_t>(shape_.buffer - at));
            const long taken =
                noted(kind_write, part, key, [&] { return write_mapped(static_cast<snd_pcm_uframes_t>(part), key); });
            if (taken <= 0)
                return done;
            done += taken;
        }
        return wanted;
    case SND_PCM_ACCESS_RW_NONINTERLEAVED:
        return noted(kind_write, wanted, key, [&] { return write_planes(frames, key); });
    default: {
        const std::size_t bytes = sample_bytes[shape_.format];
        memory_.resize(frames * bytes * shape_.channels + sizeof(std::uint32_t));
        for (unsigned c = 0; c < shape_.channels; c++)
            fill(memory_.data() + c * bytes, bytes * shape_.channels, c, position_, frames, key);
        return noted(kind_write, wanted, key, [&] { return snd_pcm_writei(pcm_, memory_.data(), frames); });
    }
    }
}

long Hand::prepare()
{
    const long result = noted(kind_prepare, 0, 0, [&] { return snd_pcm_prepare(pcm_); });
    position_ = 0;
    return result;
}

long Hand::rewind(snd_pcm_uframes_t frames)
{
    return noted(kind_rewind, static_cast<std::int64_t>(frames), 0, [&] { return snd_pcm_rewind(pcm_, frames); });
}

long Hand::forward(snd_pcm_uframes_t frames)
{
    return noted(kind_forward, static_cast<std::int64_t>(frames), 0, [&] { return snd_pcm_forward(pcm_, frames); });
}

long Hand::start()
{
    return noted(kind_start, 0, 0, [&] { return snd_pcm_start(pcm_); });
}

long Hand::pause()
{
    return noted(kind_pause, 0, 0, [&] { return snd_pcm_pause(pcm_, 1); });
}

long Hand::resume()
{
    return noted(kind_resume, 0, 0, [&] { return snd_pcm_pause(pcm_, 0); });
}

long Hand::drain()
{
    snd_pcm_nonblock(pcm_, 0);
    const long result = noted(kind_drain, 0, 0, [&] { return snd_pcm_drain(pcm_); });
    snd_pcm_nonblock(pcm_, 1);
    return result;
}

long Hand::drop()
{
    return noted(kind_drop, 0, 0, [&] { return snd_pcm_drop(pcm_); });
}

long Hand::wait(int timeout_ms)
{
    return noted(kind_wait, 0, 0, [&] { return snd_pcm_wait(pcm_, timeout_ms); });
}

} // namespace ringmix::stress
