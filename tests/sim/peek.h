// SPDX-License-Identifier: LGPL-2.1-or-later
//
// peek.h: what the shared memory says, for the judge, who must not be seen by those who work there. All that
// the simulator knows of the board's layout is here.

#pragma once

#include "ringmix/abi.h"

#include <cstdint>

namespace ringmix::sim::peek {

struct Extent {
    std::uint64_t start = 0, end = 0;
    bool empty() const { return end <= start; }
};

struct Snapshot {
    bool any = false;
    std::uint64_t frame = 0, hw_ptr = 0, generation = 0;
    std::int64_t time_ns = 0;
    std::uint32_t state = 0;
};

struct Tail {
    std::uint64_t word = 0; // changes whenever it is left anew
    Extent frames;
    std::uint64_t fade = 0;
};

struct Gain {
    std::uint64_t word = 0; // changes with every change
    bool flat = false;
    std::uint32_t target = 0;
    std::uint64_t end = 0; // of the ramp
};

const abi::Board* board(); // null: none yet
Snapshot newest();
// Frames are told modulo 2^40: `near` says where.
Extent range(std::uint32_t slot, std::uint64_t near);
std::uint64_t range_word(std::uint32_t slot);
Tail tail(std::uint32_t slot, std::uint64_t near);
Gain gain(std::uint32_t slot);
bool retiring(std::uint32_t slot);
bool active(std::uint32_t slot);
std::uint64_t late_frames(std::uint32_t slot);

} // namespace ringmix::sim::peek
