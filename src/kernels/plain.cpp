// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernels in plain C++: the functions of mix.h, lane by lane.

#include "kernels/mix.h"
#include "kernels/shape.h"
#include "kernels/variants.h"

#include <cstring>

namespace ringmix::kernels {

extern const Resampling plain_resampling;

namespace {

constexpr std::uint8_t first_channel = 0;

constexpr LaneShape flat(std::uint32_t format) noexcept { return {format, 1, 1, &first_channel}; }

template <std::uint32_t format>
void add_narrow(std::int32_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    for (std::size_t i = 0; i < count; ++i)
        accumulate_narrow(sums, lanes[i].cells, samples, flat(format));
}

template <std::uint32_t format>
void add_wide(std::int64_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    for (std::size_t i = 0; i < count; ++i)
        accumulate_wide(sums, lanes[i].cells, samples, flat(format), GainLine{});
}

template <std::uint32_t format>
void add_gain(std::int64_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    for (std::size_t i = 0; i < count; ++i)
        accumulate_wide(sums, lanes[i].cells, samples, flat(format), GainLine{lanes[i].gain, lanes[i].gain});
}

template <std::uint32_t format>
void finalize_as(std::byte* out, const std::int32_t* narrow, const std::int64_t* wide, std::size_t samples) noexcept
{
    finalize(out, format, narrow, wide, samples);
}

void copy(std::byte* out, const std::byte* lane, std::size_t bytes) noexcept { std::memcpy(out, lane, bytes); }

} // namespace

constinit const Table plain = {
    "plain",
    {nullptr, add_narrow<1>, add_narrow<2>, add_narrow<3>, add_narrow<4>, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr, add_wide<5>, add_wide<6>, add_wide<7>},
    {nullptr, add_gain<1>, add_gain<2>, add_gain<3>, add_gain<4>, add_gain<5>, add_gain<6>, add_gain<7>},
    {nullptr, nullptr, finalize_as<2>, finalize_as<3>, finalize_as<4>, finalize_as<5>, finalize_as<6>},
    {},
    copy,
    fold_sums,
    soften_sums,
    dither_sums,
    &plain_resampling,
};

} // namespace ringmix::kernels
