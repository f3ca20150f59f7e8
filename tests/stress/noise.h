// SPDX-License-Identifier: LGPL-2.1-or-later
//
// noise.h: samples that follow from a key and their place alone, so that a few numbers in the journal
// tell all of them. tests/stress/journal.py makes the same ones.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ringmix::stress {

// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
inline std::uint64_t scattered(std::uint64_t x) noexcept
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// In 32-bit scale, at most an eighth of full scale.
inline std::int32_t noise(std::uint64_t key, std::int64_t position, unsigned channel) noexcept
{
    const std::uint64_t place = static_cast<std::uint64_t>(position) * 32 + channel;
    return static_cast<std::int32_t>(scattered(key ^ place) >> 32) >> 3;
}

enum Format : int { format_u8, format_s16, format_s24, format_s24_3, format_s32, format_float, formats };
inline constexpr std::size_t sample_bytes[formats] = {1, 2, 4, 3, 4, 4};

// The sample in this format, rounded towards minus infinity.
inline void put_sample(std::byte* at, int format, std::int32_t sample) noexcept
{
    std::uint32_t word = 0;
    switch (format) {
    case format_u8:
        word = static_cast<std::uint32_t>((sample >> 24) + 128);
        break;
    case format_s16:
        word = static_cast<std::uint32_t>(sample >> 16);
        break;
    case format_s24: // what lies in the upper byte must not matter
        word = (static_cast<std::uint32_t>(sample >> 8) & 0xffffff) | static_cast<std::uint32_t>(sample) << 24;
        break;
    case format_s24_3:
        word = static_cast<std::uint32_t>(sample >> 8);
        break;
    case format_float: {
        const float value = static_cast<float>(sample >> 8) * 0x1p-23f; // exact
        std::memcpy(&word, &value, sizeof word);
        break;
    }
    default:
        word = static_cast<std::uint32_t>(sample);
    }
    std::memcpy(at, &word, sample_bytes[format]);
}

} // namespace ringmix::stress
