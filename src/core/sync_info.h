// SPDX-License-Identifier: LGPL-2.1-or-later
//
// sync_info.h: time, as the engine publishes it and everybody extrapolates it.
//
// A ring of timing snapshots in shared memory (after JAMRouter's sync_info): one writer, any number
// of readers, none of whom can block another; a reader takes a bounded number of tries.

#pragma once

#include "ringmix/abi.h"

#include <cstdint>

namespace ringmix::core {

// Where the device was at one moment.
struct SyncSnapshot {
    std::uint64_t frame = 0;    // absolute: everything before it has been played and silenced
    std::uint64_t hw_ptr = 0;   // the kernel's pointer at `frame`
    std::int64_t time_ns = 0;   // CLOCK_MONOTONIC at `frame`
    std::uint64_t frame_ns = 0; // duration of one frame: ns, 32 fractional bits
    std::uint64_t latency_frames = 0;
    std::uint64_t generation = 0;              // of the device: counts its restarts
    std::uint32_t state = abi::device_running; // abi::device_*
};

// Duration of a frame in ns with 32 fractional bits.
constexpr std::uint64_t frame_duration(std::uint32_t rate) noexcept
{
    const std::uint64_t billion = 1'000'000'000;
    return ((billion / rate) << 32) + ((billion % rate) << 32) / rate;
}

// An engine that is later than this is stopped, starved or dead. Much less than the reach of the smallest ring: it is
// not noticed until then.
constexpr std::int64_t longest_delay_ns(const abi::Geometry& geometry) noexcept
{
    return 2 * std::int64_t{geometry.cycle_ns};
}

// Writes the next snapshot. The engine's thread only; wait-free.
void publish(abi::SyncRing& ring, const SyncSnapshot& snapshot) noexcept;

// Reads the newest complete snapshot. Any thread or process; wait-free (8 tries). False: none was
// published yet, or the writer kept overwriting (keep using the one before).
bool read_newest(const abi::SyncRing& ring, SyncSnapshot& snapshot) noexcept;

// Whether a snapshot that was read at `now_ns` can be true, given the private geometry and the last one that
// was (`previous`; all 0: none yet). The ring is shared memory, in which others may write nonsense: who
// extrapolates only from what is plausible, and from `previous` meanwhile, is never led far away. Pure.
//
//   frame_ns  within a factor of 2 of the nominal rate
//   time_ns   at most a second after now, and at most a second before that of `previous`
//   hw_ptr    of a kernel's PCM: before the boundary, at the frame's place in the ring
//   frame     not more than a ring and a second behind that of `previous`, nor ahead of where the device can
//             have come since (a restarted device goes on within a ring)
//
// A stretch without anything plausible may mean that `previous` is what is wrong: after a while the caller must
// forget it.
bool plausible(const SyncSnapshot& snapshot, const abi::Geometry& geometry, const SyncSnapshot& previous,
               std::int64_t now_ns) noexcept;

// The frame that plays at `time_ns`, by the snapshot's rate; never before snapshot.frame, and that one for as
// long as the device does not run.
std::uint64_t frame_at(const SyncSnapshot& snapshot, std::int64_t time_ns) noexcept;

// The moment at which `frame` begins to play (rounded up); for frames up to 2^31 ahead.
std::int64_t time_of(const SyncSnapshot& snapshot, std::uint64_t frame) noexcept;

} // namespace ringmix::core
