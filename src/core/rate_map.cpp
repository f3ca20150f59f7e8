// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/rate_map.h"

#include <numeric>

namespace ringmix::core {

namespace {

// value = quotient * divisor + rest, 0 <= rest < divisor.
struct Division {
    std::int64_t quotient;
    std::int64_t rest;
};

Division divide(std::int64_t value, std::int64_t divisor) noexcept
{
    Division d{value / divisor, value % divisor};
    if (d.rest < 0) {
        d.quotient--;
        d.rest += divisor;
    }
    return d;
}

std::int64_t divide_up(std::int64_t value, std::int64_t divisor) noexcept
{
    const Division d = divide(value, divisor);
    return d.quotient + (d.rest != 0);
}

} // namespace

RateRatio rate_ratio(std::uint32_t client_rate, std::uint32_t device_rate) noexcept
{
    const std::uint32_t common = std::gcd(client_rate, device_rate);
    return {client_rate / common, device_rate / common};
}

RateMap::RateMap(RateRatio ratio, std::uint32_t taps, Anchor anchor) noexcept
    : ratio_(ratio), half_taps_(taps / 2), anchor_(anchor)
{
}

RateMap RateMap::from_start(RateRatio ratio, std::uint32_t taps) noexcept
{
    return {ratio, taps, {.stream = {lead(ratio, taps)}, .client = {}}};
}

std::int64_t RateMap::lead(RateRatio ratio, std::uint32_t taps) noexcept
{
    return divide_up(std::int64_t{taps / 2} * ratio.phases, ratio.step);
}

// Whole turns of `phases` stream frames are `step` client frames each; only what is left over is multiplied,
// and that product is small.
RateMap::Moment RateMap::moment(StreamFrame frame) const noexcept
{
    const Division turns = divide(frame - anchor_.stream, ratio_.phases);
    const Division left = divide(turns.rest * ratio_.step + anchor_.client.phase, ratio_.phases);
    return {anchor_.client.frame + turns.quotient * ratio_.step + left.quotient, static_cast<std::uint32_t>(left.rest)};
}

// The least d with d * step + phase >= frames * phases, where d counts from the anchor.
StreamFrame RateMap::first_at(ClientFrame frame) const noexcept
{
    const Division turns = divide(frame - anchor_.client.frame, ratio_.step);
    const std::int64_t left = divide_up(turns.rest * ratio_.phases - anchor_.client.phase, ratio_.step);
    return anchor_.stream + turns.quotient * ratio_.phases + left;
}

} // namespace ringmix::core
