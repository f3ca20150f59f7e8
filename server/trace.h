// SPDX-License-Identifier: LGPL-2.1-or-later
//
// trace.h: a fixed ring of records from the realtime thread (and any other) to the butler.
//
// Writers are wait-free: a record is reserved by one atomic add and published by its own sequence
// number; nobody spins. A reader that is too slow loses the oldest records and learns how many.
// A writer that finds its cell still in the hands of a writer from a whole round ago (stalled in
// the middle) gives its record up rather than mix the two; that counts as lost, too.

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
    trace_gain,             // first: frame at which a ramp begins; last: its length; extra: from << 32 | to
    trace_device_stopped,   // first: frame
    trace_device_gone,      // first: frame
    trace_engine_late,      // first: frame; extra: ns late
};

class TraceRing {
public:
    void write(const TraceRecord& record) noexcept;               // any thread, wait-free
    bool read(TraceRecord& record, std::uint64_t& lost) noexcept; // one reader; false: none there. `lost` is added to

private:
    static constexpr std::uint32_t size = 4096; // power of two
    struct Cell {
        std::atomic<std::uint64_t> sequence{0}; // 2n+1: being written; 2n+2: record n is complete
        std::atomic<std::uint64_t> given_up{0}; // n+1: record n was not written, its cell was busy
        std::array<std::atomic<std::uint64_t>, 4> words{};
    };
    static void give_up(Cell& cell, std::uint64_t number) noexcept;

    std::array<Cell, size> cells_;
    std::atomic<std::uint64_t> next_{0};
    std::uint64_t read_ = 0;
};

} // namespace ringmix::server
