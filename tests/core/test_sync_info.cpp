// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/sync_info.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>

using namespace ringmix;
using namespace ringmix::core;

namespace {

__extension__ using Exact = unsigned __int128;

constexpr std::uint32_t rates[] = {8000,  11025, 16000, 22050,  32000,  44100,
                                   48000, 88200, 96000, 176400, 192000, 384000};

// A snapshot whose every field tells its number.
SyncSnapshot numbered(std::uint64_t n)
{
    SyncSnapshot s;
    s.frame = 1024 * n;
    s.hw_ptr = 1024 * n + 1;
    s.time_ns = static_cast<std::int64_t>(1000000 * n + 2);
    s.frame_ns = (n << 32) + 3;
    s.xruns = 5 * n;
    s.latency_frames = 7 * n;
    s.generation = 11 * n;
    s.state = n % 3 == 0 ? abi::device_stopped : abi::device_running;
    return s;
}

bool same(const SyncSnapshot& a, const SyncSnapshot& b)
{
    return a.frame == b.frame && a.hw_ptr == b.hw_ptr && a.time_ns == b.time_ns && a.frame_ns == b.frame_ns &&
           a.xruns == b.xruns && a.latency_frames == b.latency_frames && a.generation == b.generation &&
           a.state == b.state;
}

std::uint64_t exact_frame_at(const SyncSnapshot& s, std::int64_t time_ns)
{
    const auto elapsed = static_cast<std::uint64_t>(time_ns) - static_cast<std::uint64_t>(s.time_ns);
    return s.frame + static_cast<std::uint64_t>((Exact{elapsed} << 32) / s.frame_ns);
}

} // namespace

