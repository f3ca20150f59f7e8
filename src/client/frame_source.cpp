// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/frame_source.h"

#include <cstring>

namespace ringmix::client {

bool interleaved(std::span<const ChannelArea> areas, std::uint32_t sample_bytes) noexcept
{
    const std::size_t frame_bytes = areas.size() * sample_bytes;
    for (std::size_t c = 0; c < areas.size(); c++)
        if (areas[c].step != frame_bytes || areas[c].base != areas[0].base + c * sample_bytes)
            return false;
    return true;
}

void AreaFrames::copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept
{
    const std::size_t frame_bytes = areas_.size() * sample_bytes_;
    if (interleaved(areas_, sample_bytes_)) {
        std::memcpy(cells, areas_[0].base + first * frame_bytes, frames * frame_bytes);
        return;
    }
    for (std::size_t c = 0; c < areas_.size(); c++)
        for (std::uint64_t i = 0; i < frames; i++)
            std::memcpy(cells + i * frame_bytes + c * sample_bytes_, areas_[c].base + (first + i) * areas_[c].step,
                        sample_bytes_);
}

} // namespace ringmix::client
