// SPDX-License-Identifier: LGPL-2.1-or-later
//
// gain.h: a client's gain over time (abi::GainTable). Pure, noexcept, any thread.
//
// Whoever recombines a frame, and whenever, must find the same gain for it: a change begins at the
// commit horizon, and the line that led up to there stays in the table until it has been played.

#pragma once

#include "kernels/gain_line.h"
#include "ringmix/abi.h"

#include <array>
#include <cstdint>

namespace ringmix::core {

using kernels::gain_on;
using kernels::GainLine;

inline constexpr std::uint32_t max_gain = 16697825; // +12 dB (3.98), rounded up; sums have no room for more (mix.h)

struct GainCurve {
    std::array<std::uint64_t, abi::gain_points> frames{};
    std::array<std::uint32_t, abi::gain_points> gains{};

    static GainCurve constant(std::uint32_t gain) noexcept;
    bool flat() const noexcept;
    GainLine line_at(std::uint64_t frame) const noexcept;
    std::uint32_t at(std::uint64_t frame) const noexcept;
};

// This curve up to `start`, then a straight line to `target` that takes `length` frames. Forgets what
// was before `now`; with very many changes at once, also the earliest of the rest.
GainCurve with_ramp(const GainCurve& curve, std::uint64_t now, std::uint64_t start, std::uint64_t length,
                    std::uint32_t target) noexcept;

// The curve that is valid now: two readers that race with two changes see a mixture, and the blocks'
// versions moved. Untrusted numbers are clamped.
GainCurve read_gains(const abi::Slot& slot) noexcept;
// Makes `curve` the valid one. The server only; blocks from its changes on must be posted afterwards.
void publish_gains(abi::Slot& slot, const GainCurve& curve) noexcept;

} // namespace ringmix::core
