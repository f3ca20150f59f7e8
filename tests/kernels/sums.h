// SPDX-License-Identifier: LGPL-2.1-or-later
//
// sums.h: from the exact sum of all lanes to the sample that the device must play: written from the
// definitions in kernels/mix.h, in 128 bits, without anything of src/kernels.

#pragma once

#include "ringmix/abi.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ringmix::test {

__extension__ using Exact = __int128;

// `count` bytes as a signed little endian number.
inline std::int64_t number(const std::byte* at, std::size_t count)
{
    std::int64_t value = 0;
    for (std::size_t i = 0; i < count; ++i)
        value += std::to_integer<std::int64_t>(at[i]) << (8 * i);
    const std::int64_t sign = std::int64_t{1} << (8 * count - 1);
    return value >= sign ? value - 2 * sign : value;
}

// A sample of a lane, as a 32-bit number.
inline std::int64_t sample32(const std::byte* at, std::uint32_t format)
{
    switch (format) {
    case abi::format_u8:
        return (std::to_integer<std::int64_t>(*at) - 128) << 24;
    case abi::format_s16:
        return number(at, 2) << 16;
    case abi::format_s24:
    case abi::format_s24_3:
        return number(at, 3) << 8;
    case abi::format_s32:
        return number(at, 4);
    case abi::format_s32_high:
        return number(at, 4) * 4;
    default: {
        float value;
        std::memcpy(&value, at, sizeof value);
        if (std::isnan(value))
            return 0;
        const double rounded = std::floor(std::clamp<double>(value, -2, 2) * 0x1p31 + 0.5);
        return static_cast<std::int64_t>(std::clamp(rounded, -0x1p31, 0x1p31 - 1));
    }
    }
}

// Sums have a full scale of 2^53.
constexpr Exact full_scale = Exact{1} << 53;

// Rounded down, as the shifts in the definitions do.
constexpr Exact divided(Exact a, Exact b) { return a / b - (a % b < 0 ? 1 : 0); }

// What one unit of an integer device is in a sum.
constexpr Exact unit_of(std::uint32_t format)
{
    const int bits = format == abi::format_s16 ? 16 : format == abi::format_s32 ? 32 : 24;
    return full_scale / (Exact{1} << (bits - 1));
}

// The soft clip.
constexpr Exact soft(Exact sum)
{
    const Exact size = std::min(sum < 0 ? -sum : sum, 3 * full_scale / 2);
    const Exact left = divided(3 * full_scale / 2 - size, 1 << 22);
    const Exact played = size <= full_scale / 2 ? size : full_scale - divided(left * left, 1 << 10);
    return sum < 0 ? -played : played;
}

// Number `n` of SplitMix64 from seed 0.
constexpr std::uint64_t random_number(std::uint64_t n)
{
    std::uint64_t z = 0x9e3779b97f4a7c15u * n + 0x9e3779b97f4a7c15u;
    z ^= z >> 30;
    z *= 0xbf58476d1ce4e5b9u;
    z ^= z >> 27;
    z *= 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// The noise that sample `n` gets if it must be rounded.
constexpr Exact noise(std::uint64_t n, std::uint32_t format)
{
    const std::uint64_t word = random_number(n);
    const Exact halves = Exact{word >> 32} + Exact{word % (std::uint64_t{1} << 32)};
    return divided((halves - (Exact{1} << 32)) * unit_of(format), Exact{1} << 32);
}

constexpr Exact dithered(Exact sum, std::uint64_t n, std::uint32_t format)
{
    return sum % unit_of(format) == 0 ? sum : sum + noise(n, format);
}

// The float next to sum / 2^53, the even one of two.
inline float float_sample(Exact sum)
{
    sum = std::clamp(sum, -full_scale, full_scale - (1 << 22));
    const Exact size = sum < 0 ? -sum : sum;
    int shift = 0; // that leaves 24 bits
    while (size >> shift >= Exact{1} << 24)
        ++shift;
    const Exact unit = Exact{1} << shift;
    const Exact rest = 2 * (size % unit);
    Exact mantissa = size / unit;
    mantissa += rest > unit || (rest == unit && mantissa % 2 != 0) ? 1 : 0;
    const auto sample = static_cast<float>(std::ldexp(static_cast<double>(mantissa), shift - 53)); // exact
    return sum < 0 ? -sample : sample;
}

// A sum as the device's sample; the bits of a FLOAT as a number.
inline std::int64_t device_sample(Exact sum, std::uint32_t format)
{
    if (format == abi::format_float)
        return std::bit_cast<std::int32_t>(float_sample(sum));
    const Exact unit = unit_of(format);
    const Exact top = full_scale / unit;
    return static_cast<std::int64_t>(std::clamp(divided(sum + unit / 2, unit), -top, top - 1));
}

// The same with what the device asks for; `n` is the number of the sample.
inline std::int64_t device_sample(Exact sum, const abi::Geometry& device, std::uint64_t n)
{
    if (device.clip == abi::clip_soft)
        sum = soft(sum);
    if (device.dither == abi::dither_tpdf)
        sum = dithered(sum, n, device.format);
    return device_sample(sum, device.format);
}

} // namespace ringmix::test
