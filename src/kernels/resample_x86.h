// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample_x86.h: what the x86 variants of resample.h share. Included like resample_tile.h.

#pragma once

#include <cstdint>
#include <immintrin.h>

namespace ringmix::kernels {
namespace {

// While it lives, this thread's SSE arithmetic rounds to nearest and traps nothing, whatever the program that we
// are loaded into has set. The clobbers keep loads and stores, and with them the arithmetic between, inside.
class RoundNearest {
public:
    RoundNearest() noexcept
    {
        constexpr std::uint32_t masked_nearest = 0x1f80;
        asm volatile("stmxcsr %0" : "=m"(before_) : : "memory");
        asm volatile("ldmxcsr %0" : : "m"(masked_nearest) : "memory");
    }
    ~RoundNearest() { asm volatile("ldmxcsr %0" : : "m"(before_) : "memory"); }
    RoundNearest(const RoundNearest&) = delete;
    RoundNearest& operator=(const RoundNearest&) = delete;

private:
    std::uint32_t before_;
};

// Four sums as samples of abi::format_s32_high.
inline __m128i high_ints(__m128 sums) noexcept
{
    const __m128 scaled = _mm_mul_ps(sums, _mm_set1_ps(0x1p29f));
    return _mm_cvtps_epi32(_mm_min_ps(scaled, _mm_set1_ps(0x7fffff80))); // too low becomes the lowest by itself
}

} // namespace
} // namespace ringmix::kernels
