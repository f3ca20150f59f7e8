// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/timer.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <poll.h>
#include <sys/timerfd.h>
#include <system_error>

namespace ringmix::os {
namespace {

constexpr std::int64_t ns_per_second = 1'000'000'000;

}

std::int64_t monotonic_ns() noexcept
{
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * ns_per_second + now.tv_nsec;
}

void sleep_ns(std::int64_t ns) noexcept
{
    timespec left{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    while (::clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

Timer::Timer() : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC))
{
    if (!fd_)
        throw std::system_error(errno, std::generic_category(), "timerfd_create");
}

void Timer::set(std::int64_t ns) noexcept
{
    // A time of 0 would disarm it, and a negative one is refused: both are in the past.
    ns = std::max<std::int64_t>(ns, 1);
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(ns / ns_per_second);
    when.it_value.tv_nsec = static_cast<long>(ns % ns_per_second);
    ::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void Timer::disarm() noexcept
{
    const itimerspec never{};
    ::timerfd_settime(fd_.get(), 0, &never, nullptr);
}

void Timer::wait(int also) noexcept
{
    // Expirations are not read: setting the timer again clears them.
    pollfd fds[] = {{fd_.get(), POLLIN, 0}, {also, POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
}

} // namespace ringmix::os
