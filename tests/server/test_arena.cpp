// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/arena.h"

#include "house.h"
#include "os/memory.h"

#include <doctest/doctest.h>
#include <limits>
#include <map>
#include <random>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

using namespace ringmix;
using ringmix::server::Arena;

namespace {
const std::uint64_t page = os::page_bytes();

// Bytes of the file that have memory.
std::uint64_t present(int fd)
{
    struct stat status {};
    REQUIRE(::fstat(fd, &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}
} // namespace

TEST_CASE("arena: first fit, in whole pages")
{
    Arena arena(16 * page);
    CHECK(arena.bytes() == 16 * page);
    CHECK(arena.largest_gap() == 16 * page);
    CHECK(arena.allocate(1) == 0u);
    CHECK(arena.allocate(page) == page);
    CHECK(arena.allocate(page + 1) == 2 * page);
    CHECK(arena.used() == 4 * page);
    CHECK(arena.largest_gap() == 12 * page);

    arena.release(page);
    CHECK(arena.used() == 3 * page);
    CHECK(arena.allocate(2 * page) == 4 * page); // the gap of one is too small
    CHECK(arena.allocate(page) == page);         // and is found again
    arena.release(0);
    CHECK(arena.allocate(10) == 0u); // also at the very start
}

TEST_CASE("arena: one that another process has made takes its lanes, and none that it cannot have given")
{
    Arena before(16 * page);
    REQUIRE(before.allocate(3 * page) == 0u);
    REQUIRE(before.allocate(page) == 3 * page);
    Arena after(os::Descriptor(::dup(before.fd())), 16 * page);
    CHECK(after.reserve(3 * page, before.length_of(3 * page)));
    CHECK(after.reserve(0, before.length_of(0)));
    CHECK(after.used() == 4 * page);
    CHECK_FALSE(after.reserve(0, page));        // twice
    CHECK_FALSE(after.reserve(2 * page, page)); // in another one
    CHECK_FALSE(after.reserve(4 * page + 1, page));
    CHECK_FALSE(after.reserve(4 * page, 100));
    CHECK_FALSE(after.reserve(4 * page, 0));
    CHECK_FALSE(after.reserve(4 * page, 13 * page)); // beyond the end
    CHECK_FALSE(after.reserve(std::numeric_limits<std::uint64_t>::max() - page + 1, page));
    CHECK(after.allocate(page) == 4 * page);
    CHECK_THROWS_AS(Arena(os::Descriptor(::dup(before.fd())), 32 * page), std::system_error); // it is shorter
}

TEST_CASE("arena: what does not fit")
{
    Arena arena(4 * page);
    CHECK_FALSE(arena.allocate(0));
    CHECK_FALSE(arena.allocate(4 * page + 1));
    CHECK_FALSE(arena.allocate(std::numeric_limits<std::uint64_t>::max()));
    CHECK_FALSE(arena.allocate(std::numeric_limits<std::uint64_t>::max() - 10));
    CHECK(arena.allocate(4 * page) == 0u);
    CHECK(arena.largest_gap() == 0);
    CHECK_FALSE(arena.allocate(1));
    arena.release(page); // no lane starts there
    CHECK(arena.used() == 4 * page);
    arena.release(0);
    CHECK(arena.used() == 0);
    arena.release(0);
    CHECK(arena.used() == 0);

    Arena odd(page + page / 2); // the end is no whole page
    CHECK_FALSE(odd.allocate(page + 1));
    CHECK(odd.allocate(page) == 0u);
    CHECK_FALSE(odd.allocate(1));
}

TEST_CASE("arena: only lanes have memory, and a new lane is silent")
{
    Arena arena(64 << 20);
    CHECK(present(arena.fd()) == 0);
    const os::Mapping all = os::Mapping::sparse(arena.fd(), arena.bytes(), "arena");
    CHECK(present(arena.fd()) == 0);
    const std::uint64_t lane = arena.allocate(100 * page).value();
    CHECK(present(arena.fd()) == 100 * page);
    std::memset(all.data() + lane, 0x55, 100 * page);
    arena.release(lane);
    CHECK(present(arena.fd()) == 0);
    REQUIRE(arena.allocate(100 * page) == lane);
    for (std::uint64_t i = 0; i < 100 * page; i++)
        REQUIRE(all.data()[lane + i] == std::byte{0});
}

TEST_CASE("arena: lanes never overlap, and all comes back")
{
    Arena arena(1024 * page);
    std::map<std::uint64_t, std::uint64_t> lanes;
    std::mt19937 random(3);
    for (int round = 0; round < 5000; ++round) {
        if (random() % 2 == 0 || lanes.empty()) {
            const std::uint64_t bytes = random() % (80 * page) + 1;
            const std::uint64_t gap = arena.largest_gap();
            const auto offset = arena.allocate(bytes);
            REQUIRE(offset.has_value() == ((bytes + page - 1) / page * page <= gap));
            if (!offset)
                continue;
            REQUIRE(*offset % page == 0);
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
    CHECK(present(arena.fd()) == 0);
}

// What a program gets that asks for nothing: 384,000 bytes for every 48 kHz of the device's rate, and what the
// client keeps beside its buffer (50 ms here; less in truth).
TEST_CASE("arena: 64 programs with the largest buffers fit, at every rate")
{
    for (const std::uint32_t rate : {8000u, 44100u, 48000u, 96000u, 192000u, 384000u}) {
        CAPTURE(rate);
        server::Options options;
        options.wishes.device = "virtual";
        options.wishes.rate = rate;
        server::ClientNames names;
        server::Doorbell bell;
        server::Instance instance(server::open_device(options.wishes, nullptr), options, nullptr, names, bell);
        const std::uint64_t bytes = 384000ULL * rate / 48000;
        for (int program = 0; program < 64; program++)
            REQUIRE(instance.arena().allocate(bytes + bytes / 40));
    }
}
