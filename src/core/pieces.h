// SPDX-License-Identifier: LGPL-2.1-or-later
//
// pieces.h: which cells of which lanes are to be summed for a batch of frames. Part of recombine().
//
// Each number that comes from shared memory is checked on the way against the private geometry. This is done
// for each slot at each post, so it copies nothing that it does not need, and divides once.

#pragma once

#include "core/gain.h"
#include "core/validate.h"
#include "kernels/kernels.h"

namespace ringmix::core {

using kernels::Source;

// What must agree for lanes to be summed by one call of a kernel; one word, so that it is quickly compared.
class Kind {
public:
    Kind() noexcept = default; // of any value: lists of them are not cleared first
    constexpr Kind(std::uint32_t format, std::uint32_t channels, bool mapped, bool gain, bool fading) noexcept
        : bits_(format | channels << 8 | (mapped ? mapped_bit : 0) | (gain ? gain_bit : 0) | (fading ? fading_bit : 0))
    {
    }

    constexpr std::uint32_t format() const noexcept { return bits_ & 0xff; }
    constexpr std::uint32_t channels() const noexcept { return bits_ >> 8 & 0xff; }
    constexpr bool mapped() const noexcept { return (bits_ & mapped_bit) != 0; } // not channel for channel
    constexpr bool gain() const noexcept { return (bits_ & gain_bit) != 0; }     // not unity
    constexpr bool fading() const noexcept { return (bits_ & fading_bit) != 0; } // is summed for itself
    constexpr bool plain() const noexcept { return (bits_ & (mapped_bit | gain_bit | fading_bit)) == 0; }
    friend constexpr bool operator==(Kind, Kind) noexcept = default;

private:
    static constexpr std::uint32_t mapped_bit = 1u << 16;
    static constexpr std::uint32_t gain_bit = 1u << 17;
    static constexpr std::uint32_t fading_bit = 1u << 18;
    std::uint32_t bits_;
};

// Frames start ... end - 1 of the batch.
struct Span {
    std::uint32_t start;
    std::uint32_t end;
    constexpr std::uint32_t frames() const noexcept { return end - start; }
    friend constexpr bool operator==(Span, Span) noexcept = default;
};

// A piece is some neighbouring cells of a lane, with a gain that is constant or changes in one straight line. The list
// is one array per field: it is written and read in the order of its fields far more often than piece by piece.
struct Pieces {
    // The stream and the tail of each slot. Where lanes wrap and gains turn there are more pieces: if they do not
    // fit, the batch is done in parts. (This lies on the stack of an audio thread.)
    static constexpr std::size_t most = 2 * abi::max_slots;

    std::size_t count;
    bool alike;            // all are of one plain kind
    std::size_t cut_count; // pieces begin or end within the batch, at frames cuts[], in no order
    Span span[most];
    std::uint32_t offset[most]; // bytes into the arena to what would be the cell of the batch's first frame; wraps
    std::uint32_t frame_bytes[most];
    std::uint32_t gain[most];        // clamped; if fading at the beginning of its line, and
    std::uint32_t gain_to[most];     // ... the gain to which that leads,
    std::uint32_t line_frames[most]; // ... its length,
    std::int64_t line_start[most];   // ... and where it begins, in frames of the batch
    Kind kind[most];
    std::uint8_t slot[most];
    std::uint16_t cuts[2 * most];

    // Where a piece has, or would have, the cell of a frame of the batch: not to be read if it has not.
    Source source(const BoardView& view, std::size_t piece, std::uint32_t frame) const noexcept
    {
        const std::uint32_t cell = offset[piece] + frame * frame_bytes[piece];
        const auto arena = reinterpret_cast<std::uintptr_t>(view.arena);
        return {reinterpret_cast<const std::byte*>(arena + cell), gain[piece]};
    }
};

// The gain line of a fading piece, from frame `frame` of the batch on.
inline GainLine line_of(const Pieces& pieces, std::size_t piece, std::uint32_t frame) noexcept
{
    return {pieces.gain[piece], pieces.gain_to[piece], pieces.line_frames[piece],
            static_cast<std::uint64_t>(frame - pieces.line_start[piece])};
}

// What `slots` (a bit each) have in the batch of `frames` frames from `from` on. False: it did not fit,
// which happens only to nonsense (ranges longer than their tiny lanes); one frame always fits.
bool gather(const BoardView& view, std::uint64_t slots, std::uint64_t from, std::uint32_t frames,
            Pieces& pieces) noexcept;

} // namespace ringmix::core
