// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/timeline.h"

#include "os/socket.h"
#include "os/timer.h"

namespace ringmix::client {

namespace {
// The engine publishes at least every tenth of a second, also when nobody plays.
constexpr std::int64_t stale_ns = 250'000'000;
} // namespace

core::SyncSnapshot Timeline::snapshot(std::int64_t now_ns) const noexcept
{
    core::SyncSnapshot snapshot;
    snapshot.frame_ns = core::frame_duration(view_->geometry.rate);
    snapshot.time_ns = now_ns;
    core::read_newest(view_->board->sync, snapshot);
    if (now_ns - snapshot.time_ns <= stale_ns)
        return snapshot;
    if (pcm_ != nullptr)
        ask_kernel(snapshot);
    else if (os::peer_closed(socket_))
        lost_.store(true, std::memory_order_relaxed);
    return snapshot;
}

// Moves a stale snapshot to where the kernel says its device is. Pointers wrap at the boundary,
// frames do not.
void Timeline::ask_kernel(core::SyncSnapshot& snapshot) const noexcept
{
    os::KernelPcm::Position position = pcm_->last_position();
    const std::int64_t two_periods =
        static_cast<std::int64_t>(2 * ((view_->geometry.period_frames * snapshot.frame_ns) >> 32));
    if (os::monotonic_ns() - position.time_ns > two_periods)
        position = pcm_->fresh_position();
    if (position.gone || (!position.running && os::peer_closed(socket_))) {
        lost_.store(true, std::memory_order_relaxed);
        return;
    }
    if (!position.running)
        return;
    const std::uint64_t boundary = view_->geometry.boundary;
    const std::uint64_t passed = position.hw_ptr >= snapshot.hw_ptr ? position.hw_ptr - snapshot.hw_ptr
                                                                    : position.hw_ptr + boundary - snapshot.hw_ptr;
    snapshot.frame += passed;
    snapshot.hw_ptr = position.hw_ptr;
    snapshot.time_ns = position.time_ns;
    asked_.store(snapshot.frame, std::memory_order_relaxed);
}

std::uint64_t Timeline::published() const noexcept
{
    core::SyncSnapshot newest;
    core::read_newest(view_->board->sync, newest);
    return std::max(newest.frame, asked_.load(std::memory_order_relaxed));
}

Timeline::Reading Timeline::read() const noexcept
{
    const std::int64_t now_ns = os::monotonic_ns();
    const core::SyncSnapshot newest = snapshot(now_ns);
    std::uint64_t now = core::frame_at(newest, now_ns);
    std::uint64_t latest = latest_.load(std::memory_order_relaxed);
    while (latest < now && !latest_.compare_exchange_weak(latest, now, std::memory_order_relaxed)) {
    }
    now = std::max(now, latest);
    return {now, newest.frame, newest.latency_frames};
}

std::int64_t Timeline::time_of(std::uint64_t frame) const noexcept
{
    const std::int64_t now_ns = os::monotonic_ns();
    return core::time_of(snapshot(now_ns), frame);
}

core::Playhead Timeline::playhead() const noexcept
{
    return {[](const void* context) noexcept { return static_cast<const Timeline*>(context)->published(); },
            [](const void* context) noexcept { return static_cast<const Timeline*>(context)->read().now; }, this};
}

} // namespace ringmix::client
