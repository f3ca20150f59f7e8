// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/trace.h"

#include <atomic>
#include <doctest/doctest.h>
#include <memory>
#include <thread>

using namespace ringmix::server;

namespace {

// All words follow from `value`, so that a mixture of two records shows.
TraceRecord record_of(std::uint64_t value)
{
    return {trace_gain, static_cast<std::uint32_t>(value), value, ~value, value * 0x9e3779b97f4a7c15};
}

bool is(const TraceRecord& record, std::uint64_t value)
{
    const TraceRecord same = record_of(value);
    return record.kind == same.kind && record.slot == same.slot && record.first == same.first &&
           record.last == same.last && record.extra == same.extra;
}

} // namespace

TEST_CASE("trace: records come back in order")
{
    const auto ring = std::make_unique<TraceRing>();
    TraceRecord record{};
    CHECK_FALSE(ring->read(record));
    for (std::uint64_t i = 0; i < 3 * TraceRing::size; i += 2) {
        ring->write(record_of(i));
        ring->write(record_of(i + 1));
        REQUIRE(ring->read(record));
        REQUIRE(is(record, i));
        REQUIRE(ring->read(record));
        REQUIRE(is(record, i + 1));
    }
    CHECK_FALSE(ring->read(record));
    CHECK(ring->take_lost() == 0);
}

TEST_CASE("trace: a slow reader gets the oldest and learns how many it lost")
{
    const auto ring = std::make_unique<TraceRing>();
    for (std::uint64_t i = 0; i < TraceRing::size + 100; ++i)
        ring->write(record_of(i));
    TraceRecord record{};
    for (std::uint64_t i = 0; i < TraceRing::size; ++i) {
        REQUIRE(ring->read(record));
        REQUIRE(is(record, i));
    }
    CHECK_FALSE(ring->read(record));
    CHECK(ring->take_lost() == 100);
    CHECK(ring->take_lost() == 0);
    ring->write(record_of(7));
    REQUIRE(ring->read(record));
    CHECK(is(record, 7));
}

// Under the thread sanitizer this is the proof that nothing races.
TEST_CASE("trace: a writer and a reader at once")
{
    constexpr std::uint64_t records = 200000;
    const auto ring = std::make_unique<TraceRing>();
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= records; ++i)
            ring->write(record_of(i));
        done = true;
    });
    std::uint64_t count = 0, wrong = 0, newest = 0;
    for (bool last = false; !last;) {
        last = done; // before the reading: nothing comes afterwards
        TraceRecord record{};
        while (ring->read(record)) {
            ++count;
            wrong += !is(record, record.first) || record.first <= newest ? 1 : 0;
            newest = record.first;
        }
        std::this_thread::yield();
    }
    writer.join();
    CHECK(wrong == 0);
    CHECK(count + ring->take_lost() == records);
}
