// SPDX-License-Identifier: LGPL-2.1-or-later
//
// trace.h: a fixed ring of records from the engine's thread, which alone writes, to the butler's, which alone
// reads. Both are wait-free. When the reader is too slow new records are lost, and it learns how many.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace ringmix::server {

struct TraceRecord {
    std::uint32_t kind; // TraceKind
    std::uint32_t slot;
    std::uint64_t first; // meaning by kind, see TraceKind
    std::uint64_t last;
    std::uint64_t extra;
};

enum TraceKind : std::uint32_t {
    trace_stream_start = 1, // first: absolute frame of the stream's first frame; extra: its serial
    trace_stream_end,       // first; last: frame after its last one; extra: fade frames << 32 | serial
    trace_streams_missed,   // extra: how many streams of the slot have ended unseen
    trace_gain,             // first: frame at which a ramp begins; last: its length; extra: from << 32 | to
    trace_device_stopped,   // first: frame
    trace_device_gone,      // first: frame
};

class TraceRing {
public:
    void write(const TraceRecord& record) noexcept; // engine
    bool read(TraceRecord& record) noexcept;        // butler; false: none there
    std::uint64_t take_lost() noexcept { return lost_.exchange(0, std::memory_order_relaxed); }

    static constexpr std::uint32_t size = 4096; // records; power of two

private:
    std::array<TraceRecord, size> records_;
    alignas(64) std::atomic<std::uint64_t> written_{0}; // by the engine, release
    alignas(64) std::atomic<std::uint64_t> read_{0};    // by the butler, release
    std::atomic<std::uint64_t> lost_{0};
};

} // namespace ringmix::server
