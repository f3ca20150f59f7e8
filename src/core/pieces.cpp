// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/pieces.h"

#include "core/format.h"

#include <bit>

namespace ringmix::core {

namespace {

constexpr std::uint32_t slots_ahead = 6;
constexpr std::uint64_t identity_word = 0x0706050403020100; // of SlotConfig::map

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
    std::uint64_t expected = identity_word;
    for (std::uint32_t word = 0; word * 8 < channels; ++word, expected += 0x0808080808080808) {
        const std::uint32_t left = channels - word * 8;
        const std::uint64_t mask = left >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * left)) - 1;
        if (((config.map[word].load(relaxed) ^ expected) & mask) != 0)
            return false;
    }
    return true;
}

// The part of a packed range that is in the batch: unpack() and intersection(), relative to `from`.
[[gnu::always_inline]] inline bool part_of(std::uint64_t range, const Batch& batch, Span& part) noexcept
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
    std::uint32_t format;
    std::uint32_t channels;
    bool mapped;
    std::uint8_t slot;
};

// False: it says nothing that could be read.
bool read_lane(const BoardView& view, std::uint32_t index, Lane& lane) noexcept
{
    const abi::SlotConfig& config = view.board->slots[index].config;
    lane.format = config.format.load(relaxed);
    lane.channels = config.channels.load(relaxed);
    lane.offset = config.lane_offset.load(relaxed);
    lane.frames = config.lane_frames.load(relaxed);
    lane.frame_bytes = sample_bytes(lane.format) * lane.channels;
    lane.slot = static_cast<std::uint8_t>(index);
    const std::uint64_t arena = view.geometry.arena_bytes; // at most 2^31
    if (sample_bytes(lane.format) == 0 || lane.channels < 1 || lane.channels > abi::max_channels ||
        lane.offset > arena || lane.frames < 1 || lane.frames > arena ||
        lane.frames * lane.frame_bytes > arena - lane.offset)
        return false;
    lane.mapped = lane.channels != view.geometry.channels || !identity_map(config, lane.channels);
    return true;
}

// The cells of a lane from `cell` on, for the frames `span`; `gain` at the span's first frame. False: it
// did not fit.
inline bool add_piece(const Lane& lane, std::uint64_t cell, Span span, const GainLine& gain, std::uint32_t frames,
                      Pieces& pieces) noexcept
{
    const std::size_t i = pieces.count;
    if (i == Pieces::most)
        return false;
    const bool fading = gain.length != 0;
    pieces.span[i] = span;
    pieces.offset[i] = static_cast<std::uint32_t>(lane.offset + (cell - span.start) * lane.frame_bytes);
    pieces.frame_bytes[i] = lane.frame_bytes;
    pieces.gain[i] = gain.from;
    if (fading) {
        pieces.gain_to[i] = gain.to;
        pieces.line_frames[i] = static_cast<std::uint32_t>(gain.length);
        pieces.line_start[i] = static_cast<std::int64_t>(span.start) - static_cast<std::int64_t>(gain.position);
    }
    pieces.kind[i] = Kind(lane.format, lane.channels, lane.mapped, fading || gain.from != abi::unity_gain, fading);
    pieces.alike &= pieces.kind[i].plain() && pieces.kind[i] == pieces.kind[0];
    pieces.slot[i] = lane.slot;
    if (span.start != 0)
        pieces.cuts[pieces.cut_count++] = static_cast<std::uint16_t>(span.start);
    if (span.end != frames)
        pieces.cuts[pieces.cut_count++] = static_cast<std::uint16_t>(span.end);
    pieces.count = i + 1;
    return true;
}

// The frames `part` of a lane, all on one line of gain. False: it did not fit.
inline bool add_part(const Lane& lane, std::uint64_t phase, Span part, GainLine gain, const Batch& batch,
                     Pieces& pieces) noexcept
{
    if (gain.length == 0 && gain.from == 0)
        return true;
    std::uint64_t cell = remainder(batch.from + part.start + phase, lane.frames);
    while (cell + part.frames() > lane.frames) { // it wraps: once, unless the range is nonsense
        const auto to_end = static_cast<std::uint32_t>(lane.frames - cell);
        if (!add_piece(lane, cell, {part.start, part.start + to_end}, gain, batch.frames, pieces))
            return false;
        part.start += to_end;
        gain.position += to_end;
        cell = 0;
    }
    return add_piece(lane, cell, part, gain, batch.frames, pieces);
}

// The same with the slot's own gain over time.
bool add_with_gains(const Lane& lane, std::uint64_t phase, Span part, const abi::Slot& slot, const Batch& batch,
                    Pieces& pieces) noexcept
{
    const std::uint64_t word = slot.config.gain.load(acquire);
    if ((word & abi::gain_flat) != 0) {
        const std::uint32_t gain = std::min(static_cast<std::uint32_t>(word), max_gain);
        return add_part(lane, phase, part, {gain, gain}, batch, pieces);
    }
    const GainCurve curve = read_gains(slot);
    while (part.start < part.end) {
        const GainLine line = curve.line_at(batch.from + part.start);
        Span on_line = part; // the line goes on for at least one frame
        if (line.end - batch.from < part.end)
            on_line.end = static_cast<std::uint32_t>(line.end - batch.from);
        if (!add_part(lane, phase, on_line, line, batch, pieces))
            return false;
        part.start = on_line.end;
    }
    return true;
}

