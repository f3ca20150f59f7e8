// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/trace.h"

#include <atomic>
#include <doctest/doctest.h>
#include <memory>
#include <thread>
#include <vector>

using namespace ringmix::server;

namespace {

constexpr std::uint64_t cells = 4096; // of the ring

// All words follow from `value`, so that a mixture of two records shows.
TraceRecord record_of(std::uint32_t writer, std::uint64_t value)
{
    return {trace_engine_late, writer, value, ~value, value * 0x9e3779b97f4a7c15 + writer};
}

bool whole(const TraceRecord& record)
{
    const TraceRecord same = record_of(record.slot, record.first);
    return record.kind == same.kind && record.last == same.last && record.extra == same.extra;
}

} // namespace

TEST_CASE("trace: records come back in order")
{
    const auto ring = std::make_unique<TraceRing>();
    TraceRecord record{};
    std::uint64_t lost = 0;
    CHECK_FALSE(ring->read(record, lost));
    for (std::uint64_t i = 0; i < 3 * cells; ++i) {
        ring->write(record_of(7, 2 * i));
        ring->write(record_of(0xffffffff, 2 * i + 1));
        for (std::uint64_t k = 0; k < 2; ++k) {
            REQUIRE(ring->read(record, lost));
            REQUIRE(record.first == 2 * i + k);
            REQUIRE(whole(record));
        }
    }
    CHECK_FALSE(ring->read(record, lost));
    CHECK(lost == 0);
}

TEST_CASE("trace: a slow reader gets the newest and learns how many it lost")
{
    const auto ring = std::make_unique<TraceRing>();
    constexpr std::uint64_t written = 2 * cells + 100;
    for (std::uint64_t i = 0; i < written; ++i)
        ring->write(record_of(1, i));
    TraceRecord record{};
    std::uint64_t lost = 5; // is added to
    std::uint64_t count = 0;
    while (ring->read(record, lost)) {
        REQUIRE(whole(record));
        REQUIRE(record.first == written - cells + count);
        ++count;
    }
    CHECK(count == cells);
    CHECK(lost == 5 + written - cells);
}

// Under the thread sanitizer this is the proof that nothing races.
TEST_CASE("trace: several writers and one reader")
{
    constexpr std::uint32_t writers = 4;
    constexpr std::uint64_t each = 50000;
    const auto ring = std::make_unique<TraceRing>();
    std::atomic<std::uint32_t> running{writers};
    std::vector<std::thread> threads;
    for (std::uint32_t writer = 0; writer < writers; ++writer)
        threads.emplace_back([&, writer] {
            for (std::uint64_t i = 1; i <= each; ++i)
                ring->write(record_of(writer, i));
            --running;
        });

    std::uint64_t lost = 0;
    std::uint64_t count = 0;
    std::uint64_t torn = 0;
    std::uint64_t disordered = 0;
    std::vector<std::uint64_t> newest(writers, 0);
    for (bool last = false; !last;) {
        last = running == 0; // before the reading: nothing comes afterwards
        TraceRecord record{};
        while (ring->read(record, lost)) {
            ++count;
            if (record.slot >= writers || !whole(record)) {
                ++torn;
                continue;
            }
            disordered += record.first <= newest[record.slot] ? 1 : 0;
            newest[record.slot] = record.first;
        }
        std::this_thread::yield();
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(torn == 0);
    CHECK(disordered == 0);
    CHECK(count + lost == writers * each);
    CHECK(count > 0);
}
