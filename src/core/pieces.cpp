// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/pieces.h"

#include "core/format.h"

#include <bit>

namespace ringmix::core {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;

constexpr std::uint32_t max_gain = 4 * abi::unity_gain; // +12 dB; keeps the wide sum from overflowing

constexpr std::uint32_t slots_ahead = 6;

struct Batch {
    std::uint64_t from;
    std::uint32_t frames;
};

std::uint64_t remainder(std::uint64_t a, std::uint64_t b) noexcept
{
    // 64-bit division takes several times as long on many processors.
    if ((a | b) >> 32 == 0)
        return static_cast<std::uint32_t>(a) % static_cast<std::uint32_t>(b);
    return a % b;
}

bool identity_map(const abi::SlotConfig& config, std::uint32_t channels) noexcept
{
    std::uint64_t expected = 0x0706050403020100;
    for (std::uint32_t word = 0; word * 8 < channels; ++word, expected += 0x0808080808080808) {
        const std::uint32_t left = channels - word * 8;
        const std::uint64_t mask = left >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * left)) - 1;
        if (((config.map[word].load(relaxed) ^ expected) & mask) != 0)
            return false;
    }
    return true;
}

// The part of a packed range that is in the batch: unpack() and intersection(), relative to `from`.
bool part_of(std::uint64_t range, const Batch& batch, Span& part) noexcept
{
    const auto end = static_cast<std::int64_t>(((range >> extent_length_bits) - batch.from) << extent_length_bits) >>
                     extent_length_bits;
    const std::int64_t start = end - static_cast<std::int64_t>(range & max_extent_frames);
    if (end <= 0 || start >= std::int64_t{batch.frames} || start >= end)
        return false;
    part.start = static_cast<std::uint32_t>(std::max<std::int64_t>(start, 0));
    part.end = static_cast<std::uint32_t>(std::min<std::int64_t>(end, batch.frames));
    return true;
}

struct Lane {
    std::uint64_t offset;
    std::uint64_t frames;
    std::uint32_t frame_bytes;
    std::uint32_t gain;
    Kind kind;
    std::uint8_t slot;
};

// The cells of a lane from `cell` on, for the frames `span`. False: it did not fit.
inline bool add_piece(const Lane& lane, std::uint64_t cell, Span span, std::uint32_t frames, Pieces& pieces) noexcept
{
    const std::size_t i = pieces.count;
    if (i == Pieces::most)
        return false;
    pieces.span[i] = span;
    pieces.offset[i] = lane.offset + (cell - span.start) * lane.frame_bytes;
    pieces.frame_bytes[i] = lane.frame_bytes;
    pieces.gain[i] = lane.gain;
    pieces.kind[i] = lane.kind;
    pieces.slot[i] = lane.slot;
    if (span.start != 0)
        pieces.cuts[pieces.cut_count++] = static_cast<std::uint16_t>(span.start);
    if (span.end != frames)
        pieces.cuts[pieces.cut_count++] = static_cast<std::uint16_t>(span.end);
    pieces.count = i + 1;
    return true;
}

// False: it did not fit.
inline bool add_slot(const BoardView& view, std::uint32_t index, const Batch& batch, Pieces& pieces) noexcept
{
    const abi::Slot& slot = view.board->slots[index];
    Span part;
    if (!part_of(slot.stream.range.load(acquire), batch, part))
        return true;
    const abi::SlotConfig& config = slot.config;
    const std::uint32_t format = config.format.load(relaxed);
    const std::uint32_t channels = config.channels.load(relaxed);
    Lane lane;
    lane.offset = config.lane_offset.load(relaxed);
    lane.frames = config.lane_frames.load(relaxed);
    lane.frame_bytes = sample_bytes(format) * channels;
    const std::uint64_t arena = view.geometry.arena_bytes; // at most 2^31
    if (sample_bytes(format) == 0 || channels < 1 || channels > abi::max_channels || lane.offset > arena ||
        lane.frames < 1 || lane.frames > arena || lane.frames * lane.frame_bytes > arena - lane.offset)
        return true;

    lane.gain = std::min(config.gain.load(relaxed), max_gain);
    if (lane.gain == 0)
        return true;
    lane.kind = Kind(format, channels, channels != view.geometry.channels || !identity_map(config, channels),
                     lane.gain != abi::unity_gain, config.fade_frames.load(relaxed) != 0);
    lane.slot = static_cast<std::uint8_t>(index);
    pieces.alike &= lane.kind.plain() && (pieces.count == 0 || lane.kind == pieces.kind[0]);
    std::uint64_t cell = remainder(batch.from + part.start - slot.stream.origin.load(relaxed), lane.frames);
    while (cell + part.frames() > lane.frames) { // it wraps: once, unless the range is nonsense
        const auto to_end = static_cast<std::uint32_t>(lane.frames - cell);
        if (!add_piece(lane, cell, {part.start, part.start + to_end}, batch.frames, pieces))
            return false;
        part.start += to_end;
        cell = 0;
    }
    return add_piece(lane, cell, part, batch.frames, pieces);
}

} // namespace

bool gather(const BoardView& view, std::uint64_t from, std::uint32_t frames, Pieces& pieces) noexcept
{
    pieces.count = 0;
    pieces.cut_count = 0;
    pieces.alike = true;
    const Batch batch{from, frames};
    for (std::uint64_t active = view.board->engine.active.load(acquire); active != 0; active &= active - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(active));
        // Each has three cache lines, of which others write one.
        for (std::size_t line = 0; line < sizeof(abi::Slot); line += 64)
            __builtin_prefetch(reinterpret_cast<const std::byte*>(view.board->slots + slot + slots_ahead) + line);
        if (!add_slot(view, slot, batch, pieces))
            return false;
    }
    return true;
}

} // namespace ringmix::core
