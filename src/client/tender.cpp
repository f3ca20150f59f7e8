// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/tender.h"

namespace ringmix::client {

Tender::Tender(const Seat& seat) noexcept
    : seat_(&seat), poster_(seat.view(), seat.slot().stream.tending, seat.timeline().playhead())
{
}

void Tender::tend() noexcept
{
    const abi::Board& board = *seat_->view().board;
    const std::uint64_t active = board.engine.active.load(std::memory_order_acquire);
    if (!seat_->held() || (active >> seat_->slot_number() & 1) == 0)
        return;
    const Timeline::Reading time = seat_->timeline().read();
    if (time.stands || seat_->timeline().lost())
        return;
    const std::uint64_t reach = time.published + seat_->geometry().reach_frames;
    const std::uint64_t mixed_to = board.reach.mixed_to.load(std::memory_order_acquire);
    if (mixed_to < reach)
        poster_.extend({std::max(mixed_to, time.now), reach});
    poster_.repair();
}

} // namespace ringmix::client