TEST_CASE("sync_info: time stands still while the device does not run")
{
    SyncSnapshot s = numbered(4);
    s.frame_ns = frame_duration(48000);
    s.state = abi::device_running;
    CHECK(frame_at(s, s.time_ns + 1'000'000'000) == s.frame + 48000);
    for (const std::uint32_t state : {abi::device_stopped, abi::device_gone, 200u}) {
        s.state = state;
        CHECK(frame_at(s, s.time_ns + 1'000'000'000) == s.frame);
    }
}

TEST_CASE("sync_info: a new ring has nothing to read")
{
    const auto ring = std::make_unique<abi::SyncRing>();
    SyncSnapshot read = numbered(9);
    CHECK_FALSE(read_newest(*ring, read));
    CHECK(same(read, numbered(9)));
}

TEST_CASE("sync_info: the newest is read, over many turns of the ring")
{
    const auto ring = std::make_unique<abi::SyncRing>();
    for (std::uint64_t n = 1; n < 5 * abi::sync_entries; ++n) {
        publish(*ring, numbered(n));
        SyncSnapshot read;
        REQUIRE(read_newest(*ring, read));
        REQUIRE(same(read, numbered(n)));
        REQUIRE(ring->newest.load() == n);
    }
}

TEST_CASE("sync_info: a writer killed half way leaves the entry before it, and its successor goes on")
{
    for (int steps = 0; steps <= 4; ++steps) {
        const auto ring = std::make_unique<abi::SyncRing>();
        for (std::uint64_t n = 1; n <= 20; ++n)
            publish(*ring, numbered(n));
        abi::SyncEntry& entry = ring->entries[21 % abi::sync_entries];
        if (steps > 0)
            entry.sequence.store(2 * 21 - 1);
        if (steps > 1)
            entry.frame.store(12345);
        if (steps > 2)
            entry.frame_ns.store(54321);
        if (steps > 3)
            entry.sequence.store(2 * 21); // complete, but not yet announced
        SyncSnapshot read;
        REQUIRE(read_newest(*ring, read));
        CHECK(same(read, numbered(20)));
        publish(*ring, numbered(21));
        REQUIRE(read_newest(*ring, read));
        CHECK(same(read, numbered(21)));
    }
}

TEST_CASE("sync_info: a torn entry is not read, and leaves the reader's snapshot alone")
{
    const auto ring = std::make_unique<abi::SyncRing>();
    for (std::uint64_t n = 1; n <= 3; ++n)
        publish(*ring, numbered(n));
    SyncSnapshot read = numbered(2);
    abi::SyncEntry& entry = ring->entries[3];
    for (const std::uint64_t sequence : {std::uint64_t{5}, std::uint64_t{0}, std::uint64_t{7}, // being written, never
                                         std::uint64_t{2 * (3 + abi::sync_entries)},           // written, a turn later
                                         ~std::uint64_t{0}}) {
        entry.sequence.store(sequence);
        CHECK_FALSE(read_newest(*ring, read));
        CHECK(same(read, numbered(2)));
    }
    entry.sequence.store(2 * 3);
    entry.frame_ns.store(0); // nonsense that later would be a division by 0
    CHECK_FALSE(read_newest(*ring, read));
    CHECK(same(read, numbered(2)));
    for (const std::uint64_t newest : {std::uint64_t{4}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        ring->newest.store(newest);
        CHECK_FALSE(read_newest(*ring, read));
    }
}

TEST_CASE("sync_info: readers never see a mixture, nor time running backwards")
{
    const auto ring = std::make_unique<abi::SyncRing>();
    constexpr std::uint64_t last = 100000;
    std::atomic<std::uint64_t> mixtures{0}, backwards{0}, successes{0};
    const auto read_all = [&] {
        std::uint64_t before = 0;
        while (before < last) {
            SyncSnapshot read;
            if (!read_newest(*ring, read)) {
                std::this_thread::yield();
                continue;
            }
            const std::uint64_t n = read.frame / 1024;
            mixtures += same(read, numbered(n)) ? 0 : 1;
            backwards += n < before ? 1 : 0;
            before = n;
            ++successes;
        }
    };
    std::thread one(read_all), two(read_all);
    for (std::uint64_t n = 1; n <= last; ++n)
        publish(*ring, numbered(n));
    one.join();
    two.join();
    CHECK(mixtures == 0);
    CHECK(backwards == 0);
    CHECK(successes >= 2);
}

TEST_CASE("sync_info: the duration of a frame is that of its rate, rounded down")
{
    CHECK(frame_duration(1000) == std::uint64_t{1000000} << 32);
    CHECK(frame_duration(48000) == (std::uint64_t{1000000000} << 32) / 48000);
    for (const std::uint32_t rate : rates)
        CHECK(frame_duration(rate) == static_cast<std::uint64_t>((Exact{1000000000} << 32) / rate));
}

TEST_CASE("sync_info: a frame's time is the first at which it plays, hours ahead, at any rate")
{
    std::mt19937_64 random(3);
    for (const std::uint32_t rate : rates)
        for (int i = 0; i < 3000; ++i) {
            SyncSnapshot s;
            s.frame = random() >> (10 + random() % 50);
            s.time_ns = static_cast<std::int64_t>(random() >> (6 + random() % 50));
            // The loop's filtered duration differs from the nominal one by a crystal's error.
            s.frame_ns = frame_duration(rate) + (random() % 3 == 0 ? 0 : random() % (frame_duration(rate) >> 12));
            const std::uint64_t frame = s.frame + 1 + (random() >> (33 + random() % 30));
            const std::int64_t time = time_of(s, frame);
            CAPTURE(rate);
            CAPTURE(frame - s.frame);
            REQUIRE(time > s.time_ns);
            REQUIRE(frame_at(s, time) >= frame);
            REQUIRE(frame_at(s, time - 2) < frame);
        }
}

TEST_CASE("sync_info: the frame at a time is exact, months ahead, and never runs backwards")
{
    std::mt19937_64 random(4);
    for (const std::uint32_t rate : rates) {
        SyncSnapshot s;
        s.frame = 1000000;
        s.time_ns = 5000000000;
        s.frame_ns = frame_duration(rate) + random() % 1000;
        std::uint64_t before = 0;
        std::int64_t time = s.time_ns;
        for (int i = 0; i < 3000; ++i) {
            time += static_cast<std::int64_t>(random() >> (13 + random() % 45)); // up to 26 days
            if (time < 0)
                break;
            const std::uint64_t frame = frame_at(s, time);
            REQUIRE(frame == exact_frame_at(s, time));
            REQUIRE(frame >= before);
            before = frame;
        }
    }
}

TEST_CASE("sync_info: before the snapshot it is the snapshot's frame")
{
    const SyncSnapshot s = numbered(100);
    CHECK(frame_at(s, s.time_ns) == s.frame);
    CHECK(frame_at(s, s.time_ns - 1) == s.frame);
    CHECK(frame_at(s, 0) == s.frame);
    CHECK(frame_at(s, -5) == s.frame);
    CHECK(time_of(s, s.frame) == s.time_ns);
    CHECK(time_of(s, 0) == s.time_ns);
}

TEST_CASE("sync_info: any snapshot, also nonsense, gives a frame and a time")
{
    std::mt19937_64 random(5);
    for (int i = 0; i < 100000; ++i) {
        SyncSnapshot s;
        s.frame = random() >> random() % 64;
        s.time_ns = static_cast<std::int64_t>(random() << random() % 64);
        s.frame_ns = random() >> random() % 64;
        if (random() % 50 == 0)
            s.frame_ns = ~std::uint64_t{0} * (random() % 2);
        frame_at(s, static_cast<std::int64_t>(random() << random() % 64));
        time_of(s, random() >> random() % 64);
    }
    CHECK(true); // it ended, and no sanitizer minded
}
