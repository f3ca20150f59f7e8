// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a client does while the server is silent, and that it does it only then.

#include "client/keeper.h"
#include "client/stream.h"
#include "client/tender.h"
#include "kernel_seat.h"

#include <csignal>
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace ringmix;
using client::Keeper;
using client::Stream;
using client::Tender;
using test::FakeSeat;

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::uint64_t written = 20000;

// A stream that has been started with far more than the reach, by a program that does nothing any more, and whose
// server has been silent since.
struct Sleeper : test::KernelSeat {
    Sleeper() : stream(*this)
    {
        publish(0);
        stream.configure(abi::format_s16, 1, written, core::ChannelMap{0});
        stream.prepare();
        std::vector<std::int16_t> samples;
        for (std::uint64_t i = 0; i < written; i++)
            samples.push_back(static_cast<std::int16_t>(i % 30000 + 1));
        const client::ChannelArea area{reinterpret_cast<const std::byte*>(samples.data()), 2};
        stream.write(0, {&area, 1}, written);
        stream.start();
        first = core::unpack(slot().stream.range.load(), 0).start;
    }
    std::int16_t sample(std::uint64_t frame) const
    {
        std::int16_t value = 0;
        std::memcpy(&value, view().ring + frame % geometry().ring_frames * 2, 2);
        return value;
    }
    // How many of the frames of the stream from `from` on, up to the reach, are in the ring.
    std::uint64_t mixed(std::uint64_t from, std::uint64_t to) const
    {
        std::uint64_t count = 0;
        for (std::uint64_t frame = from; frame < to; frame++)
            count += sample(frame) == static_cast<std::int16_t>((frame - first) % 30000 + 1) ? 1 : 0;
        return count;
    }

    Stream stream;
    std::uint64_t first = 0;
};

} // namespace

TEST_CASE("tender: mixes what comes within reach, once")
{
    Sleeper seat;
    Tender tender(seat);
    const std::uint64_t reach = seat.geometry().reach_frames;
    CHECK(seat.mixed(seat.first, reach) == reach - seat.first);
    for (std::uint64_t at = 2048; at < 16384; at += 2048) {
        seat.device_at(at);
        CHECK(seat.sample(at + reach - 1) == 0);
        tender.tend();
        CHECK(seat.mixed(std::max(seat.first, at), at + reach) == at + reach - std::max(seat.first, at));
        CHECK(seat.view().board->reach.mixed_to.load() == at + reach);
        const auto before = seat.view().versions[0].version.load();
        tender.tend();
        CHECK(seat.view().versions[0].version.load() == before);
    }
}

TEST_CASE("tender: says what it is going to mix before it looks at anything")
{
    // A writer that publishes meanwhile goes by that.
    Sleeper seat;
    seat.device_at(2048);
    seat.view().board->reach.mixed_to = 0;
    Tender(seat).tend();
    CHECK(seat.view().board->reach.mixed_to.load() == 2048 + seat.geometry().reach_frames);
    CHECK(seat.slot().stream.tending.load() == 0);
}

TEST_CASE("tender: what an engine has left half done is posted at the second look")
{
    Sleeper seat;
    seat.device_at(2048);
    const std::uint64_t reach = 2048 + seat.geometry().reach_frames;
    seat.view().board->reach.mixed_to = reach; // it has said so, and stopped
    seat.view().board->engine.posting = core::pack({reach - 1024, reach});
    Tender tender(seat);
    tender.tend();
    CHECK(seat.mixed(reach - 1024, reach) == 0);
    tender.tend();
    CHECK(seat.mixed(reach - 1024, reach) == 1024);
}

TEST_CASE("tender: what another client's tender has left half done is posted as well")
{
    Sleeper seat;
    seat.device_at(2048);
    const std::uint64_t reach = 2048 + seat.geometry().reach_frames;
    seat.view().board->reach.mixed_to = reach;
    seat.view().board->engine.active = std::uint64_t{1} << seat.slot_number() | 1;
    seat.view().board->slots[0].stream.tending = core::pack({reach - 1024, reach});
    Tender tender(seat);
    tender.tend();
    tender.tend();
    CHECK(seat.mixed(reach - 1024, reach) == 1024);
}

