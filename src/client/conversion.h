// SPDX-License-Identifier: LGPL-2.1-or-later
//
// conversion.h: a client's sound at another rate than the device's: what it has written, as floats, and the
// stream's frames made of it (docs/rates.md).
//
// The constructor and clear() are for set-up; all else allocates nothing and blocks nowhere. One thread at a time.

#pragma once

#include "client/mixed_frames.h"
#include "client/rate_filters.h"
#include "core/rate_map.h"

#include <memory>
#include <span>

namespace ringmix::client {

class Conversion final : public FrameSource {
public:
    // For client frames in `format`; holds `buffer_frames` of them and what a filter needs around. `downmix` outlives
    // it: where it sums, the stream has its channels and not the client's. Throws std::bad_alloc.
    Conversion(std::uint32_t format, std::uint32_t channels, std::uint32_t client_rate, std::uint32_t device_rate,
               std::uint64_t buffer_frames, const core::Downmix* downmix = nullptr);

    // Which stream frame is made of what.
    const core::RateMap& map() const noexcept { return map_; }
    // Of the stream.
    std::uint32_t channels() const noexcept { return channels_; }
    // Client frames: so many may be held, before the end of the sound, to be put into stream frames again.
    std::uint64_t buffer_frames() const noexcept { return buffer_frames_; }
    // Stream frames that as many client frames take, until they have rung out.
    std::uint64_t stream_frames(std::uint64_t client_frames) const noexcept;

    // Begins anew at client frame 0: nothing before it, nothing behind.
    void clear() noexcept;
    // The client's frames from `at` on become those of the areas from frame `first` of the areas on. At most
    // buffer_frames().
    void put(std::int64_t at, std::span<const ChannelArea> areas, std::uint64_t first, std::uint64_t frames) noexcept;
    // The client's frames from `at` up to `end` become silence: of many, the last ones.
    void silence(std::int64_t at, std::int64_t end) noexcept;

    // What is written to the stream next begins with this stream frame. From client frame `end` on there is nothing but
    // silence: the frames where the sound rings out are made with less work, and are the same.
    void begin_with(core::StreamFrame frame, core::ClientFrame end = {std::int64_t{1} << 62}) noexcept
    {
        begin_ = frame;
        end_ = end;
    }
    // As abi::format_s32_high.
    void copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept override;

private:
    std::uint64_t cell_of(std::int64_t frame) const noexcept;
    float* plane(std::uint32_t channel) const noexcept { return samples_.get() + channel * plane_; }
    void load(std::uint64_t cell, std::span<const ChannelArea> areas, std::uint64_t first,
              std::uint64_t frames) noexcept;
    void mirror(std::uint64_t cell, std::uint64_t frames) noexcept;

    std::shared_ptr<const RateFilter> filter_;
    core::RateMap map_;
    const kernels::Resampling* kernels_;
    std::uint32_t format_;
    std::uint32_t sample_bytes_;
    const core::Downmix* downmix_; // null: the client's channels as they are
    std::uint32_t channels_;
    std::uint64_t buffer_frames_;
    // Client frame n is sample n mod cells_ of each plane. Behind them the first ones again, as many as the filter
    // is long, so that what a frame is made of lies side by side.
    std::uint64_t cells_;
    std::uint64_t plane_;
    std::unique_ptr<float[]> samples_;
    core::StreamFrame begin_;
    core::ClientFrame end_;
};

} // namespace ringmix::client
