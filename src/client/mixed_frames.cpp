// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/mixed_frames.h"

#include "kernels/downmix.h"
#include "kernels/kernels.h"

#include <algorithm>

namespace ringmix::client {

void load_mixed(float* planes, std::size_t plane, const kernels::Resampling& kernels, std::uint32_t format,
                const core::Downmix& downmix, std::span<const ChannelArea> areas, std::uint64_t first,
                std::size_t frames) noexcept
{
    for (std::uint32_t to = 0; to < downmix.to; to++)
        std::fill_n(planes + to * plane, frames, 0.0f);
    for (std::size_t done = 0, count = 0; done < frames; done += count) {
        count = std::min(frames - done, mixed_at_once);
        for (std::uint32_t from = 0; from < downmix.from; from++) {
            float samples[mixed_at_once];
            bool loaded = false;
            for (std::uint32_t to = 0; to < downmix.to; to++) {
                const float weight = downmix.weights[to][from];
                if (weight == 0)
                    continue;
                if (!loaded) {
                    const ChannelArea& area = areas[from];
                    kernels.load[format](samples, area.base + (first + done) * area.step, area.step, count);
                    loaded = true;
                }
                kernels::add_weighted(planes + to * plane + done, samples, weight, count);
            }
        }
    }
}

MixedFrames::MixedFrames(std::span<const ChannelArea> areas, std::uint32_t format,
                         const core::Downmix& downmix) noexcept
    : areas_(areas), format_(format), downmix_(&downmix), kernels_(kernels::chosen().resampling)
{
}

void MixedFrames::copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept
{
    float planes[abi::max_channels * mixed_at_once];
    auto* out = reinterpret_cast<std::int32_t*>(cells); // lanes begin at whole samples of the arena
    while (frames > 0) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(frames, mixed_at_once));
        load_mixed(planes, mixed_at_once, *kernels_, format_, *downmix_, areas_, first, count);
        for (std::uint32_t to = 0; to < downmix_->to; to++)
            kernels::store_high(out + to, downmix_->to, planes + to * mixed_at_once, count);
        out += count * downmix_->to;
        first += count;
        frames -= count;
    }
}

} // namespace ringmix::client
