// SPDX-License-Identifier: LGPL-2.1-or-later
//
// misfortunes.h: what befalls the device and the machine in a run.

#pragma once

#include "tests/sim/ear.h"

#include <string>

namespace ringmix::sim {

enum class Misfortune {
    none,
    stops,        // the device stops, for a short while: it is restarted at once
    fails,        // and it cannot be restarted for longer than any time-out
    jumps,        // its position leaps
    unplugged,    // it goes for good
    long_sleeps,  // nobody runs for hours or days, and the device plays on
    late_frames,  // the same at the beginning, so that frame numbers are large
    turns,        // the same, until numbers of 40 bits come round
    server_stops, // the server is stopped now and then, at any instruction, for longer than the ring lasts
    server_dies,  // and at last for ever
};
const char* misfortune_name(Misfortune misfortune);

// Plans them for a run of `seconds`. The card is there already, if the device is one.
void plan_misfortunes(Misfortune misfortune, double seconds);
// At the end of the run: what must have become of them.
void check_misfortunes(Misfortune misfortune);

} // namespace ringmix::sim
