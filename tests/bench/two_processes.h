// SPDX-License-Identifier: LGPL-2.1-or-later
//
// two_processes.h: two clients at the same frames, each a process on a core of its own.
//
//   two/ROUTINE/WHERE/PROCESSES   ns per transfer of 256 frames of one process
//
// ROUTINE post, dmix, floor (which does not care for others: its sums are wrong, but they show what it
// costs that two cores write the same memory). WHERE: `same`: all transfers to the same 256 frames; `round`: round the
// ring, each as fast as it can. PROCESSES: 1 or 2.

#pragma once

namespace ringmix::bench {

void register_two_processes();

} // namespace ringmix::bench
