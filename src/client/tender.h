// SPDX-License-Identifier: LGPL-2.1-or-later
//
// tender.h: what a client does in the place of an engine that is stopped, starved or dead: it keeps everybody's sound
// coming into the device's ring. Only what may be done by several at a time, late or twice: mixing what has come
// within reach, and repair. The dead are not retired, gains do not change, and a device that has stopped
// stays so until there is a server again.

#pragma once

#include "client/seat.h"
#include "core/post.h"

namespace ringmix::client {

// One thread. Noexcept; takes no lock, allocates nothing, and makes no system call but to ask the kernel for the
// device's position.
class Tender {
public:
    // Posts by SlotStream::tending of the seat's slot.
    explicit Tender(const Seat& seat) noexcept;

    // One cycle; to be called every Geometry::cycle_ns while the engine is silent. Does nothing while the seat has no
    // lane: nobody would repair what this leaves half done.
    void tend() noexcept;

private:
    const Seat* seat_;
    core::Poster poster_;
};

} // namespace ringmix::client
