// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/keeper.h"

#include "os/process.h"

#include <algorithm>
#include <poll.h>

namespace ringmix::client {

Keeper::Keeper(const Seat& seat, int silence) : tender_(seat), silence_(silence), cycle_ns_(seat.geometry().cycle_ns)
{
    thread_.start(
        [](void* keeper) -> void* {
            static_cast<Keeper*>(keeper)->run();
            return nullptr;
        },
        this);
}

Keeper::~Keeper()
{
    if (!thread_)
        return; // and the timer is the parent's as well
    end_.set(0);
    thread_.join();
}

void Keeper::run() noexcept
{
    os::name_thread("ringmix-keeper");
    pollfd ended{end_.fd(), POLLIN, 0};
    const int cycle_ms = static_cast<int>(std::max<std::int64_t>(cycle_ns_ / 1'000'000, 1));
    for (;;) {
        pollfd sleep[] = {ended, {silence_, POLLIN, 0}};
        ::poll(sleep, 2, -1);
        if (sleep[0].revents != 0)
            return;
        if ((sleep[1].revents & POLLIN) != 0)
            tender_.tend();
        ::poll(&ended, 1, cycle_ms); // not more often, whatever the descriptor does
    }
}

} // namespace ringmix::client
