// SPDX-License-Identifier: LGPL-2.1-or-later
//
// weapons.h: a player that stops, kills or delays itself at exact points of the posting protocol
// (core/test_hooks.h), and notes in its journal which batches it was slow with.

#pragma once

#include "journal.h"

#include <cstdint>
#include <random>

namespace ringmix::stress {

enum Action : std::uint32_t { action_stop = 1, action_kill = 2, action_delay = 3 };

struct Clock {
    std::int64_t start_ns = 0; // when the device played its frame 0 (estimated)
    double rate = 48000;
    std::int64_t frame(std::int64_t time_ns) const noexcept
    {
        return static_cast<std::int64_t>(static_cast<double>(time_ns - start_ns) * rate / 1e9);
    }
};

struct Arms {
    bool stops = false; // may stop itself
    bool kills = false; // may kill itself
};

// Once, before load_weapons().
void prepare_weapons(Journal& journal, const Clock& clock, const Arms& arms, std::uint64_t seed);
// After each open: sets the hook of the plugin, if it is the one that has one.
void load_weapons();
// When a call begins.
void note_call(std::int64_t begin_ns) noexcept;

} // namespace ringmix::stress
