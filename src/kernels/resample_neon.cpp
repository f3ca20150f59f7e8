// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample.h for 64-bit ARM, where every processor has NEON.

#include "kernels/resample_tile.h"

#include <arm_neon.h>

namespace ringmix::kernels {

extern const Resampling neon_resampling;

namespace {

// While it lives, this thread's arithmetic rounds to nearest and traps nothing, whatever the program that we are
// loaded into has set.
class RoundNearest {
public:
    RoundNearest() noexcept
    {
        asm volatile("mrs %0, fpcr" : "=r"(before_) : : "memory");
        asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}) : "memory");
    }
    ~RoundNearest() { asm volatile("msr fpcr, %0" : : "r"(before_) : "memory"); }
    RoundNearest(const RoundNearest&) = delete;
    RoundNearest& operator=(const RoundNearest&) = delete;

private:
    std::uint64_t before_;
};

struct Neon {
    using Float = float32x4_t;
    using Four = float32x4_t;
    using FloatGuard = RoundNearest;
    static constexpr std::size_t width = 4;

    static Float load(const float* at) noexcept { return vld1q_f32(at); }
    static Float zero() noexcept { return vdupq_n_f32(0); }
    static Float fill(float x) noexcept { return vdupq_n_f32(x); }
    static Float add(Float a, Float b) noexcept { return vaddq_f32(a, b); }
    static Float sub(Float a, Float b) noexcept { return vsubq_f32(a, b); }
    static Float add_product(Float sum, Float a, Float b) noexcept { return vfmaq_f32(sum, a, b); }
    static Four totals(Float a, Float b, Float c, Float d) noexcept
    {
        return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
    }
    // The conversion saturates.
    static int32x4_t to_ints(Four sums) noexcept { return vcvtnq_s32_f32(vmulq_n_f32(sums, 0x1p29f)); }
    static void store(std::int32_t* out, int32x4_t x) noexcept { vst1q_s32(out, x); }
};

} // namespace

constinit const Resampling neon_resampling = make_resampling<Neon>();

} // namespace ringmix::kernels
