// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample.h for processors with AVX2 and FMA.

#include "kernels/resample_tile.h"
#include "kernels/resample_x86.h"

namespace ringmix::kernels {

extern const Resampling avx2_resampling;

namespace {

struct Avx2 {
    using Float = __m256;
    using Four = __m128;
    using FloatGuard = RoundNearest;
    static constexpr std::size_t width = 8;

    static Float load(const float* at) noexcept { return _mm256_loadu_ps(at); }
    static Float zero() noexcept { return _mm256_setzero_ps(); }
    static Float fill(float x) noexcept { return _mm256_set1_ps(x); }
    static Float add(Float a, Float b) noexcept { return _mm256_add_ps(a, b); }
    static Float sub(Float a, Float b) noexcept { return _mm256_sub_ps(a, b); }
    static Float add_product(Float sum, Float a, Float b) noexcept { return _mm256_fmadd_ps(a, b, sum); }
    static Four totals(Float a, Float b, Float c, Float d) noexcept
    {
        const Float sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        return _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
    }
    static __m128i to_ints(Four sums) noexcept { return high_ints(sums); }
    static void store(std::int32_t* out, __m128i x) noexcept { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), x); }
};

} // namespace

constinit const Resampling avx2_resampling = make_resampling<Avx2>();

} // namespace ringmix::kernels
