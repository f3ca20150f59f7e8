// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample_load.h: a client's samples as floats. Plain loops, in integers where it matters, which the compiler
// makes vectors of: every file of an instruction set gets a copy of its own.

#pragma once

#include "kernels/resample.h"

namespace ringmix::kernels {
namespace {

template <class Word> Word word_at(const std::byte* at) noexcept
{
    Word word;
    __builtin_memcpy(&word, at, sizeof word);
    return word;
}

struct FromU8 {
    static constexpr std::size_t bytes = 1;
    static float at(const std::byte* from) noexcept
    {
        return static_cast<float>(static_cast<int>(word_at<std::uint8_t>(from)) - 128) * 0x1p-7f;
    }
};
struct FromS16 {
    static constexpr std::size_t bytes = 2;
    static float at(const std::byte* from) noexcept
    {
        return static_cast<float>(word_at<std::int16_t>(from)) * 0x1p-15f;
    }
};
// The highest byte of the 32 bits may be anything.
struct FromS24 {
    static constexpr std::size_t bytes = 4;
    static float at(const std::byte* from) noexcept
    {
        return static_cast<float>(static_cast<std::int32_t>(word_at<std::uint32_t>(from) << 8) >> 8) * 0x1p-23f;
    }
};
struct FromS24In3 {
    static constexpr std::size_t bytes = 3;
    static float at(const std::byte* from) noexcept
    {
        const std::uint32_t high = std::uint32_t{word_at<std::uint16_t>(from + 1)} << 16;
        const std::uint32_t low = std::uint32_t{word_at<std::uint8_t>(from)} << 8;
        return static_cast<float>(static_cast<std::int32_t>(high | low) >> 8) * 0x1p-23f;
    }
};
struct FromS32 {
    static constexpr std::size_t bytes = 4;
    static float at(const std::byte* from) noexcept
    {
        return static_cast<float>(word_at<std::int32_t>(from)) * 0x1p-31f;
    }
};
// On the bits, which order sizes as the numbers do: nothing is signalled, and nothing depends on how the
// program has set its floating point. Numbers that are too small to be heard are taken for 0, since a
// decaying sound is full of them and processors are slow with the smallest.
struct FromFloat {
    static constexpr std::size_t bytes = 4;
    static float at(const std::byte* from) noexcept
    {
        constexpr std::uint32_t infinity = 0x7f800000;
        constexpr std::uint32_t most = (127u + 6) << 23;   // 64
        constexpr std::uint32_t least = (127u - 40) << 23; // 2^-40
        const auto bits = word_at<std::uint32_t>(from);
        const std::uint32_t size = bits & 0x7fffffff;
        std::uint32_t kept = size < most ? size : most;
        kept = size < least ? 0 : kept;
        kept = size > infinity ? 0 : kept;
        return __builtin_bit_cast(float, kept | (bits & 0x80000000));
    }
};

template <class From>
void load(float* __restrict to, const std::byte* from, std::size_t step, std::size_t samples) noexcept
{
    if (step == From::bytes) {
        for (std::size_t i = 0; i < samples; ++i)
            to[i] = From::at(from + i * From::bytes);
        return;
    }
    for (std::size_t i = 0; i < samples; ++i)
        to[i] = From::at(from + i * step);
}

template <class From>
void load_pair(float* __restrict left, float* __restrict right, const std::byte* from, std::size_t frames) noexcept
{
    for (std::size_t i = 0; i < frames; ++i) {
        left[i] = From::at(from + (2 * i) * From::bytes);
        right[i] = From::at(from + (2 * i + 1) * From::bytes);
    }
}

} // namespace
} // namespace ringmix::kernels
