// SPDX-License-Identifier: LGPL-2.1-or-later
//
// keeper.h: the thread with which a client tends the ring while the server is silent (tender.h): a program may sleep
// for seconds, or until all that it has queued is played, and would not notice.
//
// It sleeps until a timer of the server's expires, which the engine pushes ahead in each cycle: as long as that works,
// this thread never wakes. It has no realtime priority, takes no signals, and does nothing but tend.

#pragma once

#include "client/tender.h"
#include "os/thread.h"
#include "os/timer.h"

namespace ringmix::client {

class Keeper {
public:
    // `silence`: the descriptor of the server's timer; the caller's to close, after this. Throws std::system_error.
    // Where a process may not have one more thread it plays on without.
    Keeper(const Seat& seat, int silence);
    // Ends the thread, at once. In a child after fork(), which has none, to be called only after forget().
    ~Keeper();
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;

    void forget() noexcept { thread_.forget(); }

private:
    void run() noexcept;

    Tender tender_;
    const int silence_;
    const std::int64_t cycle_ns_;
    os::Timer end_; // expires when the thread is to end
    os::Thread thread_;
};

} // namespace ringmix::client
