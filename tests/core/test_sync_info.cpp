// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/sync_info.h"

#include "tests/core/snapshots.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>

using namespace ringmix;
using namespace ringmix::core;
using test::numbered;
using test::same;

namespace {

__extension__ using Exact = unsigned __int128;

constexpr std::uint32_t rates[] = {8000,  11025, 16000, 22050,  32000,  44100,
                                   48000, 88200, 96000, 176400, 192000, 384000};

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

namespace {

constexpr std::int64_t ms = 1'000'000;

abi::Geometry some_device(std::uint32_t kind, std::uint32_t rate)
{
    abi::Geometry g{};
    g.device_kind = kind;
    g.rate = rate;
    g.ring_frames = 8192;
    g.boundary = std::uint64_t{8192} << 40;
    return g;
}

SyncSnapshot at(const abi::Geometry& g, std::uint64_t frame, std::int64_t time_ns)
{
    SyncSnapshot s;
    s.frame = frame;
    s.hw_ptr = frame % g.boundary;
    s.time_ns = time_ns;
    s.frame_ns = frame_duration(g.rate);
    return s;
}

} // namespace

TEST_CASE("sync_info: what a server publishes is plausible")
{
    std::mt19937_64 random(6);
    for (const std::uint32_t rate : rates)
        for (const std::uint32_t kind : {abi::device_kernel, abi::device_virtual}) {
            const abi::Geometry g = some_device(kind, rate);
            // It runs, with a clock that is wrong and stamps that are late; it stands; it is restarted.
            std::uint64_t frame = (random() >> 24) / g.ring_frames * g.ring_frames;
            std::uint64_t epoch = frame;
            std::int64_t time = static_cast<std::int64_t>(random() >> 10);
            SyncSnapshot before;
            for (int i = 0; i < 3000; ++i) {
                const auto passed = static_cast<std::int64_t>(random() % (i % 100 == 0 ? 100'000 : 100)) * ms;
                time += passed;
                const std::uint64_t what = random() % 20;
                const auto played = static_cast<std::uint64_t>(passed / ms) * rate / 1000;
                if (what > 1)
                    frame += played - played / 10 + random() % (played / 5 + 1);
                if (what == 0)
                    epoch = frame = (frame + g.ring_frames - 1) / g.ring_frames * g.ring_frames;
                SyncSnapshot now = at(g, frame, time - static_cast<std::int64_t>(random() % 900) * ms);
                now.hw_ptr = frame - epoch;
                now.state = what == 1 ? abi::device_stopped : abi::device_running;
                CAPTURE(i);
                REQUIRE(plausible(now, g, before, time));
                before = now;
            }
        }
}

TEST_CASE("sync_info: what cannot be true is not plausible")
{
    const abi::Geometry g = some_device(abi::device_kernel, 48000);
    constexpr std::int64_t now = 500'000 * ms;
    const SyncSnapshot none{};
    const SyncSnapshot last = at(g, 4'800'000, now - 10 * ms);
    const SyncSnapshot right = at(g, 4'800'480, now);
    REQUIRE(plausible(right, g, none, now));
    REQUIRE(plausible(right, g, last, now));
    const auto refuses = [&](auto change, bool alone) {
        SyncSnapshot wrong = right;
        change(wrong);
        CHECK_FALSE(plausible(wrong, g, last, now));
        CHECK(plausible(wrong, g, none, now) != alone); // known without the one before
    };
    const std::uint64_t far = 48000 * 2 / 8192 * 8192 + 8192;
    refuses([](SyncSnapshot& s) { s.frame_ns = 1; }, true);
    refuses([](SyncSnapshot& s) { s.frame_ns /= 3; }, true);
    refuses([](SyncSnapshot& s) { s.frame_ns *= 3; }, true);
    refuses([](SyncSnapshot& s) { s.frame_ns = ~std::uint64_t{0}; }, true);
    refuses([](SyncSnapshot& s) { s.time_ns += 2000 * ms; }, true);
    refuses([](SyncSnapshot& s) { s.time_ns = INT64_MAX; }, true);
    refuses([](SyncSnapshot& s) { s.time_ns = -1; }, true);
    refuses([](SyncSnapshot& s) { s.time_ns = INT64_MIN; }, true);
    refuses([](SyncSnapshot& s) { s.time_ns -= 2000 * ms; }, false); // would be taken for a device far ahead
    refuses([](SyncSnapshot& s) { s.time_ns = 0; }, false);
    refuses([](SyncSnapshot& s) { s.hw_ptr += 1; }, true);
    refuses([](SyncSnapshot& s) { s.hw_ptr += std::uint64_t{8192} << 40; }, true);
    refuses([](SyncSnapshot& s) { s.frame += 1; }, true);
    refuses([](SyncSnapshot& s) { s.frame = ~std::uint64_t{0} / 8192 * 8192 + s.hw_ptr % 8192; }, true);
    refuses([=](SyncSnapshot& s) { s.frame += far; }, false);
    refuses([=](SyncSnapshot& s) { s.frame -= far; }, false);
    refuses([](SyncSnapshot& s) { s.frame = s.hw_ptr % 8192; }, false);
    refuses([](SyncSnapshot& s) { s.frame += std::uint64_t{8192} << 40; }, false);
}

TEST_CASE("sync_info: who believes only what is plausible is not led astray by nonsense")
{
    std::mt19937_64 random(7);
    const abi::Geometry g = some_device(abi::device_virtual, 48000);
    SyncSnapshot believed = at(g, 1'000'000, 1000 * ms);
    for (std::int64_t i = 1; i <= 300'000; ++i) {
        const std::int64_t now = (1000 + i) * ms;
        const std::uint64_t truth = 1'000'000 + 48 * static_cast<std::uint64_t>(i);
        SyncSnapshot read = at(g, truth, now);
        if (i % 1000 < 300) { // 0.3 s of each second it is garbage, often near the truth
            const std::uint64_t bits = random() >> random() % 64;
            const std::uint64_t near = random() % 2; // or anything
            switch (random() % 4) {
            case 0:
                read.frame = read.frame * near + bits;
                break;
            case 1:
                read.time_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(now) * near + bits);
                break;
            case 2:
                read.frame_ns = read.frame_ns * near + bits;
                break;
            default:
                read = at(g, bits, static_cast<std::int64_t>(random()));
            }
        }
        if (plausible(read, g, believed, now))
            believed = read;
        const auto off = static_cast<std::int64_t>(frame_at(believed, now) - truth);
        REQUIRE(off < 5 * 48000);
        REQUIRE(off > -5 * 48000);
        if (i % 1000 == 999)
            REQUIRE(off == 0);
    }
}
