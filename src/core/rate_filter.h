// SPDX-License-Identifier: LGPL-2.1-or-later
//
// rate_filter.h: the low-pass filter of a conversion between two rates: a sinc, cut at half the lower rate and
// faded out with Kaiser's window, sampled at every phase that a frame can have (polyphase).
//
// Where that would be too many rows, it is sampled at 2048 phases (fewer to lower rates), and frames between them get
// numbers between (linearly). A frame's place is exact in either case, and with it the pitch; only the noise differs:
// what the straight lines miss is 137 dB below a sound at 0.41 of the rate, and less below that.
//
// What it does (tests/core/test_rate_filter.cpp, docs/rates.md), in parts of the lower rate:
//
//               taps   flat within 0.01 dB up to   -6 dB at   120 dB down from
//   96 taps      96               0.454              0.49          0.54
//   64 taps      64               0.42               0.48          0.55
//
// The long one is for lower rates from 32 to below 48 kHz, where 0.42 is less than what can be heard. To
// lower rates the filter grows with the ratio.
//
// Pure, noexcept, any thread. The design takes some hundred microseconds, a millisecond or two for the
// largest: at set-up, not while something plays.

#pragma once

#include "core/rate_map.h"
#include "kernels/resample.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringmix::core {

struct FilterShape {
    RateRatio ratio;
    std::uint32_t taps = 0;   // a multiple of kernels::tap_multiple
    std::uint32_t rows = 0;   // phases at which it is sampled
    double cutoff = 0;        // where it has -6 dB, in parts of the client's rate
    double window = 0;        // beta of Kaiser's window
    double window_frames = 0; // from end to end: at most `taps`

    // As many as the ratio has phases: no frame lies between rows.
    bool exact() const noexcept { return rows == ratio.phases; }
    std::size_t numbers() const noexcept { return (std::size_t{rows} + 1) * taps; }

    friend bool operator==(const FilterShape&, const FilterShape&) = default;
};

// Both rates from 1 kHz to 1 MHz.
FilterShape filter_shape(std::uint32_t client_rate, std::uint32_t device_rate) noexcept;

// Row r, tap t at numbers[r * taps + t]: what client frame first_tap + t counts for in a frame at phase r / rows;
// one row more, for those between. `numbers` has shape.numbers() elements.
void design_filter(const FilterShape& shape, std::span<float> numbers) noexcept;

// For the kernels: `numbers` as designed.
kernels::FilterRows filter_rows(const FilterShape& shape, const float* numbers) noexcept;
// From the frame with `phase` (RateMap::moment) on; its first tap is sample `tap`.
kernels::ResampleWalk resample_walk(const FilterShape& shape, std::uint32_t phase, std::size_t tap) noexcept;

} // namespace ringmix::core
