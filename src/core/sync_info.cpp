// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/sync_info.h"

#include <algorithm>
#include <bit>

namespace ringmix::core {

namespace {
constexpr int read_tries = 8;

bool read_entry(const abi::SyncEntry& entry, std::uint64_t number, SyncSnapshot& out) noexcept
{
    if (entry.sequence.load(acquire) != 2 * number)
        return false;
    out.frame = entry.frame.load(relaxed);
    out.hw_ptr = entry.hw_ptr.load(relaxed);
    out.time_ns = static_cast<std::int64_t>(entry.time_ns.load(relaxed));
    out.frame_ns = entry.frame_ns.load(relaxed);
    out.latency_frames = entry.latency_frames.load(relaxed);
    const std::uint64_t device = entry.device.load(relaxed);
    out.generation = device >> abi::device_state_bits;
    out.state = static_cast<std::uint32_t>(device) & ((1u << abi::device_state_bits) - 1);
    std::atomic_thread_fence(acquire);
    return entry.sequence.load(relaxed) == 2 * number && out.frame_ns != 0;
}
} // namespace

void publish(abi::SyncRing& ring, const SyncSnapshot& snapshot) noexcept
{
    const std::uint64_t number = ring.newest.load(relaxed) + 1;
    abi::SyncEntry& entry = ring.entries[number % abi::sync_entries];
    entry.sequence.store(2 * number - 1, relaxed);
    std::atomic_thread_fence(release);
    entry.frame.store(snapshot.frame, relaxed);
    entry.hw_ptr.store(snapshot.hw_ptr, relaxed);
    entry.time_ns.store(static_cast<std::uint64_t>(snapshot.time_ns), relaxed);
    entry.frame_ns.store(snapshot.frame_ns, relaxed);
    entry.latency_frames.store(snapshot.latency_frames, relaxed);
    entry.device.store(snapshot.generation << abi::device_state_bits | snapshot.state, relaxed);
    entry.sequence.store(2 * number, release);
    ring.newest.store(number, release);
}

bool read_newest(const abi::SyncRing& ring, SyncSnapshot& snapshot) noexcept
{
    for (int i = 0; i < read_tries; i++) {
        const std::uint64_t number = ring.newest.load(acquire);
        if (number == 0)
            return false;
        SyncSnapshot read;
        if (read_entry(ring.entries[number % abi::sync_entries], number, read)) {
            snapshot = read;
            return true;
        }
    }
    return false;
}

bool plausible(const SyncSnapshot& snapshot, const abi::Geometry& geometry, const SyncSnapshot& previous,
               std::int64_t now_ns) noexcept
{
    constexpr std::int64_t second = 1'000'000'000;
    constexpr std::uint64_t most = std::uint64_t{1} << 60; // sums of frames and of times stay below 2^63
    const std::uint64_t frame_ns = frame_duration(geometry.rate);
    if (snapshot.frame_ns < frame_ns / 2 || snapshot.frame_ns > frame_ns * 2 || snapshot.frame > most ||
        snapshot.time_ns < 0 || snapshot.time_ns - second > now_ns)
        return false;
    if (geometry.device_kind == abi::device_kernel &&
        (snapshot.hw_ptr >= geometry.boundary ||
         snapshot.hw_ptr % geometry.ring_frames != snapshot.frame % geometry.ring_frames))
        return false;
    if (previous.frame_ns == 0)
        return true;
    if (snapshot.time_ns < previous.time_ns - second)
        return false;
    const SyncSnapshot fast{.frame = previous.frame, .time_ns = previous.time_ns, .frame_ns = frame_ns / 5 * 4};
    const std::uint64_t leeway = std::uint64_t{geometry.ring_frames} + geometry.rate;
    return snapshot.frame + leeway >= previous.frame && snapshot.frame <= frame_at(fast, snapshot.time_ns) + leeway;
}

std::uint64_t frame_at(const SyncSnapshot& snapshot, std::int64_t time_ns) noexcept
{
    if (snapshot.state != abi::device_running || time_ns <= snapshot.time_ns || snapshot.frame_ns == 0 ||
        snapshot.frame_ns >> 63 != 0)
        return snapshot.frame;
    // (elapsed << 32) / frame_ns, rounded down, in 96 bits: a long division that takes in as many bits
    // at a time as the remainder leaves free (at ordinary rates twice).
    const std::uint64_t elapsed = static_cast<std::uint64_t>(time_ns) - static_cast<std::uint64_t>(snapshot.time_ns);
    std::uint64_t frames = elapsed / snapshot.frame_ns;
    std::uint64_t rest = elapsed % snapshot.frame_ns;
    for (int bits = 32; bits > 0;) {
        const int step = std::min(bits, std::countl_zero(snapshot.frame_ns));
        rest <<= step;
        frames = (frames << step) + rest / snapshot.frame_ns;
        rest %= snapshot.frame_ns;
        bits -= step;
    }
    return snapshot.frame + frames;
}

std::int64_t time_of(const SyncSnapshot& snapshot, std::uint64_t frame) noexcept
{
    if (frame <= snapshot.frame)
        return snapshot.time_ns;
    const std::uint64_t frames = frame - snapshot.frame;
    const std::uint64_t fraction = frames * (snapshot.frame_ns & 0xffffffff);
    const std::uint64_t ns = frames * (snapshot.frame_ns >> 32) + (fraction >> 32) + 1;
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(snapshot.time_ns) + ns);
}

} // namespace ringmix::core
