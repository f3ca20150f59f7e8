// SPDX-License-Identifier: LGPL-2.1-or-later
//
// lanes.h: lanes on a fake board, and what the device must play of them: written from the
// definitions, a sample at a time, without anything of src/kernels and post.

#pragma once

#include "core/channel_map.h"
#include "core/gain.h"
#include "tests/core/fake_board.h"
#include "tests/kernels/dice.h"
#include "tests/kernels/sums.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

namespace ringmix::test {

struct Lane {
    std::uint32_t format = abi::format_s16;
    std::uint32_t channels = 2;
    std::uint64_t offset = 0; // bytes into the arena
    std::uint64_t frames = 0;
    std::uint64_t phase = 0;
    core::Extent range{};
    std::uint32_t gain = abi::unity_gain;
    std::uint64_t fade_start = 0;
    std::uint64_t fade_frames = 0;
    std::uint8_t map[abi::max_channels] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
};

// Writes the lane into its slot and makes it heard.
inline void install(const FakeBoard& board, std::uint32_t index, const Lane& lane)
{
    abi::Slot& slot = board.slot(index);
    slot.config.format.store(lane.format);
    slot.config.channels.store(lane.channels);
    slot.config.lane_offset.store(lane.offset);
    slot.config.lane_frames.store(lane.frames);
    // All in the first table: a constant gain, or one that falls to nothing.
    const std::uint64_t fade_end = lane.fade_start + lane.fade_frames;
    for (std::uint32_t i = 0; i < abi::gain_points; ++i) {
        slot.gains[0].frames[i].store(i == 0 ? lane.fade_start : fade_end);
        slot.gains[0].gains[i].store(i == 0 ? lane.gain : 0);
    }
    slot.config.gain.store(lane.fade_frames != 0 ? 0 : abi::gain_flat | lane.gain);
    core::store_map(slot.config, lane.map);
    slot.stream.phase.store(lane.phase);
    slot.stream.range.store(core::pack(lane.range));
    board.board().engine.active.fetch_or(std::uint64_t{1} << index);
}

inline std::int64_t gain_at(const Lane& lane, std::uint64_t frame)
{
    const std::int64_t gain = std::min(lane.gain, core::max_gain);
    if (lane.fade_frames == 0 || frame < lane.fade_start)
        return gain;
    if (frame >= lane.fade_start + lane.fade_frames)
        return 0;
    return gain * static_cast<std::int64_t>(lane.fade_start + lane.fade_frames - frame) /
           static_cast<std::int64_t>(lane.fade_frames);
}

inline std::int64_t contribution(const FakeBoard& board, const Lane& lane, std::uint64_t frame, std::uint32_t channel)
{
    if (frame < lane.range.start || frame >= lane.range.end || lane.map[channel] >= lane.channels)
        return 0;
    const std::uint64_t cell = (frame + lane.phase) % lane.frames;
    const std::uint32_t bytes = core::sample_bytes(lane.format);
    const std::byte* at = board.arena() + lane.offset + (cell * lane.channels + lane.map[channel]) * bytes;
    return sample32(at, lane.format) * gain_at(lane, frame);
}

// The sample that the device must play.
inline std::int64_t mixed(const FakeBoard& board, std::span<const Lane> lanes, std::uint64_t frame,
                          std::uint32_t channel)
{
    std::int64_t sum = 0;
    for (const Lane& lane : lanes)
        sum += contribution(board, lane, frame, channel);
    const abi::Geometry& device = board.view().geometry;
    return device_sample(sum, device, frame * device.channels + channel);
}

// The sample that lies in the ring.
inline std::int64_t in_ring(const FakeBoard& board, std::uint64_t frame, std::uint32_t channel)
{
    const core::BoardView& view = board.view();
    const std::uint32_t bytes = core::sample_bytes(view.geometry.format);
    return number(view.ring + frame % view.geometry.ring_frames * view.frame_bytes + channel * bytes, bytes);
}

// How many samples of these frames are not what they must be.
inline unsigned wrong_samples(const FakeBoard& board, std::span<const Lane> lanes, core::Extent frames)
{
    unsigned wrong = 0;
    for (std::uint64_t frame = frames.start; frame < frames.end; ++frame)
        for (std::uint32_t channel = 0; channel < board.view().geometry.channels; ++channel)
            wrong += in_ring(board, frame, channel) != mixed(board, lanes, frame, channel) ? 1 : 0;
    return wrong;
}

inline void fill_randomly(Dice& dice, std::byte* bytes, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i)
        bytes[i] = static_cast<std::byte>(dice.word());
}

// Lane number `index` of `count`: any format, length, map, gain and fade, with frames near `near`.
inline Lane random_lane(Dice& dice, const FakeBoard& board, std::uint32_t index, std::uint32_t count,
                        std::uint64_t near)
{
    const std::uint64_t room = board.view().geometry.arena_bytes / count;
    Lane lane;
    lane.format = dice.between(abi::format_u8, abi::format_s32_high);
    lane.channels = dice.between(1, 9);
    const std::uint32_t frame_bytes = core::sample_bytes(lane.format) * lane.channels;
    lane.frames = dice.between(1, static_cast<std::uint32_t>(room / frame_bytes));
    lane.offset = index * room + dice.below(room - lane.frames * frame_bytes + 1);
    lane.phase = dice.below(5000);
    lane.range.start = near + dice.below(300) - std::min<std::uint64_t>(near, dice.below(300));
    lane.range.end = lane.range.start + dice.below(dice.once_in(3) ? 3000 : 300);
    if (dice.once_in(2))
        lane.gain = dice.once_in(2) ? dice.below(core::max_gain + 1) : static_cast<std::uint32_t>(dice.skewed());
    if (dice.once_in(3)) {
        lane.fade_start = near + dice.below(300);
        lane.fade_frames = dice.between(1, 400);
    }
    if (dice.once_in(2))
        for (std::uint8_t& channel : lane.map)
            channel = static_cast<std::uint8_t>(dice.once_in(4) ? abi::no_channel : dice.below(lane.channels + 1));
    return lane;
}

} // namespace ringmix::test
