// SPDX-License-Identifier: LGPL-2.1-or-later
//
// device_kernel_timer.h: wakes the engine once per period of a PCM, by the PCM's own timer
// interface. Made on the control thread; waited for on the engine thread: no allocation, no lock.

#pragma once

#include <alsa/asoundlib.h>
#include <cstdint>
#include <memory>

namespace ringmix::server {

class PeriodTimer {
public:
    // Opens the playback PCM's timer. Where there is none, exists() is false and wait() only sleeps.
    PeriodTimer(int card, int device, int subdevice) noexcept;

    bool exists() const noexcept { return fd_ >= 0; }
    // Until the next period's interrupt (returns true) or `deadline_ns` of CLOCK_MONOTONIC (false).
    bool wait(std::int64_t deadline_ns) noexcept;

private:
    struct Close {
        void operator()(snd_timer_t* timer) const noexcept { snd_timer_close(timer); }
    };
    bool take_ticks() noexcept;

    std::unique_ptr<snd_timer_t, Close> timer_;
    int fd_ = -1; // -1 also once the device is gone
};

} // namespace ringmix::server
