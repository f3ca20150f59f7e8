// SPDX-License-Identifier: LGPL-2.1-or-later
//
// seat.h: a client's place in an instance, as its stream sees it: the shared memory, a slot, the time, and
// somebody to ask for a lane. An Attachment is one, with a server behind it; tests have their own.

#pragma once

#include "client/timeline.h"
#include "core/validate.h"
#include "ringmix/protocol.h"

namespace ringmix::client {

class Seat {
public:
    virtual ~Seat() = default;
    Seat() = default;
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    virtual const core::BoardView& view() const noexcept = 0;
    virtual std::uint32_t slot_number() const noexcept = 0;
    virtual const Timeline& timeline() const noexcept = 0;
    // False once the slot is not this process' to write: in a child after fork(), or when the server may have
    // given it to somebody else. No system call. What belongs to the slot (Slot::stream, Slot::tail, Slot::log, the
    // lane) is written by whoever holds it, and by the server when that one is dead; by nobody else (but see
    // abi::SlotStream for ranges that were played long ago).
    virtual bool held() const noexcept = 0;

    // Set-up paths, may block. Asks for a lane; throws ClientError.
    virtual protocol::Configured claim_lane(const protocol::Configure& wish) = 0;
    // Gives it back; a server that has gone is ignored.
    virtual void give_lane_back() noexcept = 0;

    const abi::Geometry& geometry() const noexcept { return view().geometry; }
    abi::Slot& slot() const noexcept { return view().board->slots[slot_number()]; }
};

} // namespace ringmix::client
