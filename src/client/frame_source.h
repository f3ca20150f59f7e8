// SPDX-License-Identifier: LGPL-2.1-or-later
//
// frame_source.h: where the frames come from that a stream puts into its lane.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringmix::client {

// Where an application's samples of one channel lie (as ALSA's snd_pcm_channel_area_t): sample i is
// at base + i * step, in bytes.
struct ChannelArea {
    const std::byte* base;
    std::size_t step;
};

class FrameSource {
public:
    // Puts frames first ... first + frames - 1 of what is written to `cells`, interleaved. Asked in ascending
    // order, not for all of them where some are too late. Allocates nothing, blocks nowhere.
    virtual void copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept = 0;

protected:
    ~FrameSource() = default;
};

// An application's samples as they are.
class AreaFrames final : public FrameSource {
public:
    // `areas`: one for each channel.
    AreaFrames(std::span<const ChannelArea> areas, std::uint32_t sample_bytes) noexcept
        : areas_(areas), sample_bytes_(sample_bytes)
    {
    }
    void copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept override;

private:
    std::span<const ChannelArea> areas_;
    std::uint32_t sample_bytes_;
};

// Whether the areas are frames that lie side by side, as in memory that one snd_pcm_writei() brings.
bool interleaved(std::span<const ChannelArea> areas, std::uint32_t sample_bytes) noexcept;

} // namespace ringmix::client