// The end of the stream before: with the slot's gain first, then fading out.
bool add_tail(const Lane& lane, Span part, const abi::Slot& slot, const Batch& batch, Pieces& pieces) noexcept
{
    const std::uint64_t phase = slot.tail.phase.load(relaxed) & ~abi::tail_flag;
    const std::uint64_t fade = std::min(slot.tail.fade_frames.load(relaxed), max_extent_frames);
    const std::uint64_t end = unpack(slot.tail.range.load(acquire), batch.from).end;
    const std::uint64_t cut = end - std::min(fade, end);
    Span steady = part;
    if (cut < batch.from + part.end)
        steady.end = cut > batch.from + part.start ? static_cast<std::uint32_t>(cut - batch.from) : part.start;
    if (steady.start < steady.end && !add_with_gains(lane, phase, steady, slot, batch, pieces))
        return false;
    part.start = steady.end;
    const auto gain = static_cast<std::uint32_t>(std::min<std::uint64_t>(slot.tail.gain.load(relaxed), max_gain));
    return part.start >= part.end ||
           add_part(lane, phase, part, {gain, 0, fade, batch.from + part.start - cut}, batch, pieces);
}

// What nearly every slot is, in few instructions, for there may be 64 of them: a stream without a tail, at
// unity gain, channel for channel, that does not wrap in this batch. False: it is something else.
[[gnu::always_inline]] inline bool add_usual(const BoardView& view, std::uint32_t index, std::uint64_t phase, Span part,
                                             const Batch& batch, Pieces& pieces) noexcept
{
    const abi::SlotConfig& config = view.board->slots[index].config;
    const std::uint32_t format = config.format.load(relaxed);
    const std::uint32_t channels = config.channels.load(relaxed);
    const std::uint64_t lane_frames = config.lane_frames.load(relaxed);
    const std::uint64_t lane_offset = config.lane_offset.load(relaxed);
    const std::uint64_t arena = view.geometry.arena_bytes;
    const std::uint32_t frame_bytes = sample_bytes(format) * channels;
    const std::size_t i = pieces.count;
    if (config.gain.load(acquire) != (abi::gain_flat | abi::unity_gain) || (phase & abi::tail_flag) != 0 ||
        frame_bytes == 0 || channels != view.geometry.channels || lane_offset > arena || lane_frames - 1 >= arena ||
        lane_frames * frame_bytes > arena - lane_offset || i == Pieces::most || channels > 8)
        return false;
    if (((config.map[0].load(relaxed) ^ identity_word) << (64 - 8 * channels)) != 0)
        return false;
    const std::uint64_t cell = remainder(batch.from + part.start + phase, lane_frames);
    if (cell + part.frames() > lane_frames)
        return false;
    const Kind kind(format, channels, false, false, false);
    pieces.span[i] = part;
    pieces.offset[i] = static_cast<std::uint32_t>(lane_offset + (cell - part.start) * frame_bytes);
    pieces.frame_bytes[i] = frame_bytes;
    pieces.gain[i] = abi::unity_gain;
    pieces.kind[i] = kind;
    pieces.alike &= kind == pieces.kind[0];
    pieces.slot[i] = static_cast<std::uint8_t>(index);
    if (part.start != 0)
        pieces.cuts[pieces.cut_count++] = static_cast<std::uint16_t>(part.start);
    if (part.end != batch.frames)
        pieces.cuts[pieces.cut_count++] = static_cast<std::uint16_t>(part.end);
    pieces.count = i + 1;
    return true;
}

// False: it did not fit.
inline bool add_slot(const BoardView& view, std::uint32_t index, const Batch& batch, Pieces& pieces) noexcept
{
    const abi::Slot& slot = view.board->slots[index];
    Span part{}, tail{};
    const bool in_stream = part_of(slot.stream.range.load(acquire), batch, part);
    const std::uint64_t phase = slot.stream.phase.load(acquire);
    if (in_stream && add_usual(view, index, phase, part, batch, pieces))
        return true;
    const bool in_tail = (phase & abi::tail_flag) != 0 && part_of(slot.tail.range.load(acquire), batch, tail);
    Lane lane;
    if ((!in_stream && !in_tail) || !read_lane(view, index, lane))
        return true;
    if (in_stream && !add_with_gains(lane, phase & ~abi::tail_flag, part, slot, batch, pieces))
        return false;
    return !in_tail || add_tail(lane, tail, slot, batch, pieces);
}

} // namespace

bool gather(const BoardView& view, std::uint64_t slots, std::uint64_t from, std::uint32_t frames,
            Pieces& pieces) noexcept
{
    pieces.count = 0;
    pieces.cut_count = 0;
    pieces.alike = true;
    const Batch batch{from, frames};
    for (; slots != 0; slots &= slots - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(slots));
        // What is usually needed of each: its stream and its configuration.
        const auto* ahead = reinterpret_cast<const std::byte*>(view.board->slots + slot + slots_ahead);
        __builtin_prefetch(ahead + offsetof(abi::Slot, stream));
        __builtin_prefetch(ahead + offsetof(abi::Slot, config));
        __builtin_prefetch(ahead + offsetof(abi::Slot, config) + 64);
        if (!add_slot(view, slot, batch, pieces))
            return false;
    }
    return true;
}

} // namespace ringmix::core
