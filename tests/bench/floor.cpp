// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Compiled for AVX2 where the compiler can.
#include "tests/bench/dmix.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace ringmix::bench {

#ifdef __AVX2__

bool can_mix_floor() noexcept { return __builtin_cpu_supports("avx2") != 0; }

void mix_floor(const Areas& areas, std::size_t samples) noexcept
{
    const auto add = [](std::int32_t* sums, const std::int16_t* from) {
        auto* sum = reinterpret_cast<__m256i*>(sums);
        const __m256i more = _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
        const __m256i total = _mm256_add_epi32(_mm256_loadu_si256(sum), more);
        _mm256_storeu_si256(sum, total);
        return total;
    };
    for (std::size_t i = 0; i + 16 <= samples; i += 16) {
        const __m256i packed =
            _mm256_packs_epi32(add(areas.sums + i, areas.samples + i), add(areas.sums + i + 8, areas.samples + i + 8));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(areas.device + i), _mm256_permute4x64_epi64(packed, 0xd8));
    }
}

void read_lanes(const std::byte* const* lanes, std::size_t count, std::size_t samples) noexcept
{
    for (std::size_t lane = 0; lane < count; ++lane)
        for (std::size_t i = 0; i + 16 <= samples; i += 16) {
            const __m256i loaded = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes[lane] + i * 2));
            asm volatile("" : : "x"(loaded));
        }
}

#else

bool can_mix_floor() noexcept { return false; }

void mix_floor(const Areas&, std::size_t) noexcept {}

void read_lanes(const std::byte* const*, std::size_t, std::size_t) noexcept {}

#endif

} // namespace ringmix::bench
