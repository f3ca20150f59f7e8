// SPDX-License-Identifier: LGPL-2.1-or-later
//
// shape.h: what may be done to the sums before they go to the device, and devices that take
// FLOAT. Plain loops in integers (and floats only where nothing is ever rounded), which the compiler makes
// vectors of: every file of an instruction set gets a copy of its own, like that of tile.h.

#pragma once

#include "kernels/kernels.h"

namespace ringmix::kernels {
namespace {

inline constexpr std::uint64_t full_scale = std::uint64_t{1} << 53; // of wide sums

// Sums wrap, as everywhere: nonsense in a lane's gain is noise.
inline void fold_sums(std::int64_t* __restrict wide, const std::int32_t* __restrict narrow,
                      std::size_t samples) noexcept
{
    for (std::size_t i = 0; i < samples; ++i) {
        const auto more = static_cast<std::uint64_t>(std::int64_t{narrow[i]}) << 30;
        wide[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(wide[i]) + more);
    }
}

inline void soften_sums(std::int64_t* sums, std::size_t samples) noexcept
{
    constexpr std::uint64_t knee = full_scale / 2; // -6 dB: up to here nothing changes
    constexpr std::uint64_t flat = 3 * knee;       // +3.5 dB: from here on it is full scale
    for (std::size_t i = 0; i < samples; ++i) {
        const auto sign = static_cast<std::uint64_t>(sums[i] >> 63);
        const std::uint64_t size = (static_cast<std::uint64_t>(sums[i]) ^ sign) - sign;
        const std::uint64_t most = size < flat ? size : flat;
        const std::uint64_t left = (flat - most) >> 22; // below 2^32
        const std::uint64_t bent = full_scale - ((left * left) >> 10);
        const std::uint64_t soft = most <= knee ? most : bent;
        sums[i] = static_cast<std::int64_t>((soft ^ sign) - sign);
    }
}

// Number n of the generator SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", 2014) with seed 0: a function of n alone.
inline std::uint64_t random_word(std::uint64_t n) noexcept
{
    std::uint64_t z = (n + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

inline void dither_sums(std::int64_t* sums, std::size_t samples, std::uint64_t first_sample,
                        std::uint32_t last_bit) noexcept
{
    const std::uint64_t unit = std::uint64_t{1} << last_bit;
    const std::uint32_t left = last_bit > 32 ? last_bit - 32 : 0;
    const std::uint32_t right = last_bit > 32 ? 0 : 32 - last_bit;
    for (std::size_t i = 0; i < samples; ++i) {
        const std::uint64_t word = random_word(first_sample + i);
        const std::uint64_t two = (word >> 32) + (word & 0xffffffff); // 0 ... 2 units, most often 1
        const std::uint64_t noise = ((two << left) >> right) - unit;
        const auto sum = static_cast<std::uint64_t>(sums[i]);
        sums[i] = static_cast<std::int64_t>((sum & (unit - 1)) == 0 ? sum : sum + noise);
    }
}

inline void put_word(std::byte* out, std::uint32_t word) noexcept { __builtin_memcpy(out, &word, sizeof word); }

// A narrow sum that is not over has 24 bits, as many as a float.
inline void finalize_narrow_float(std::byte* __restrict out, const std::int32_t* __restrict narrow,
                                  std::size_t samples) noexcept
{
    for (std::size_t i = 0; i < samples; ++i) {
        std::int32_t sum = narrow[i] < 0x800000 ? narrow[i] : 0x800000;
        sum = sum > -0x800000 ? sum : -0x800000;
        const float sample = static_cast<float>(sum) * 0x1p-23f;
        __builtin_memcpy(out + 4 * i, &sample, sizeof sample);
    }
}

// By way of doubles, which hold the clamped sum exactly. Their bits are then rounded (to nearest, halves
// to even) as integers, so that it does not matter what rounding mode the program has set.
inline void finalize_wide_float(std::byte* __restrict out, const std::int32_t* __restrict narrow,
                                const std::int64_t* __restrict wide, std::size_t samples) noexcept
{
    constexpr auto top = static_cast<std::int64_t>(full_scale - (std::uint64_t{1} << 22));
    constexpr auto bottom = -static_cast<std::int64_t>(full_scale);
    constexpr std::uint64_t dropped = 52 - 23;                 // bits of the mantissa
    constexpr std::uint32_t rebias = (1023 - 127 + 53u) << 23; // and full scale is 1.0
    for (std::size_t i = 0; i < samples; ++i) {
        const auto more = static_cast<std::uint64_t>(std::int64_t{narrow[i]}) << 30;
        auto sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(wide[i]) + more);
        sum = sum < top ? sum : top;
        sum = sum > bottom ? sum : bottom;
        // In two halves of 27 bits: that is what all processors can convert many of at once.
        const auto shifted = static_cast<std::uint64_t>(sum) + full_scale;
        const auto high = static_cast<std::int32_t>(shifted >> 27) - (1 << 26);
        const auto low = static_cast<std::int32_t>(shifted & 0x7ffffff);
        const double exact = static_cast<double>(high) * 0x1p27 + static_cast<double>(low);
        const auto bits = __builtin_bit_cast(std::uint64_t, exact);
        const std::uint64_t size = bits & 0x7fffffffffffffff;
        const std::uint64_t half = ((std::uint64_t{1} << (dropped - 1)) - 1) + ((size >> dropped) & 1);
        const auto rounded = static_cast<std::uint32_t>((size + half) >> dropped) - rebias;
        const auto sign = static_cast<std::uint32_t>(bits >> 32) & 0x80000000;
        put_word(out + 4 * i, size == 0 ? 0 : rounded | sign);
    }
}

inline void finalize_float(std::byte* out, const std::int32_t* narrow, const std::int64_t* wide,
                           std::size_t samples) noexcept
{
    if (wide == nullptr)
        return finalize_narrow_float(out, narrow, samples);
    finalize_wide_float(out, narrow, wide, samples);
}

} // namespace
} // namespace ringmix::kernels
