// SPDX-License-Identifier: LGPL-2.1-or-later
//
// pointer.h: provisional.
#pragma once
#include "ringmix/abi.h"
#include <cstdint>
namespace ringmix::core {
struct PointerStep {
    std::uint64_t frames;
    bool backwards;
};
constexpr std::uint64_t own_boundary(const abi::Geometry& geometry) noexcept
{
    if (sizeof(long) == 8)
        return geometry.boundary;
    std::uint64_t boundary = geometry.ring_frames;
    while (boundary * 2 <= 0x7fffffff - std::uint64_t{geometry.ring_frames})
        boundary *= 2;
    return boundary;
}
constexpr PointerStep pointer_step(std::uint64_t from, std::uint64_t to, std::uint64_t boundary) noexcept
{
    const std::uint64_t passed = (to % boundary + boundary - from % boundary) % boundary;
    return {passed, passed >= boundary / 2};
}
} // namespace ringmix::core
