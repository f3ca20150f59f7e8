// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/kernels.h"

#include "core/kernels_variants.h"
#include "ringmix/abi.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>

namespace ringmix::core {

static_assert(abi::format_u8 == 1 && abi::format_s16 == 2 && abi::format_s24 == 3 && abi::format_s24_3 == 4 &&
              abi::format_s32 == 5 && abi::format_float == 6 && format_count == 7);
static_assert(abi::max_slots == 64); // the widths of the sums in kernels_tile.h

namespace {

using Usable = std::array<const Kernels*, 5>;

Usable find_usable() noexcept
{
    Usable usable{};
    std::size_t count = 0;
#ifdef RINGMIX_KERNELS_X86
    __builtin_cpu_init();
    // Processors before those with VBMI2 slow down for a while after each use of 512-bit vectors:
    // a bad bargain for bursts of a microsecond, in other people's programs too.
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi2"))
        usable[count++] = &kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        usable[count++] = &kernels_avx2;
    if (__builtin_cpu_supports("sse2"))
        usable[count++] = &kernels_sse2;
#endif
#ifdef RINGMIX_KERNELS_NEON
    usable[count++] = &kernels_neon;
#endif
    usable[count] = &kernels_plain;
    return usable;
}

// Constant-initialised, so that whoever comes before the constructor below mixes in plain C++.
constinit std::atomic<const Kernels*> chosen{&kernels_plain};

// When the library is loaded: before its user has threads that could change the environment.
[[gnu::constructor]] void choose() noexcept
{
    const Usable usable = find_usable();
    const Kernels* best = usable[0];
    if (const char* wanted = secure_getenv("RINGMIX_SIMD"))
        for (const Kernels* variant : usable)
            if (variant != nullptr && std::strcmp(variant->name, wanted) == 0)
                best = variant;
    chosen.store(best, std::memory_order_relaxed);
}

} // namespace

const Kernels* const* usable_kernels() noexcept
{
    static const Usable usable = find_usable();
    return usable.data();
}

void use_kernels(const Kernels& variant) noexcept { chosen.store(&variant, std::memory_order_relaxed); }

const Kernels& kernels() noexcept { return *chosen.load(std::memory_order_relaxed); }

} // namespace ringmix::core
