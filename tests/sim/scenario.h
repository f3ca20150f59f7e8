// SPDX-License-Identifier: LGPL-2.1-or-later
//
// scenario.h: one run: a device, programs and their misfortunes, all from a seed.

#pragma once

#include "tests/sim/ear.h"

#include <string>

namespace ringmix::sim {

struct RunOptions {
    std::uint64_t seed = 1;
    double seconds = 20;      // of virtual time; less for devices and numbers of programs that are much work
    bool exact = false;       // not less
    std::string kind;         // of misfortune (misfortunes.cpp); empty: from the seed
    bool other_rates = false; // a third of the programs play at others than the device's
    bool verbose = false;
};

struct RunResult {
    Counts counts;
    double seconds = 0;
    std::uint64_t switches = 0;
};

// Ends the process if something is wrong.
RunResult run_scenario(const RunOptions& options);

} // namespace ringmix::sim
