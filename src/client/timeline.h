// SPDX-License-Identifier: LGPL-2.1-or-later
//
// timeline.h: what time it is on the device, for a client.
//
// Normally read from the server's published time and the clock, without a system call. When the server has
// stopped publishing, the kernel's PCM is asked directly, so that clients go on without it; the virtual
// device dies with its server. While the device is stopped, time stands still. What is published is believed
// only if it can be true: nonsense in the shared memory is passed over, and the last good word holds meanwhile.
// All functions are noexcept and, but for asking the kernel, wait-free; any thread.

#pragma once

#include "core/post.h"
#include "core/sync_info.h"
#include "core/validate.h"
#include "os/kernel_pcm.h"

#include <atomic>
#include <cstdint>

namespace ringmix::client {

// What a timeline asks the world beyond the board. Noexcept, any thread.
class Surroundings {
public:
    virtual ~Surroundings() = default;
    virtual std::int64_t clock_ns() const noexcept = 0; // CLOCK_MONOTONIC
    virtual bool server_gone() const noexcept = 0;
    virtual bool has_kernel_pcm() const noexcept = 0; // false: virtual device, do not ask for positions
    virtual os::KernelPcm::Position last_position() const noexcept = 0;
    virtual os::KernelPcm::Position fresh_position() const noexcept = 0;
};

class Timeline {
public:
    struct Reading {
        std::uint64_t now = 0;        // the frame that plays now, never going back
        std::uint64_t published = 0;  // frames before it are certainly played and silenced
        std::uint64_t latency = 0;    // frames between the ring and the ear
        std::uint64_t generation = 0; // of the device: another one than before means that its ring was emptied
        bool stands = false;          // the device is stopped: nothing is being played
    };

    Timeline(const core::BoardView& view, const Surroundings& surroundings) noexcept;

    Reading read() const noexcept;
    // As in a Reading, but without the clock if it can be: as the server published it last, or as the last Reading found
    // it without the server.
    std::uint64_t published() const noexcept;
    // When `frame` will begin to play (CLOCK_MONOTONIC, ns).
    std::int64_t time_of(std::uint64_t frame) const noexcept;
    std::int64_t clock_ns() const noexcept { return surroundings_->clock_ns(); }
    // True once the device cannot play any more: unplugged, or virtual and its server gone.
    bool lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
    core::Playhead playhead() const noexcept;

private:
    core::SyncSnapshot look(std::int64_t now_ns) const noexcept;
    bool believable(const core::SyncSnapshot& snapshot, std::int64_t now_ns) const noexcept;
    void believe(const core::SyncSnapshot& snapshot) const noexcept;
    core::SyncSnapshot last_good(std::int64_t now_ns) const noexcept;
    void ask_kernel(core::SyncSnapshot& snapshot, std::int64_t now_ns) const noexcept;

    const core::BoardView* view_;
    const Surroundings* surroundings_;
    std::uint64_t frame_ns_; // nominal duration of a frame, 32 fractional bits
    std::int64_t stale_ns_;  // older news are stale: some devices tell their position by periods

    // The last snapshot that was believed, each word by itself: a mixture of two is off by what lies between them.
    mutable std::atomic<std::uint64_t> good_frame_{0};
    mutable std::atomic<std::int64_t> good_ns_{0};
    mutable std::atomic<std::uint64_t> good_hw_ptr_{0};
    mutable std::atomic<std::uint64_t> good_generation_{0};
    mutable std::atomic<std::uint64_t> good_latency_{0};
    mutable std::atomic<std::uint32_t> good_state_{abi::device_running};
    mutable std::atomic<bool> has_good_{false};
    mutable std::atomic<std::int64_t> doubted_ns_{0}; // since when nothing was believed; 0: not

    // Each with the generation that it belongs to:
    mutable std::atomic<std::uint64_t> latest_{0}; // the newest `now` that was told
    mutable std::atomic<std::uint64_t> asked_{0};  // the position that the kernel told last
    mutable std::atomic<bool> lost_{false};
};

} // namespace ringmix::client
