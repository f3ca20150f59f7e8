// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample.h: from a client's samples to those of a lane at the device's rate, in one variant per
// instruction set (part of kernels.h's tables). Pure functions on arrays: no allocation, noexcept, any thread.
//
// A frame of the lane is the sum of a row of the filter, each number times the sample under it; there is no
// state. The additions of a frame are done in one fixed order, whatever was asked for with it: a frame is
// the same to the bit in any call of the same variant. (Between variants its last bits differ.)
//
// Included by the files of the instruction sets, like kernels.h: nothing here may have an inline function.

#pragma once

#include <cstddef>
#include <cstdint>

namespace ringmix::kernels {

inline constexpr std::size_t resample_formats = 7; // abi::format_u8 ... format_float; 0 is none
inline constexpr std::uint32_t tap_multiple = 16;  // of taps in a row

// A filter's rows (core/rate_filter.h), and how a frame finds its own.
struct FilterRows {
    const float* rows; // [count + 1][taps]
    std::uint32_t taps;
    std::uint32_t count;
    std::uint32_t parts; // frames may lie between rows: rest / parts of the way to the next one; 1: none does
};

// Which samples and which row make a frame, and how far it is to the next frame's.
struct ResampleWalk {
    std::size_t tap;    // index of the first sample
    std::uint32_t row;  // below count
    std::uint32_t rest; // below parts
    std::size_t tap_step;
    std::uint32_t row_step;
    std::uint32_t rest_step;
    std::size_t end = ~std::size_t{0}; // samples from this index on are all 0: for most of them nothing is added
};

struct Resampling {
    // Samples of a format as floats, full scale 1.0: `samples` of them, `step` bytes apart. Floats are cut at
    // +-64; what is no number, or less than 2^-40, becomes 0.
    using Load = void(float* to, const std::byte* from, std::size_t step, std::size_t samples) noexcept;
    // The same for stereo frames that lie side by side.
    using LoadPair = void(float* left, float* right, const std::byte* from, std::size_t frames) noexcept;
    // `frames` frames of interleaved abi::format_s32_high, of samples that lie in one plane per channel,
    // `plane` floats apart. Cut at the format's limits.
    using Resample = void(std::int32_t* out, std::size_t channels, const float* samples, std::size_t plane,
                          const FilterRows& filter, ResampleWalk walk, std::size_t frames) noexcept;

    Load* load[resample_formats];
    LoadPair* load_pair[resample_formats];
    Resample* resample;
};

} // namespace ringmix::kernels
