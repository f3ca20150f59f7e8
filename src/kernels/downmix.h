// SPDX-License-Identifier: LGPL-2.1-or-later
//
// downmix.h: sums of channels, and such sums as samples of a lane. Pure functions on arrays of floats: no
// allocation, noexcept, any thread. The additions of a frame are done in the order of the calls, whatever was asked
// for with it.

#pragma once

#include <cstddef>
#include <cstdint>

namespace ringmix::kernels {

// sums[i] += weight * samples[i].
void add_weighted(float* sums, const float* samples, float weight, std::size_t frames) noexcept;

// Samples as abi::format_s32_high, `step` of these apart; cut at the format's limits, rounded towards 0 (by 1/32 of
// the last bit of a float at full scale).
void store_high(std::int32_t* out, std::size_t step, const float* samples, std::size_t frames) noexcept;

} // namespace ringmix::kernels
