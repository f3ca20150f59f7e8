// SPDX-License-Identifier: LGPL-2.1-or-later
//
// kernel_pcm.h: a kernel PCM seen through its descriptor, as every holder may see it: the DMA ring
// and the hardware pointer with its time stamp. Uses <sound/asound.h> inside, never libasound.

#pragma once

#include "os/memory.h"

#include <cstdint>

namespace ringmix::os {

class KernelPcm {
public:
    struct Position {
        std::uint64_t hw_ptr; // 0 ... boundary - 1
        std::int64_t time_ns; // CLOCK_MONOTONIC of hw_ptr as the driver stamped it
        bool running;         // false: stopped, suspended, disconnected
        bool gone;            // the device does not exist any more (ENODEV, DISCONNECTED)
    };

    KernelPcm() noexcept = default;
    // Maps the ring (`ring_bytes`, rounded up to pages) and, where the architecture can, the status
    // page of `pcm_fd`, which stays the caller's. Throws std::system_error.
    KernelPcm(int pcm_fd, std::size_t ring_bytes);

    std::byte* ring() const noexcept { return ring_.data(); }
    explicit operator bool() const noexcept { return static_cast<bool>(ring_); }

    // The position as of the last interrupt. From the status page without a system call; without
    // such a page one SYNC_PTR ioctl (which never writes the pointers: APPL and AVAIL_MIN are set).
    Position last_position() const noexcept;
    // What the stream's owner does with it. Each returns 0 or -errno; may block. states: SNDRV_PCM_STATE_*, which are
    // libasound's SND_PCM_STATE_*.
    int prepare() noexcept;
    int start() noexcept;
    int drop() noexcept;
    int resume() noexcept;
    int state() const noexcept;
    // Which device it is of. Throws std::system_error.
    struct Address {
        int card, device, subdevice;
    };
    Address address() const;

    // Asks the hardware first (HWSYNC ioctl: takes the stream's lock, waits while suspending).
    Position fresh_position() const noexcept;

private:
    int fd_ = -1;
    Mapping ring_;
    Mapping status_;
};

} // namespace ringmix::os
