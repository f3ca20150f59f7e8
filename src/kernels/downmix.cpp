// SPDX-License-Identifier: LGPL-2.1-or-later

#include "kernels/downmix.h"

namespace ringmix::kernels {

void add_weighted(float* sums, const float* samples, float weight, std::size_t frames) noexcept
{
    for (std::size_t i = 0; i < frames; i++)
        sums[i] += weight * samples[i];
}

void store_high(std::int32_t* out, std::size_t step, const float* samples, std::size_t frames) noexcept
{
    for (std::size_t i = 0; i < frames; i++) {
        float scaled = samples[i] * 0x1p29f;
        scaled = scaled < 0x7fffff80 ? scaled : 0x7fffff80;
        scaled = scaled > -0x1p31f ? scaled : -0x1p31f;
        out[i * step] = static_cast<std::int32_t>(scaled);
    }
}

} // namespace ringmix::kernels
