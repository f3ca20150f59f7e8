// SPDX-License-Identifier: LGPL-2.1-or-later
//
// frames.h: absolute frame numbers and stretches of them. Pure, constexpr, any thread.

#pragma once

#include <algorithm>
#include <cstdint>

namespace ringmix::core {

// The frames start ... end - 1.
struct Extent {
    std::uint64_t start = 0;
    std::uint64_t end = 0;

    constexpr bool empty() const noexcept { return end <= start; }
    constexpr std::uint64_t length() const noexcept { return empty() ? 0 : end - start; }
    friend constexpr bool operator==(const Extent&, const Extent&) = default;
};

constexpr Extent intersection(Extent a, Extent b) noexcept
{
    return {std::max(a.start, b.start), std::min(a.end, b.end)};
}

// An extent in one 64-bit word, so that readers never see an old start with a new end: the end's low
// 40 bits above 24 bits of length. Word 0 is "empty". A longer extent keeps its newest frames.
inline constexpr unsigned extent_length_bits = 24;
inline constexpr std::uint64_t max_extent_frames = (std::uint64_t{1} << extent_length_bits) - 1;
inline constexpr std::uint64_t extent_end_mask = (std::uint64_t{1} << 40) - 1;

constexpr std::uint64_t pack(Extent extent) noexcept
{
    if (extent.empty())
        return 0;
    return (extent.end & extent_end_mask) << extent_length_bits | std::min(extent.length(), max_extent_frames);
}

// The extent in `word`; of all ends with the same low 40 bits the one nearest to frame `near`
// (half of 2^40 frames is a month at 192 kHz).
constexpr Extent unpack(std::uint64_t word, std::uint64_t near) noexcept
{
    const std::uint64_t length = word & max_extent_frames;
    if (length == 0)
        return {};
    constexpr std::uint64_t half = std::uint64_t{1} << 39;
    std::uint64_t ahead = ((word >> extent_length_bits) - near) & extent_end_mask;
    const std::uint64_t end = ahead < half || near + ahead < (half << 1) ? near + ahead : near + ahead - (half << 1);
    return {end > length ? end - length : 0, end};
}

// The same of a word that may be very old: it is told apart for nearly 2^40 frames, for its end is not more than this
// (a day at 48 kHz) ahead of `now`.
inline constexpr std::uint64_t most_ahead_frames = std::uint64_t{1} << 32;
constexpr Extent unpack_old(std::uint64_t word, std::uint64_t now) noexcept
{
    return unpack(word, now - std::min(now, (std::uint64_t{1} << 39) - most_ahead_frames));
}

// The first frame at the same place of a ring of `ring` frames as `frame` that is not before `now`.
constexpr std::uint64_t next_turn(std::uint64_t frame, std::uint64_t now, std::uint64_t ring) noexcept
{
    return frame >= now ? frame : frame + (now - frame + ring - 1) / ring * ring;
}

} // namespace ringmix::core
