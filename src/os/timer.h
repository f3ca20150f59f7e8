// SPDX-License-Identifier: LGPL-2.1-or-later
//
// timer.h: CLOCK_MONOTONIC and timers on it (timerfd).

#pragma once

#include "os/descriptor.h"

#include <cstdint>
#include <utility>

namespace ringmix::os {

inline constexpr std::int64_t ns_per_ms = 1'000'000;

// Nanoseconds of CLOCK_MONOTONIC. Wait-free, no system call where the vDSO has it.
std::int64_t monotonic_ns() noexcept;

// Sleeps for `ns`, signals notwithstanding. Set-up paths only.
void sleep_ns(std::int64_t ns) noexcept;

// A one-shot timer; its descriptor becomes readable at the set time and stays so until set again.
class Timer {
public:
    Timer(); // non-blocking, close-on-exec; throws std::system_error
    explicit Timer(Descriptor fd) noexcept : fd_(std::move(fd)) {} // one that another process has made
    int fd() const noexcept { return fd_.get(); }
    // Expires at absolute time `ns` (a time in the past: at once). One system call.
    void set(std::int64_t ns) noexcept;
    void disarm() noexcept;
    // Blocks until it expires (or `also`, a descriptor >= 0, is readable), EINTR is not an end.
    void wait(int also = -1) noexcept;

private:
    Descriptor fd_;
};

} // namespace ringmix::os
