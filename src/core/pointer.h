// SPDX-License-Identifier: LGPL-2.1-or-later
//
// pointer.h: from the kernel's pointer, which wraps, to absolute frames, which do not. Pure, noexcept, any
// thread. The one place where that is done, for the server and for clients that ask the kernel themselves.
//
// The kernel's pointer counts frames from 0 since the stream was prepared, and wraps at its boundary: the ring
// doubled as often as that fits a long. A 32-bit program is told the same pointer modulo the boundary that
// fits its own long. So each boundary divides the larger ones, and the ring divides them all.

#pragma once

#include "core/sync_info.h"
#include "ringmix/abi.h"

#include <cstdint>

namespace ringmix::core {

// Where the kernel wraps the pointer that it tells a program whose longs have `long_bits` bits (32, 64).
constexpr std::uint64_t boundary_of(std::uint32_t ring_frames, unsigned long_bits) noexcept
{
    const std::uint64_t most = (std::uint64_t{1} << (long_bits - 1)) - 1 - ring_frames;
    std::uint64_t boundary = ring_frames;
    while (boundary <= most / 2)
        boundary *= 2;
    return boundary;
}

// Modulo this the pointers that this process reads and those that the server publishes are the same.
constexpr std::uint64_t pointer_wrap(const abi::Geometry& geometry, unsigned long_bits = 8 * sizeof(long)) noexcept
{
    const std::uint64_t own = boundary_of(geometry.ring_frames, long_bits);
    return geometry.boundary < own ? geometry.boundary : own;
}

struct PointerStep {
    std::uint64_t frame; // the absolute frame of the pointer; prepared_anew: that of `last`
    bool prepared_anew;  // the pointer went back: it counts from 0 again, and what `last` says is over
};

// The absolute frame at which the pointer is `hw_ptr` at `time_ns` (CLOCK_MONOTONIC), where it was at `last`
// before. `wrap`: pointer_wrap(), not 0.
//
// The pointer may wrap any number of times in between, if the device's clock is right to within half a wrap by
// then; it may stand still for less than half a wrap (where pointers have 32 bits that is some hours at
// 48 kHz: ask more often). More frames than can have been played in that time are taken for
// a step backwards. One by nearly a whole wrap cannot be told from a step forwards (where pointers have 32
// bits, for some seconds once in hours), and keeps its place in the ring all the same.
PointerStep frame_after(const SyncSnapshot& last, std::uint64_t hw_ptr, std::int64_t time_ns,
                        std::uint64_t wrap) noexcept;

} // namespace ringmix::core
