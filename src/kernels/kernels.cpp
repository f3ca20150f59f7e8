// SPDX-License-Identifier: LGPL-2.1-or-later

#include "kernels/kernels.h"

#include "kernels/variants.h"
#include "ringmix/abi.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>

namespace ringmix::kernels {

static_assert(abi::format_u8 == 1 && abi::format_s16 == 2 && abi::format_s24 == 3 && abi::format_s24_3 == 4 &&
              abi::format_s32 == 5 && abi::format_float == 6 && abi::format_s32_high == 7 && format_count == 8);
static_assert(abi::max_slots == 64); // the widths of the sums in tile.h

namespace {

using Usable = std::array<const Table*, 4>;

Usable find_usable() noexcept
{
    Usable usable{};
    std::size_t count = 0;
#ifdef RINGMIX_KERNELS_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        usable[count++] = &avx2;
    if (__builtin_cpu_supports("sse2"))
        usable[count++] = &sse2;
#endif
#ifdef RINGMIX_KERNELS_NEON
    usable[count++] = &neon;
#endif
    usable[count] = &plain;
    return usable;
}

// Constant-initialised, so that whoever comes before the constructor below mixes in plain C++.
constinit std::atomic<const Table*> in_use{&plain};

// When the library is loaded: before its user has threads that could change the environment.
[[gnu::constructor]] void choose() noexcept
{
    const Usable variants = find_usable();
    const Table* best = variants[0];
    if (const char* wanted = secure_getenv("RINGMIX_SIMD"))
        for (const Table* variant : variants)
            if (variant != nullptr && std::strcmp(variant->name, wanted) == 0)
                best = variant;
    in_use.store(best, std::memory_order_relaxed);
}

} // namespace

const Table* const* usable() noexcept
{
    static const Usable variants = find_usable();
    return variants.data();
}

void use(const Table& variant) noexcept { in_use.store(&variant, std::memory_order_relaxed); }

const Table& chosen() noexcept { return *in_use.load(std::memory_order_relaxed); }

} // namespace ringmix::kernels
