// SPDX-License-Identifier: LGPL-2.1-or-later
//
// dice.h: reproducible random numbers for tests. Not shared between threads.

#pragma once

#include <cstdint>
#include <random>

namespace ringmix::test {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}

    std::uint64_t word() { return engine_(); }
    // A word of any length in bits: small numbers are as likely as large ones.
    std::uint64_t skewed() { return engine_() >> below(64); }
    // 0 ... count - 1; `count` must not be 0.
    std::uint32_t below(std::uint64_t count) { return static_cast<std::uint32_t>(engine_() % count); }
    std::uint32_t between(std::uint32_t first, std::uint32_t last) { return first + below(last - first + 1); }
    bool once_in(std::uint32_t count) { return below(count) == 0; }

private:
    std::mt19937_64 engine_;
};

} // namespace ringmix::test
