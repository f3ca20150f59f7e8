// SPDX-License-Identifier: LGPL-2.1-or-later
//
// kernels.h: the arithmetic of mix.h for many lanes at once, in one variant per instruction set.
// Pure functions on arrays: no allocation, noexcept, any thread. All variants give the same bits (but for
// those of resample.h).
//
// Lanes are flat arrays of samples here: channel maps and fades are recombine.cpp's business. A
// kernel takes a tile of a few dozen samples at a time and adds up all lanes in registers, so that
// sums are written once and not once per lane. At most max_slots lanes at once: the sums' widths
// are made for that.
//
// The device's ring is only ever written, each byte once and in ascending order: it may be
// write-combined memory. Pointers may have any alignment; nothing is read beyond a lane's samples.
//
// The files of the instruction sets are compiled with flags of their own. They include this header
// and resample.h and no other of ours, and nothing that has inline functions: the linker keeps one copy of such a
// function for the whole program, and that copy must not be the one made of AVX instructions.

#pragma once

#include "kernels/resample.h"

#include <cstddef>
#include <cstdint>

namespace ringmix::kernels {

// The samples of one lane.
struct Source {
    const std::byte* cells;
    std::uint32_t gain; // fixed point, for add_gain only
};

inline constexpr std::size_t format_count = 8; // tables are indexed by abi::format_*; 0 is none

struct Table {
    // sums[i] += the sum of the lanes' samples i.
    using AddNarrow = void(std::int32_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept;
    using AddWide = void(std::int64_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept;
    // As finalize of mix.h, for narrow sums of at most 64 lanes; `wide` may be null.
    using Finalize = void(std::byte* out, const std::int32_t* narrow, const std::int64_t* wide,
                          std::size_t samples) noexcept;
    // wide[i] += narrow[i], in wide scale.
    using Fold = void(std::int64_t* wide, const std::int32_t* narrow, std::size_t samples) noexcept;
    // The soft clip of mix.h, in place.
    using Soften = void(std::int64_t* sums, std::size_t samples) noexcept;
    // The dither of mix.h, in place. `first_sample` is the number of sums[0]; `last_bit` is that of the
    // device's last bit in the sums: at most 52.
    using Dither = void(std::int64_t* sums, std::size_t samples, std::uint64_t first_sample,
                        std::uint32_t last_bit) noexcept;
    // Lanes of one format at unity gain straight to the device.
    using Mix = void(std::byte* out, const Source* lanes, std::size_t count, std::size_t samples) noexcept;
    using Copy = void(std::byte* out, const std::byte* lane, std::size_t bytes) noexcept;

    const char* name;                     // as in RINGMIX_SIMD
    AddNarrow* add_narrow[format_count];  // unity gain: U8, S16, S24, S24_3, otherwise null
    AddWide* add_wide[format_count];      // unity gain: S32, FLOAT, S32_HIGH, otherwise null
    AddWide* add_gain[format_count];      // all formats, each lane times its gain
    Finalize* finalize[format_count];     // S16, S24, S24_3, S32, FLOAT, otherwise null
    Mix* mix[format_count][format_count]; // [lane][device]; null: go through the sums
    Copy* copy;
    Fold* fold;
    Soften* soften;
    Dither* dither;
    const Resampling* resampling;
};

// The variants that this processor can run, best first, ended by null. The last one is plain C++.
const Table* const* usable() noexcept;

// The variant to use: the best one, or the one that the environment variable RINGMIX_SIMD names
// (plain, sse2, avx2, neon) if this processor has it. Chosen when the program or library is
// loaded; before that it is plain C++. Wait-free.
const Table& chosen() noexcept;

} // namespace ringmix::kernels
