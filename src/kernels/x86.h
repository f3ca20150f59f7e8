// SPDX-License-Identifier: LGPL-2.1-or-later
//
// x86.h: what the x86 variants share. Included like tile.h.

#pragma once

#include <cstdint>
#include <immintrin.h>

namespace ringmix::kernels {
namespace {

struct NoGuardX86 {};

// While it lives, this thread's SSE arithmetic rounds down, traps nothing and takes denormals for 0,
// whatever the program that we are loaded into has set. (Denormals are far below half a unit of 32 bits, and a
// decaying sound is full of them: each would cost some hundred cycles.) The clobbers keep loads and stores, and with
// them the arithmetic between, inside.
class RoundDown {
public:
    RoundDown() noexcept
    {
#ifdef __x86_64__
        constexpr std::uint32_t masked_down = 0x1f80 | 0x2000 | 0x8040;
#else // the first processors with SSE2 do not have the bit
        constexpr std::uint32_t masked_down = 0x1f80 | 0x2000;
#endif
        asm volatile("stmxcsr %0" : "=m"(before_) : : "memory");
        asm volatile("ldmxcsr %0" : : "m"(masked_down) : "memory");
    }
    ~RoundDown() { asm volatile("ldmxcsr %0" : : "m"(before_) : "memory"); }
    RoundDown(const RoundDown&) = delete;
    RoundDown& operator=(const RoundDown&) = delete;

private:
    std::uint32_t before_;
};

} // namespace
} // namespace ringmix::kernels
