// SPDX-License-Identifier: LGPL-2.1-or-later
//
// timeline.h: what time it is on the device, for a client.
//
// Normally read from the server's published time and the clock, without a system call. When the
// server has stopped publishing, the kernel's PCM is asked directly, so that clients go on without
// it; the virtual device dies with its server. All functions are noexcept and, but for that
// fallback, wait-free; any thread.

#pragma once

#include "core/post.h"
#include "core/sync_info.h"
#include "core/validate.h"
#include "os/kernel_pcm.h"

#include <atomic>
#include <cstdint>

namespace ringmix::client {

class Timeline {
public:
    struct Reading {
        std::uint64_t now;       // the frame that plays now, never going back
        std::uint64_t published; // frames before it are certainly played and silenced
        std::uint64_t latency;   // frames between the ring and the ear
    };

    // `socket`: the connection to the server, asked only when its time is stale.
    Timeline(const core::BoardView& view, const os::KernelPcm* pcm, int socket) noexcept
        : view_(&view), pcm_(pcm), socket_(socket)
    {
    }

    Reading read() const noexcept;
    // As in a Reading, but without the clock: as the server published it last, or as the last Reading
    // found it without the server.
    std::uint64_t published() const noexcept;
    // When `frame` will begin to play (CLOCK_MONOTONIC, ns).
    std::int64_t time_of(std::uint64_t frame) const noexcept;
    // True once the device cannot play any more: unplugged, or virtual and its server gone.
    bool lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
    core::Playhead playhead() const noexcept;

private:
    core::SyncSnapshot snapshot(std::int64_t now_ns) const noexcept;
    void ask_kernel(core::SyncSnapshot& snapshot) const noexcept;

    const core::BoardView* view_;
    const os::KernelPcm* pcm_; // null: virtual device
    int socket_;
    mutable std::atomic<std::uint64_t> latest_{0};
    mutable std::atomic<std::uint64_t> asked_{0}; // the position that the kernel told last
    mutable std::atomic<bool> lost_{false};
};

} // namespace ringmix::client
