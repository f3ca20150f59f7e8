// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/device_kernel_timer.h"

#include "os/timer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <poll.h>
#include <unistd.h>

namespace ringmix::server {

PeriodTimer::PeriodTimer(int card, int device, int subdevice) noexcept
{
    char name[96];
    std::snprintf(name, sizeof name, "hw:CLASS=%d,SCLASS=%d,CARD=%d,DEV=%d,SUBDEV=%d", SND_TIMER_CLASS_PCM,
                  SND_TIMER_SCLASS_NONE, card, device, subdevice << 1);
    snd_timer_t* timer = nullptr;
    if (snd_timer_open(&timer, name, SND_TIMER_OPEN_NONBLOCK) < 0)
        return;
    timer_.reset(timer);
    snd_timer_params_t* params = nullptr;
    snd_timer_params_alloca(&params);
    snd_timer_params_set_auto_start(params, 1);
    snd_timer_params_set_ticks(params, 1);
    pollfd entry{-1, 0, 0};
    if (snd_timer_params(timer, params) < 0 || snd_timer_start(timer) < 0 ||
        snd_timer_poll_descriptors(timer, &entry, 1) != 1)
        return;
    fd_ = entry.fd;
}

bool PeriodTimer::take_ticks() noexcept
{
    snd_timer_read_t ticks[16];
    bool any = false;
    for (;;) {
        const ssize_t n = ::read(fd_, ticks, sizeof ticks);
        if (n > 0)
            any = true;
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && errno != EAGAIN)
            fd_ = -1; // unplugged: it would be readable for ever
        if (n < static_cast<ssize_t>(sizeof ticks))
            return any;
    }
}

bool PeriodTimer::wait(std::int64_t deadline_ns) noexcept
{
    constexpr std::int64_t second = 1'000'000'000;
    for (;;) {
        const std::int64_t left = std::max<std::int64_t>(deadline_ns - os::monotonic_ns(), 0);
        const timespec timeout{static_cast<time_t>(left / second), static_cast<long>(left % second)};
        pollfd entry{fd_, POLLIN, 0}; // a negative descriptor is only a sleep
        const int ready = ::ppoll(&entry, 1, &timeout, nullptr);
        if (ready > 0 && take_ticks())
            return true;
        if (ready > 0 && (entry.revents & POLLIN) == 0)
            fd_ = -1;
        if (ready == 0)
            return false;
    }
}

} // namespace ringmix::server
