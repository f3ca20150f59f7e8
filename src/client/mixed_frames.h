// SPDX-License-Identifier: LGPL-2.1-or-later
//
// mixed_frames.h: an application's frames with fewer channels than it has itself (core/downmix.h).
//
// Nothing allocates or blocks. One thread at a time.

#pragma once

#include "client/frame_source.h"
#include "core/downmix.h"
#include "kernels/resample.h"

namespace ringmix::client {

// At most so many frames at once: what a thread's stack can always take.
inline constexpr std::size_t mixed_at_once = 64;

// Frames first ... first + frames - 1 of the areas, in abi::format_* `format`, as floats: one plane for each of
// downmix.to channels, `plane` floats apart. A frame is the same to the bit whatever is asked for with it.
void load_mixed(float* planes, std::size_t plane, const kernels::Resampling& kernels, std::uint32_t format,
                const core::Downmix& downmix, std::span<const ChannelArea> areas, std::uint64_t first,
                std::size_t frames) noexcept;

// As abi::format_s32_high.
class MixedFrames final : public FrameSource {
public:
    // `areas`: downmix.from.
    MixedFrames(std::span<const ChannelArea> areas, std::uint32_t format, const core::Downmix& downmix) noexcept;
    void copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept override;

private:
    std::span<const ChannelArea> areas_;
    std::uint32_t format_;
    const core::Downmix* downmix_;
    const kernels::Resampling* kernels_;
};

} // namespace ringmix::client
