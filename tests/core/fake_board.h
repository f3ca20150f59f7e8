// SPDX-License-Identifier: LGPL-2.1-or-later
//
// fake_board.h: an instance without a server: board, arena and ring in private memory, fenced in by
// guard pages and canaries, and a playhead that a test sets.

#pragma once

#include "core/format.h"
#include "core/post.h"

#include "tests/kernels/guarded.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>

namespace ringmix::test {

inline abi::Geometry geometry(std::uint32_t format, std::uint32_t channels, std::uint32_t ring_frames,
                              std::uint64_t arena_bytes)
{
    abi::Geometry g{};
    g.device_kind = abi::device_virtual;
    g.format = format;
    g.channels = channels;
    g.rate = 48000;
    g.period_frames = ring_frames / 4;
    g.ring_frames = ring_frames;
    g.margin_frames = ring_frames / 16;
    g.reach_frames = ring_frames - ring_frames / 8;
    g.blocks = (ring_frames + abi::block_frames - 1) / abi::block_frames;
    g.cycle_ns = 10'000'000;
    g.ring_bytes = std::uint64_t{ring_frames} * channels * core::sample_bytes(format);
    g.arena_bytes = arena_bytes;
    return g;
}

// The same with soft clipping and dither.
inline abi::Geometry shaped(abi::Geometry g, std::uint32_t clip, std::uint32_t dither)
{
    g.clip = clip;
    g.dither = dither;
    return g;
}

class FakeBoard {
public:
    explicit FakeBoard(const abi::Geometry& g, bool at_start = false)
        : memory_(core::board_bytes(g)), arena_(g.arena_bytes, at_start), ring_(g.ring_bytes, at_start)
    {
        auto* board = new (memory_.data()) abi::Board;
        board->identity.magic = abi::magic;
        board->identity.major = abi::major_version;
        board->identity.minor = abi::minor_version;
        board->identity.board_bytes = memory_.size();
        board->geometry = g;
        board->identity.ready.store(1, std::memory_order_release);
        if (core::validate_board(memory_.data(), memory_.size(), view_) != nullptr)
            std::abort();
        view_.arena = arena_.data();
        view_.ring = ring_.data();
    }

    const core::BoardView& view() const noexcept { return view_; }
    abi::Board& board() const noexcept { return *view_.board; }
    abi::Slot& slot(std::uint32_t i) const noexcept { return view_.board->slots[i]; }
    std::byte* memory() const noexcept { return memory_.data(); }
    std::size_t memory_bytes() const noexcept { return memory_.size(); }
    std::byte* ring() const noexcept { return ring_.data(); }
    std::byte* arena() const noexcept { return arena_.data(); }
    bool intact() const noexcept { return memory_.intact() && arena_.intact() && ring_.intact(); }

    // Where the playhead is; `on_look` runs at each look at it.
    std::uint64_t published = 0;
    std::uint64_t now = 0;
    std::function<void()> on_look;
    core::Playhead playhead() const noexcept
    {
        return {[](const void* self) noexcept {
                    const auto* board = static_cast<const FakeBoard*>(self);
                    if (board->on_look)
                        board->on_look();
                    return board->published;
                },
                [](const void* self) noexcept { return static_cast<const FakeBoard*>(self)->now; }, this};
    }

private:
    Guarded memory_;
    Guarded arena_;
    Guarded ring_;
    core::BoardView view_;
};

} // namespace ringmix::test
