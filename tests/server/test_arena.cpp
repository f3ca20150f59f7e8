// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/arena.h"

#include <doctest/doctest.h>
#include <limits>
#include <map>
#include <random>

using ringmix::server::Arena;

TEST_CASE("arena: first fit, in whole lines")
{
    Arena arena(1024);
    CHECK(arena.bytes() == 1024);
    CHECK(arena.largest_gap() == 1024);
    CHECK(arena.allocate(1) == 0u);
    CHECK(arena.allocate(64) == 64u);
    CHECK(arena.allocate(65) == 128u);
    CHECK(arena.used() == 256);
    CHECK(arena.largest_gap() == 768);

    arena.release(64);
    CHECK(arena.used() == 192);
    CHECK(arena.allocate(128) == 256u); // the gap of 64 is too small
    CHECK(arena.allocate(64) == 64u);   // and is found again
    arena.release(0);
    CHECK(arena.allocate(10) == 0u); // also at the very start
}

TEST_CASE("arena: what does not fit")
{
    Arena arena(256);
    CHECK_FALSE(arena.allocate(0));
    CHECK_FALSE(arena.allocate(257));
    CHECK_FALSE(arena.allocate(std::numeric_limits<std::uint64_t>::max()));
    CHECK_FALSE(arena.allocate(std::numeric_limits<std::uint64_t>::max() - 10));
    CHECK(arena.allocate(256) == 0u);
    CHECK(arena.largest_gap() == 0);
    CHECK_FALSE(arena.allocate(1));
    arena.release(64); // no lane starts there
    CHECK(arena.used() == 256);
    arena.release(0);
    CHECK(arena.used() == 0);
    arena.release(0);
    CHECK(arena.used() == 0);

    Arena odd(100); // the last 36 bytes are no whole line
    CHECK_FALSE(odd.allocate(65));
    CHECK(odd.allocate(64) == 0u);
    CHECK_FALSE(odd.allocate(1));
    CHECK_FALSE(Arena(0).allocate(1));
}

TEST_CASE("arena: lanes never overlap, and all comes back")
{
    Arena arena(1 << 16);
    std::map<std::uint64_t, std::uint64_t> lanes;
    std::mt19937 random(3);
    for (int round = 0; round < 20000; ++round) {
        if (random() % 2 == 0 || lanes.empty()) {
            const std::uint64_t bytes = random() % 5000 + 1;
            const std::uint64_t gap = arena.largest_gap();
            const auto offset = arena.allocate(bytes);
            REQUIRE(offset.has_value() == ((bytes + 63) / 64 * 64 <= gap));
            if (!offset)
                continue;
            REQUIRE(*offset % Arena::alignment == 0);
            REQUIRE(*offset + bytes <= arena.bytes());
            const auto next = lanes.lower_bound(*offset);
            REQUIRE((next == lanes.end() || *offset + bytes <= next->first));
            REQUIRE((next == lanes.begin() || std::prev(next)->first + std::prev(next)->second <= *offset));
            lanes[*offset] = bytes;
        } else {
            const auto lane = std::next(lanes.begin(), static_cast<std::ptrdiff_t>(random() % lanes.size()));
            arena.release(lane->first);
            lanes.erase(lane);
        }
    }
    for (const auto& lane : lanes)
        arena.release(lane.first);
    CHECK(arena.used() == 0);
    CHECK(arena.largest_gap() == arena.bytes());
}
