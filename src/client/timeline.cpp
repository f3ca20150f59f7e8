// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/timeline.h"

#include "core/pointer.h"

#include <algorithm>

namespace ringmix::client {

namespace {

// Nonsense that stays for so long is believed: it may be the truth after all (a clock that was set, a machine
// that stood still), and a client that believes nothing would stand for ever.
constexpr std::int64_t doubt_ns = 1'000'000'000;

std::int64_t period_ns(const abi::Geometry& geometry) noexcept
{
    return static_cast<std::int64_t>(std::uint64_t{geometry.period_frames} * 1'000'000'000 / geometry.rate);
}

// A frame of one generation in a word: times of two generations are not compared.
constexpr unsigned frame_bits = 48;
constexpr std::uint64_t frame_mask = (std::uint64_t{1} << frame_bits) - 1;
constexpr std::uint64_t stamped(std::uint64_t generation, std::uint64_t frame) noexcept
{
    return generation << frame_bits | (frame & frame_mask);
}
constexpr bool of_generation(std::uint64_t word, std::uint64_t generation) noexcept
{
    return word >> frame_bits == (generation & (~std::uint64_t{0} >> frame_bits));
}

// The larger of `frame` and what `word` has of this generation; stays there.
std::uint64_t raise(std::atomic<std::uint64_t>& word, std::uint64_t generation, std::uint64_t frame) noexcept
{
    std::uint64_t last = word.load(relaxed);
    for (;;) {
        if (of_generation(last, generation) && (last & frame_mask) >= frame)
            return last & frame_mask;
        if (word.compare_exchange_weak(last, stamped(generation, frame), relaxed))
            return frame;
    }
}
} // namespace

Timeline::Timeline(const core::BoardView& view, const Surroundings& surroundings) noexcept
    : view_(&view), surroundings_(&surroundings), frame_ns_(core::frame_duration(view.geometry.rate)),
      stale_ns_(core::longest_delay_ns(view.geometry) + period_ns(view.geometry))
{
}

bool Timeline::believable(const core::SyncSnapshot& snapshot, std::int64_t now_ns) const noexcept
{
    const core::SyncSnapshot previous =
        has_good_.load(std::memory_order_acquire) ? last_good(now_ns) : core::SyncSnapshot{};
    if (snapshot.frame <= frame_mask && core::plausible(snapshot, view_->geometry, previous, now_ns))
        return true;
    std::int64_t since = 0;
    if (doubted_ns_.compare_exchange_strong(since, now_ns, relaxed) || now_ns - since < doubt_ns)
        return false;
    if (snapshot.frame > frame_mask || !core::plausible(snapshot, view_->geometry, {}, now_ns))
        return false;
    latest_.store(0, relaxed); // what was believed before may have been the nonsense
    asked_.store(0, relaxed);
    return true;
}

void Timeline::believe(const core::SyncSnapshot& snapshot) const noexcept
{
    doubted_ns_.store(0, relaxed);
    good_frame_.store(snapshot.frame, relaxed);
    good_ns_.store(snapshot.time_ns, relaxed);
    good_hw_ptr_.store(snapshot.hw_ptr, relaxed);
    good_generation_.store(snapshot.generation, relaxed);
    good_latency_.store(snapshot.latency_frames, relaxed);
    good_state_.store(snapshot.state, relaxed);
    has_good_.store(true, std::memory_order_release);
}

core::SyncSnapshot Timeline::last_good(std::int64_t now_ns) const noexcept
{
    core::SyncSnapshot snapshot;
    snapshot.frame_ns = frame_ns_;
    snapshot.time_ns = now_ns;
    if (!has_good_.load(std::memory_order_acquire))
        return snapshot;
    snapshot.frame = good_frame_.load(relaxed);
    snapshot.time_ns = good_ns_.load(relaxed);
    snapshot.hw_ptr = good_hw_ptr_.load(relaxed);
    snapshot.generation = good_generation_.load(relaxed);
    snapshot.latency_frames = good_latency_.load(relaxed);
    snapshot.state = good_state_.load(relaxed);
    return snapshot;
}

core::SyncSnapshot Timeline::look(std::int64_t now_ns) const noexcept
{
    core::SyncSnapshot snapshot;
    if (core::read_newest(view_->board->sync, snapshot) && believable(snapshot, now_ns))
        believe(snapshot);
    else
        snapshot = last_good(now_ns);
    if (snapshot.state == abi::device_gone)
        lost_.store(true, relaxed);
    const bool stale = now_ns - snapshot.time_ns > stale_ns_;
    if (surroundings_->has_kernel_pcm()) {
        // Or others have asked it, and have mixed by a later position already.
        if (stale || core::played_by_others(*view_) > snapshot.frame)
            ask_kernel(snapshot, now_ns);
    } else if (stale && surroundings_->server_gone()) {
        lost_.store(true, relaxed);
    }
    if (snapshot.state != abi::device_running)
        snapshot.time_ns = now_ns; // the device stands: its next frame is ahead of now
    return snapshot;
}

// Moves a stale snapshot to where the kernel says its device is. A pointer that went back belongs to a stream
// that was prepared anew, by a server that will say so: until then time stands still.
void Timeline::ask_kernel(core::SyncSnapshot& snapshot, std::int64_t now_ns) const noexcept
{
    os::KernelPcm::Position position = surroundings_->last_position();
    if (now_ns - position.time_ns > period_ns(view_->geometry) * 5 / 4)
        position = surroundings_->fresh_position();
    if (position.gone || (!position.running && surroundings_->server_gone())) {
        lost_.store(true, relaxed);
        return;
    }
    const std::uint64_t asked = asked_.load(relaxed);
    const std::uint64_t known =
        of_generation(asked, snapshot.generation) ? std::max(snapshot.frame, asked & frame_mask) : snapshot.frame;
    const core::PointerStep step =
        core::frame_after(snapshot, position.hw_ptr, position.time_ns, core::pointer_wrap(view_->geometry));
    if (!position.running || step.prepared_anew) {
        snapshot.frame = known;
        snapshot.state = abi::device_stopped;
        return;
    }
    snapshot.frame = raise(asked_, snapshot.generation, step.frame);
    snapshot.hw_ptr = position.hw_ptr;
    snapshot.time_ns = position.time_ns;
    snapshot.state = abi::device_running;
}

std::uint64_t Timeline::published() const noexcept
{
    core::SyncSnapshot newest;
    core::read_newest(view_->board->sync, newest);
    const std::uint64_t asked = asked_.load(relaxed);
    const std::uint64_t known =
        of_generation(asked, newest.generation) ? std::max(newest.frame, asked & frame_mask) : newest.frame;
    // Others have come further: the server is silent, and this thread has perhaps been stopped for long.
    return core::played_by_others(*view_) > known ? read().published : known;
}

Timeline::Reading Timeline::read() const noexcept
{
    const std::int64_t now_ns = surroundings_->clock_ns();
    const core::SyncSnapshot newest = look(now_ns);
    const std::uint64_t now = raise(latest_, newest.generation, core::frame_at(newest, now_ns));
    return {now, newest.frame, newest.latency_frames, newest.generation, newest.state != abi::device_running};
}

std::int64_t Timeline::time_of(std::uint64_t frame) const noexcept
{
    return core::time_of(look(surroundings_->clock_ns()), frame);
}

core::Playhead Timeline::playhead() const noexcept
{
    return {[](const void* context) noexcept { return static_cast<const Timeline*>(context)->published(); },
            [](const void* context) noexcept { return static_cast<const Timeline*>(context)->read().now; }, this};
}

} // namespace ringmix::client
