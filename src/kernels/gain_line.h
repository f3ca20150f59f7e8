// SPDX-License-Identifier: LGPL-2.1-or-later
//
// gain_line.h: a gain that changes in a straight line. Pure, constexpr, any thread.

#pragma once

#include "ringmix/abi.h"

#include <algorithm>
#include <cstdint>

namespace ringmix::kernels {

// A straight piece of a gain curve: gain(f) = from + (to - from) * (position of f) / length, rounded
// down. length 0: constant, `from`.
struct GainLine {
    std::uint32_t from = abi::unity_gain;
    std::uint32_t to = abi::unity_gain;
    std::uint64_t length = 0;
    std::uint64_t position = 0;            // of the frame that was asked for
    std::uint64_t end = ~std::uint64_t{0}; // frame at which it ends
};

// `line`'s gain `offset` frames behind its position.
constexpr std::uint32_t gain_on(const GainLine& line, std::uint64_t offset) noexcept
{
    if (line.length == 0)
        return line.from;
    const std::uint64_t position = std::min(line.position + offset, line.length);
    return static_cast<std::uint32_t>((line.from * (line.length - position) + line.to * position) / line.length);
}

} // namespace ringmix::kernels
