// SPDX-License-Identifier: LGPL-2.1-or-later
//
// snapshots.h: snapshots of time that show it if one has been read in halves of two.

#pragma once

#include "core/sync_info.h"

namespace ringmix::test {

// Every field tells its number.
inline core::SyncSnapshot numbered(std::uint64_t n)
{
    core::SyncSnapshot s;
    s.frame = 1024 * n;
    s.hw_ptr = 1024 * n + 1;
    s.time_ns = static_cast<std::int64_t>(1000000 * n + 2);
    s.frame_ns = (n << 32) + 3;
    s.latency_frames = 7 * n;
    s.generation = 11 * n;
    s.state = n % 3 == 0 ? abi::device_stopped : abi::device_running;
    return s;
}

inline bool same(const core::SyncSnapshot& a, const core::SyncSnapshot& b)
{
    return a.frame == b.frame && a.hw_ptr == b.hw_ptr && a.time_ns == b.time_ns && a.frame_ns == b.frame_ns &&
           a.latency_frames == b.latency_frames && a.generation == b.generation && a.state == b.state;
}

} // namespace ringmix::test