TEST_CASE("tender: does nothing without a lane, for a stopped device, or in the place of another")
{
    Sleeper seat;
    seat.device_at(2048);
    SUBCASE("no lane") { seat.view().board->engine.active = 0; }
    SUBCASE("stopped") { seat.world.position.running = false; }
    SUBCASE("a child's, or one the server has given up") { seat.mine = false; }
    Tender(seat).tend();
    CHECK(seat.view().board->reach.mixed_to.load() < 2048 + seat.geometry().reach_frames);
    CHECK(seat.sample(2048 + seat.geometry().reach_frames - 1) == 0);
}

TEST_CASE("tender: a writer posts as far as a tender with a newer position has mixed")
{
    Sleeper seat;
    const std::uint64_t reach = seat.geometry().reach_frames;
    seat.device_at(1100);                             // the server's last word is not stale yet
    seat.view().board->reach.mixed_to = 1100 + reach; // by one that has asked the kernel
    const std::int16_t other = 30001;
    const std::vector<std::int16_t> samples(written, other);
    const client::ChannelArea area{reinterpret_cast<const std::byte*>(samples.data()), 2};
    seat.stream.write(4096 - seat.first, {&area, 1}, 4096);
    CHECK(seat.sample(1100 + reach - 1) == other); // further than a ring from that last word
}

TEST_CASE("timeline: who was stopped learns from others that playback has gone on")
{
    Sleeper seat;
    seat.timeline().read();
    seat.device_at(40000);
    CHECK(seat.timeline().published() < 4096); // it asks nobody by itself
    seat.view().board->reach.mixed_to = 39000 + seat.geometry().reach_frames;
    CHECK(seat.timeline().published() == 40000);
}

TEST_CASE("keeper: tends as soon as the server is silent, and sleeps again when it is not")
{
    Sleeper seat;
    seat.device_at(2048);
    os::Timer silence;
    silence.set(os::monotonic_ns() + 3600'000 * ms);
    const std::uint64_t reach = 2048 + seat.geometry().reach_frames;
    const auto looked = [&] { return seat.world.questions.load(); };
    const auto eventually = [](auto condition) {
        for (int i = 0; i < 10000 && !condition(); i++)
            os::sleep_ns(ms);
        return condition();
    };
    {
        const Keeper keeper(seat, silence.fd());
        const int before = looked();
        os::sleep_ns(30 * ms); // three cycles, in which it could have looked
        CHECK(looked() == before);
        silence.set(1);
        CHECK(eventually([&] { return seat.view().board->reach.mixed_to.load() == reach; }));
        CHECK(eventually([&] { return looked() > before + 3; })); // again and again
        silence.set(os::monotonic_ns() + 3600'000 * ms);
        int last = -1;
        CHECK(eventually([&] { // until it looks no more
            const int now = looked();
            os::sleep_ns(50 * ms);
            return std::exchange(last, now) == looked();
        }));
    } // ends at once, however long the timer is
    CHECK(seat.slot().stream.tending.load() == 0);
}

TEST_CASE("keeper: takes no signals of the program's")
{
    Sleeper seat;
    os::Timer silence;
    const Keeper keeper(seat, silence.fd());
    static std::atomic<int> taken{0};
    static pthread_t mine = pthread_self();
    static std::atomic<bool> elsewhere{false};
    const auto before = std::signal(SIGUSR1, [](int) {
        taken++;
        if (pthread_equal(mine, pthread_self()) == 0)
            elsewhere = true;
    });
    for (int i = 0; i < 100; i++)
        ::kill(::getpid(), SIGUSR1);
    std::signal(SIGUSR1, before);
    CHECK(taken > 0);
    CHECK_FALSE(elsewhere);
}

TEST_CASE("keeper: a forked child has none, and leaves its parent's alone")
{
    Sleeper seat;
    seat.device_at(2048);
    os::Timer silence;
    Keeper keeper(seat, silence.fd());
    const pid_t child = ::fork();
    if (child == 0) {
        keeper.forget();
        keeper.~Keeper(); // waits for nobody
        ::_exit(0);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    silence.set(1);
    for (int i = 0; i < 10000 && seat.view().board->reach.mixed_to.load() < 2048 + 3072; i++)
        os::sleep_ns(ms);
    CHECK(seat.view().board->reach.mixed_to.load() == 2048 + 3072); // it still tends
}
