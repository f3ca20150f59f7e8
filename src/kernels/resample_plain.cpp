// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample.h in plain C++: four numbers at a time, which the compiler makes vectors of where it has any.

#include "kernels/resample_tile.h"

namespace ringmix::kernels {

extern const Resampling plain_resampling;

namespace {

// The compiler's own vectors: of whatever the processor has, or numbers one by one.
using Numbers [[gnu::vector_size(16)]] = float;

struct Plain {
    struct NoGuard {};
    using Float = Numbers;
    using Four = Numbers;
    using FloatGuard = NoGuard;
    struct Ints {
        std::int32_t of[4];
    };
    static constexpr std::size_t width = 4;

    static Float load(const float* at) noexcept
    {
        Float x;
        __builtin_memcpy(&x, at, sizeof x);
        return x;
    }
    static Float zero() noexcept { return Float{}; }
    static Float fill(float x) noexcept { return Float{x, x, x, x}; }
    static Float add(Float a, Float b) noexcept { return a + b; }
    static Float sub(Float a, Float b) noexcept { return a - b; }
    static Float add_product(Float sum, Float a, Float b) noexcept { return sum + a * b; }
    static float total(Float x) noexcept { return (x[0] + x[1]) + (x[2] + x[3]); }
    static Four totals(Float a, Float b, Float c, Float d) noexcept
    {
        return Four{total(a), total(b), total(c), total(d)};
    }
    // Halves away from 0. The part behind the point is exact where there is one.
    static std::int32_t to_int(float sum) noexcept
    {
        float scaled = sum * 0x1p29f;
        scaled = scaled < 0x7fffff80 ? scaled : 0x7fffff80;
        scaled = scaled > -0x1p31f ? scaled : -0x1p31f;
        const auto whole = static_cast<std::int32_t>(scaled);
        const float behind = scaled - static_cast<float>(whole);
        return whole + (behind >= 0.5f) - (behind <= -0.5f);
    }
    static Ints to_ints(Four sums) noexcept
    {
        return {{to_int(sums[0]), to_int(sums[1]), to_int(sums[2]), to_int(sums[3])}};
    }
    static void store(std::int32_t* out, Ints x) noexcept { __builtin_memcpy(out, x.of, sizeof x.of); }
};

} // namespace

constinit const Resampling plain_resampling = make_resampling<Plain>();

} // namespace ringmix::kernels
