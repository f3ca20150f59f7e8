// SPDX-License-Identifier: LGPL-2.1-or-later
//
// dice.h: random choices that follow from a seed, on every machine the same.

#pragma once

#include <cstdint>
#include <initializer_list>

namespace ringmix::sim {

// SplitMix64.
constexpr std::uint64_t mixed(std::uint64_t x) noexcept
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

class Dice {
public:
    explicit Dice(std::uint64_t seed) noexcept : state_(mixed(seed)) {}

    std::uint64_t next() noexcept
    {
        state_ += 0x9e3779b97f4a7c15;
        return mixed(state_);
    }
    // 0 ... n - 1
    std::uint64_t below(std::uint64_t n) noexcept
    {
        return static_cast<std::uint64_t>(static_cast<unsigned __int128>(next()) * n >> 64);
    }
    std::int64_t between(std::int64_t low, std::int64_t high) noexcept // both included
    {
        return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
    }
    bool one_in(std::uint64_t n) noexcept { return below(n) == 0; }
    template <class T> T pick(std::initializer_list<T> values) noexcept { return values.begin()[below(values.size())]; }

private:
    std::uint64_t state_;
};

} // namespace ringmix::sim
