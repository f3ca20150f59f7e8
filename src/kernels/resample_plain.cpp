// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample.h in plain C++: four numbers at a time, which the compiler makes vectors of where it has any.

#include "kernels/resample_tile.h"

namespace ringmix::kernels {

extern const Resampling resampling_plain;

namespace {

struct Numbers {
    float of[4];
};

struct Plain {
    struct NoGuard {};
    using Float = Numbers;
    using Four = Numbers;
    using FloatGuard = NoGuard;
    struct Ints {
        std::int32_t of[4];
    };
    static constexpr std::size_t width = 4;

    static Float load(const float* at) noexcept { return {{at[0], at[1], at[2], at[3]}}; }
    static Float zero() noexcept { return {}; }
    static Float fill(float x) noexcept { return {{x, x, x, x}}; }
    static Float add(Float a, Float b) noexcept
    {
        return {{a.of[0] + b.of[0], a.of[1] + b.of[1], a.of[2] + b.of[2], a.of[3] + b.of[3]}};
    }
    static Float sub(Float a, Float b) noexcept
    {
        return {{a.of[0] - b.of[0], a.of[1] - b.of[1], a.of[2] - b.of[2], a.of[3] - b.of[3]}};
    }
    static Float add_product(Float sum, Float a, Float b) noexcept
    {
        return {{sum.of[0] + a.of[0] * b.of[0], sum.of[1] + a.of[1] * b.of[1], sum.of[2] + a.of[2] * b.of[2],
                 sum.of[3] + a.of[3] * b.of[3]}};
    }
    static float total(Float x) noexcept { return (x.of[0] + x.of[1]) + (x.of[2] + x.of[3]); }
    static Four totals(Float a, Float b, Float c, Float d) noexcept
    {
        return {{total(a), total(b), total(c), total(d)}};
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
        return {{to_int(sums.of[0]), to_int(sums.of[1]), to_int(sums.of[2]), to_int(sums.of[3])}};
    }
    static void store(std::int32_t* out, Ints x) noexcept { __builtin_memcpy(out, x.of, sizeof x.of); }
};

} // namespace

constinit const Resampling resampling_plain = make_resampling<Plain>("plain");

} // namespace ringmix::kernels
