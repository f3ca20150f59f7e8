// SPDX-License-Identifier: LGPL-2.1-or-later
//
// journal.h: what a player says it does, in a file that survives it. tests/stress/journal.py reads it.
//
// Each call of libasound is a record. Its first half is written before the call and its second half
// after it, so that a player may be killed at any instruction: a record without its second half may
// have had any part of its effect. Times are CLOCK_MONOTONIC, positions count frames from prepare on.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ringmix::stress {

enum Kind : std::uint32_t {
    kind_open = 1, // position: buffer size, frames: node, result: format, key: channels
    kind_prepare = 2,
    kind_write = 3, // frames are offered at position, result of them were taken; key: of their noise
    kind_rewind = 4,
    kind_forward = 5,
    kind_start = 6,
    kind_pause = 7,
    kind_resume = 8,
    kind_drain = 9,
    kind_drop = 10,
    kind_close = 11,
    kind_wait = 12,
    kind_batch = 13,  // position, frames: a poster was slow with these, which are about to be played
    kind_weapon = 14, // position: the point, frames: what it did there
    kind_end = 15,    // the player ends of its own accord
};

inline constexpr std::int64_t unknown = INT64_MIN;
inline constexpr std::int64_t never = INT64_MAX;

struct Record {
    std::atomic<std::uint32_t> kind; // stored last of the first half
    std::atomic<std::uint32_t> done; // stored last of the second half
    std::int64_t position;
    std::int64_t frames;
    std::int64_t result;
    std::uint64_t key;
    std::int64_t horizon_before; // position; unknown: the call has not begun
    std::int64_t horizon_after;  // never: the stream does not run any more
    std::int64_t begin_ns;
    std::int64_t end_ns;
    std::uint32_t state_before; // snd_pcm_state_t
    std::uint32_t state_after;
    std::uint32_t started; // the call has started the stream
    std::uint32_t reserved[3];
};
static_assert(sizeof(Record) == 96);

// The batch that the player's poster has in its hands.
struct InHand {
    std::atomic<std::uint64_t> from;
    std::atomic<std::uint32_t> frames;  // 0: none
    std::atomic<std::uint32_t> point;   // that it has passed last
    std::atomic<std::int64_t> call_ns;  // when the call began in which this happens,
    std::atomic<std::int64_t> store_ns; // and the present store
};

class Journal {
public:
    // Creates `path`; ends the program if that fails.
    explicit Journal(const char* path);

    // The first half of a record; the caller fills in the second one and sets `done`.
    Record& begin(Kind kind, std::int64_t position, std::int64_t frames, std::uint64_t key) noexcept;
    bool full() const noexcept { return count_ + reserve >= records; }
    InHand& in_hand() noexcept { return *reinterpret_cast<InHand*>(map_); }

private:
    static constexpr std::size_t records = 1 << 20; // the file is sparse
    static constexpr std::size_t reserve = 4096;
    static constexpr std::size_t header_bytes = 96;

    std::byte* map_;
    std::size_t count_ = 0;
};

std::int64_t now_ns() noexcept;

} // namespace ringmix::stress
