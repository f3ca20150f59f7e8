// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/frames.h"

#include <doctest/doctest.h>

#include <random>

using namespace ringmix::core;

namespace {

constexpr std::uint64_t bit(unsigned n) { return std::uint64_t{1} << n; }

// Frames at which something wraps: the length, half of the end, the end, the end several times.
constexpr std::uint64_t wraps[] = {0,       bit(24),           bit(32), bit(39),     bit(40) - bit(24),
                                   bit(40), bit(40) + bit(39), bit(41), 3 * bit(40), bit(52),
                                   bit(62)};
constexpr std::int64_t offsets[] = {-300000, -65, -64, -1, 0, 1, 2, 63, 64, 1000, 300000};
constexpr std::uint64_t lengths[] = {1, 2, 64, 6000, 65536, max_extent_frames - 1, max_extent_frames};

// `frame` + `offset`, or 0 if that is before the first frame.
std::uint64_t shifted(std::uint64_t frame, std::int64_t offset)
{
    const auto back = static_cast<std::uint64_t>(-offset);
    if (offset < 0)
        return frame < back ? 0 : frame - back;
    return frame + static_cast<std::uint64_t>(offset);
}

} // namespace

TEST_CASE("frames: an extent knows its length, also when it is none")
{
    CHECK(Extent{}.empty());
    CHECK(Extent{5, 5}.empty());
    CHECK(Extent{6, 5}.empty());
    CHECK(Extent{6, 5}.length() == 0);
    CHECK(Extent{5, 8}.length() == 3);
    CHECK(intersection({0, 10}, {5, 20}) == Extent{5, 10});
    CHECK(intersection({0, 10}, {10, 20}).empty());
    CHECK(intersection({0, 10}, {15, 20}).empty());
    CHECK(intersection({3, 4}, {0, ~std::uint64_t{0}}) == Extent{3, 4});
}

TEST_CASE("frames: what is packed is unpacked again, near every wrap")
{
    for (const std::uint64_t wrap : wraps)
        for (const std::int64_t from_wrap : offsets)
            for (const std::int64_t from_end : offsets)
                for (const std::uint64_t length : lengths) {
                    const std::uint64_t end = shifted(wrap, from_wrap);
                    const std::uint64_t near = shifted(end, from_end);
                    if (end < length)
                        continue;
                    const Extent extent{end - length, end};
                    CAPTURE(end);
                    CAPTURE(near);
                    REQUIRE(unpack(pack(extent), near) == extent);
                }
}

TEST_CASE("frames: an end may lie up to 2^39 frames before and behind the present")
{
    for (const std::uint64_t near : {bit(39), bit(40) - 1, bit(40), bit(40) + 17, 5 * bit(40) - 3, bit(62)}) {
        CAPTURE(near);
        const Extent ahead{near + bit(39) - 65, near + bit(39) - 1};
        const Extent behind{near - bit(39) + 1, near - bit(39) + 65};
        CHECK(unpack(pack(ahead), near) == ahead);
        CHECK(unpack(pack(behind), near) == behind);
    }
    // Before 2^39 frames have passed nothing can lie as far behind.
    const Extent early{bit(39) + 100, bit(39) + 200};
    CHECK(unpack(pack(early), 0) == early);
}

TEST_CASE("frames: an old end is told apart for nearly 2^40 frames")
{
    for (const std::uint64_t end : {bit(17), bit(39), bit(40) - 1, 5 * bit(40) - 3})
        for (const std::uint64_t age : {std::uint64_t{0}, bit(38), bit(39), bit(39) + 12345, bit(40) - bit(33)}) {
            CAPTURE(age);
            CHECK(unpack_old(pack({end - 64, end}), end + age) == Extent{end - 64, end});
        }
    CHECK(unpack_old(pack({bit(40) + 100, bit(40) + 164}), bit(40) - bit(20)) == Extent{bit(40) + 100, bit(40) + 164});
    CHECK(unpack_old(pack({100, 164}), 0) == Extent{100, 164});
    CHECK(unpack_old(0, bit(41)).empty());
}

TEST_CASE("frames: an extent longer than 24 bits keeps its newest frames")
{
    for (const std::uint64_t length : {bit(24), bit(24) + 1, bit(30), bit(40) + 5}) {
        const std::uint64_t end = bit(41) + 1000;
        CHECK(unpack(pack({end - length, end}), end - 50) == Extent{end - max_extent_frames, end});
    }
}

TEST_CASE("frames: the empty extent is word 0")
{
    CHECK(pack({}) == 0);
    CHECK(pack({100, 100}) == 0);
    CHECK(pack({101, 100}) == 0);
    CHECK(unpack(0, 12345).empty());
    CHECK(unpack(std::uint64_t{77} << extent_length_bits, 70).empty());
    CHECK(pack({bit(40) - 1, bit(40)}) != 0);
    CHECK(unpack(pack({bit(40) - 1, bit(40)}), bit(40)) == Extent{bit(40) - 1, bit(40)});
}

TEST_CASE("frames: any word is an extent of a possible length near the present")
{
    std::mt19937_64 random(7);
    for (int i = 0; i < 100000; ++i) {
        const std::uint64_t word = random() >> random() % 64;
        const std::uint64_t near = random() >> (2 + random() % 60);
        const Extent extent = unpack(word, near);
        if ((word & max_extent_frames) == 0) {
            REQUIRE(extent.empty());
            continue;
        }
        REQUIRE(extent.start <= extent.end);
        REQUIRE(extent.length() <= max_extent_frames);
        REQUIRE((extent.end & extent_end_mask) == word >> extent_length_bits);
        if (extent.end >= near)
            REQUIRE(extent.end - near < bit(40));
        else
            REQUIRE(near - extent.end <= bit(39));
    }
}

TEST_CASE("frames: the next turn of a place in the ring")
{
    CHECK(next_turn(100, 100, 6000) == 100);
    CHECK(next_turn(101, 100, 6000) == 101);
    CHECK(next_turn(100, 101, 6000) == 6100);
    CHECK(next_turn(100, 6100, 6000) == 6100);
    CHECK(next_turn(100, 6101, 6000) == 12100);
    std::mt19937_64 random(8);
    for (int i = 0; i < 100000; ++i) {
        const std::uint64_t ring = 128 + random() % 100000;
        const std::uint64_t frame = random() >> (2 + random() % 60);
        const std::uint64_t now = random() >> (2 + random() % 60);
        const std::uint64_t next = next_turn(frame, now, ring);
        REQUIRE(next >= now);
        REQUIRE(next % ring == frame % ring);
        REQUIRE((next == frame || next - now < ring));
        REQUIRE(next >= frame);
    }
}
