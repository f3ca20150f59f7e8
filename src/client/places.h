// SPDX-License-Identifier: LGPL-2.1-or-later
//
// places.h: the three ways to say where a frame of a stream is, as types that do not mix. Pure.
//
//   Position  of the stream: 0 is the first frame written after it was prepared; goes on over pauses
//   Frame     absolute, of the device: 0 is the first that it played; the same for everybody
//   Cell      of the lane: where the samples lie, 0 ... lane_frames - 1
//
// Position and Cell belong together from one prepare to the next; Position and Frame from one start to the
// next stop. None of them wraps in practice (64 bits); differences are signed.

#pragma once

#include <compare>
#include <cstdint>

namespace ringmix::client {

template <class Kind> struct Place {
    std::uint64_t value = 0;

    friend constexpr auto operator<=>(Place, Place) noexcept = default;
    friend constexpr Place operator+(Place place, std::uint64_t frames) noexcept { return {place.value + frames}; }
    friend constexpr Place operator-(Place place, std::uint64_t frames) noexcept { return {place.value - frames}; }
    // Frames from `b` to `a`; negative if `a` is before `b`.
    friend constexpr std::int64_t operator-(Place a, Place b) noexcept
    {
        return static_cast<std::int64_t>(a.value - b.value);
    }
};

using Position = Place<struct PositionKind>;
using Frame = Place<struct FrameKind>;
using Cell = Place<struct CellKind>;

} // namespace ringmix::client
