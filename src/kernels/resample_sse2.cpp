// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample.h for processors with SSE2.

#include "kernels/resample_tile.h"
#include "kernels/resample_x86.h"

namespace ringmix::kernels {

extern const Resampling sse2_resampling;

namespace {

struct Sse2 {
    using Float = __m128;
    using Four = __m128;
    using FloatGuard = RoundNearest;
    static constexpr std::size_t width = 4;

    static Float load(const float* at) noexcept { return _mm_loadu_ps(at); }
    static Float zero() noexcept { return _mm_setzero_ps(); }
    static Float fill(float x) noexcept { return _mm_set1_ps(x); }
    static Float add(Float a, Float b) noexcept { return _mm_add_ps(a, b); }
    static Float sub(Float a, Float b) noexcept { return _mm_sub_ps(a, b); }
    static Float add_product(Float sum, Float a, Float b) noexcept { return _mm_add_ps(sum, _mm_mul_ps(a, b)); }
    static Four totals(Float a, Float b, Float c, Float d) noexcept
    {
        _MM_TRANSPOSE4_PS(a, b, c, d);
        return _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d));
    }
    static __m128i to_ints(Four sums) noexcept { return high_ints(sums); }
    static void store(std::int32_t* out, __m128i x) noexcept { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), x); }
};

} // namespace

constinit const Resampling sse2_resampling = make_resampling<Sse2>();

} // namespace ringmix::kernels
