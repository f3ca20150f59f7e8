// SPDX-License-Identifier: LGPL-2.1-or-later
//
// kernels_x86.h: what the x86 variants below AVX-512 share. Included like kernels_tile.h.

#pragma once

#include <cstdint>
#include <immintrin.h>

namespace ringmix::core {
namespace {

struct NoGuardX86 {};

// While it lives, this thread's SSE arithmetic rounds down and traps nothing, whatever the program
// that we are loaded into has set. The clobbers keep loads and stores, and with them the
// arithmetic between, inside.
class RoundDown {
public:
    RoundDown() noexcept
    {
        constexpr std::uint32_t masked_down = 0x1f80 | 0x2000;
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
} // namespace ringmix::core
