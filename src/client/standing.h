// SPDX-License-Identifier: LGPL-2.1-or-later
//
// standing.h: where a stream stands in time, told by the thread that plays it to those that only ask
// (one polls while another writes). One writer. Readers are lock-free: they read again only when the writer
// has finished another change meanwhile; a writer that is stopped in the middle of one delays nobody.

#pragma once

#include "client/places.h"

#include <array>
#include <atomic>
#include <cstdint>

namespace ringmix::client {

struct Standing {
    bool running = false;
    // Positions before it are past changing, whatever the time is: they belong to a tail, or were heard.
    Position floor{};
    // Running: the frame that plays position 0, if it had been played in this run.
    Frame origin{};

    constexpr Frame frame_of(Position position) const noexcept { return {origin.value + position.value}; }
    constexpr Position position_of(Frame frame) const noexcept { return {frame.value - origin.value}; }
};

// Two copies and a count of the changes: the count's last bit says which copy is whole.
class PublishedStanding {
public:
    void publish(const Standing& standing) noexcept
    {
        const std::uint32_t next = changes_.load(std::memory_order_relaxed) + 1;
        Words& words = copies_[next % 2];
        // After the count that freed this copy: who reads one of these words sees that count.
        words[0].store(standing.running ? 1 : 0, std::memory_order_release);
        words[1].store(standing.floor.value, std::memory_order_release);
        words[2].store(standing.origin.value, std::memory_order_release);
        changes_.store(next, std::memory_order_release);
    }

    Standing read() const noexcept
    {
        for (;;) {
            const std::uint32_t change = changes_.load(std::memory_order_acquire);
            const Words& words = copies_[change % 2];
            const Standing standing{words[0].load(std::memory_order_acquire) != 0,
                                    {words[1].load(std::memory_order_acquire)},
                                    {words[2].load(std::memory_order_acquire)}};
            if (changes_.load(std::memory_order_relaxed) == change)
                return standing;
        }
    }

private:
    using Words = std::array<std::atomic<std::uint64_t>, 3>;
    std::array<Words, 2> copies_{};
    std::atomic<std::uint32_t> changes_{0};
};

} // namespace ringmix::client
