// SPDX-License-Identifier: LGPL-2.1-or-later

#include "kernel_seat.h"

#include <doctest/doctest.h>

using namespace ringmix;
using test::FakeSeat;

namespace {

constexpr std::int64_t ms = 1'000'000;

// A seat whose server was last heard of at frame 48000, 300 ms ago: the kernel is asked from now on.
struct Silent : FakeSeat {
    Silent() : FakeSeat(test::kernel_device())
    {
        world.kernel = true;
        world.now_ns = 2'000'000'000;
        publish(48000);
        timeline().read();
        world.now_ns += 300 * ms;
    }
    void kernel_at(std::uint64_t hw_ptr, bool running = true)
    {
        world.position = {hw_ptr, world.now_ns, running, false};
    }
};

} // namespace

TEST_CASE("timeline: now is extrapolated, published is not")
{
    FakeSeat seat(test::small_device());
    seat.publish(480);
    seat.world.now_ns += 5 * ms;
    const auto reading = seat.timeline().read();
    CHECK(reading.now == 480 + 240);
    CHECK(reading.published == 480);
    CHECK(seat.timeline().time_of(960) == seat.world.now_ns + 5 * ms);
}

TEST_CASE("timeline: now never goes back within a generation")
{
    FakeSeat seat(test::small_device());
    seat.world.now_ns += 10 * ms;
    CHECK(seat.timeline().read().now == 480);
    seat.publish(400); // the device is slower than it was taken to be
    CHECK(seat.timeline().read().now == 480);
    CHECK(seat.timeline().read().published == 400);
}

TEST_CASE("timeline: time stands still while the device is stopped")
{
    FakeSeat seat(test::small_device());
    seat.state = abi::device_stopped;
    seat.publish(1000);
    seat.world.now_ns += 3000 * ms;
    seat.publish(1000);
    const auto reading = seat.timeline().read();
    CHECK(reading.stands);
    CHECK(reading.now == 1000);
    CHECK(seat.timeline().time_of(1001) > seat.world.now_ns); // nobody wakes at once, again and again
    seat.state = abi::device_running;
    seat.generation++;
    seat.publish(4096);
    CHECK_FALSE(seat.timeline().read().stands);
    CHECK(seat.timeline().read().now == 4096);
}

TEST_CASE("timeline: nonsense in the sync ring is passed over")
{
    FakeSeat seat(test::small_device());
    seat.publish(480);
    CHECK(seat.timeline().read().now == 480);
    core::SyncSnapshot wrong = seat.snapshot(480);
    SUBCASE("a frame far ahead") { wrong.frame = std::uint64_t{1} << 40; }
    SUBCASE("a frame far beyond everything") { wrong.frame = ~std::uint64_t{0}; }
    SUBCASE("a frame far back")
    {
        seat.play_to(48000 * 10);
        CHECK(seat.timeline().read().now == 48000 * 10);
        wrong = seat.snapshot(3);
    }
    SUBCASE("a duration of nothing") { wrong.frame_ns = 1; }
    SUBCASE("a duration of ages") { wrong.frame_ns = ~std::uint64_t{0}; }
    SUBCASE("a time to come") { wrong.time_ns = std::int64_t{1} << 62; }
    const std::uint64_t before = seat.timeline().read().now;
    const std::int64_t start = seat.world.now_ns;
    for (int i = 0; i < 30; i++) { // 0.3 s of it
        seat.world.now_ns += 10 * ms;
        wrong.time_ns += wrong.time_ns < (std::int64_t{1} << 61) ? 10 * ms : 0;
        core::publish(seat.view().board->sync, wrong);
        const std::uint64_t expected = before + static_cast<std::uint64_t>((seat.world.now_ns - start) / ms * 48);
        CHECK(seat.timeline().read().now == expected);
    }
    seat.publish(before + 48 * 300);
    CHECK(seat.timeline().read().now == before + 48 * 300);
    CHECK(seat.timeline().read().published == before + 48 * 300);
}

TEST_CASE("timeline: while nothing can be believed, a stopped device stands, and the latency stays")
{
    FakeSeat seat(test::small_device());
    seat.state = abi::device_stopped;
    core::SyncSnapshot last = seat.snapshot(1000);
    last.latency_frames = 77;
    core::publish(seat.view().board->sync, last);
    CHECK(seat.timeline().read().latency == 77);
    seat.world.now_ns += 100 * ms;
    core::SyncSnapshot wrong = seat.snapshot(std::uint64_t{1} << 40);
    wrong.state = abi::device_running;
    core::publish(seat.view().board->sync, wrong);
    const auto reading = seat.timeline().read();
    CHECK(reading.stands);
    CHECK(reading.now == 1000);
    CHECK(reading.latency == 77);
}

TEST_CASE("timeline: what cannot be true and stays is believed in the end, and nothing sticks")
{
    FakeSeat seat(test::small_device());
    seat.publish(480);
    seat.timeline().read();
    for (int i = 0; i < 150; i++) {
        seat.world.now_ns += 10 * ms;
        seat.publish((std::uint64_t{1} << 40) + static_cast<std::uint64_t>(480 * i));
        seat.timeline().read();
    }
    CHECK(seat.timeline().read().now == (std::uint64_t{1} << 40) + 480 * 149);
    const std::uint64_t truth = 480 * 152;
    for (std::uint64_t i = 0; i < 150; i++) {
        seat.world.now_ns += 10 * ms;
        seat.publish(truth + 480 * i);
        seat.timeline().read();
    }
    CHECK(seat.timeline().read().now == truth + 480 * 149);
}

TEST_CASE("timeline: a silent server's clients ask the kernel")
{
    Silent seat;
    seat.kernel_at(48000 + 14400);
    CHECK(seat.timeline().read().now == 62400);
    CHECK(seat.timeline().read().published == 62400);
    seat.world.now_ns += 10 * ms;
    seat.kernel_at(48000 + 14880);
    CHECK(seat.timeline().read().published == 62880);
    CHECK(seat.timeline().published() == 62880);
}

TEST_CASE("timeline: a kernel's pointer that went back is no turn of the boundary")
{
    Silent seat;
    seat.kernel_at(128); // prepared anew, by a server that has not said so yet
    const auto reading = seat.timeline().read();
    CHECK(reading.stands);
    CHECK(reading.now < 100'000);
    seat.generation++;
    seat.publish(49152);
    CHECK(seat.timeline().read().now == 49152);
    CHECK_FALSE(seat.timeline().read().stands);
}

TEST_CASE("timeline: a stopped device without a server is lost, with one it only stands")
{
    Silent seat;
    seat.kernel_at(48000, false);
    CHECK(seat.timeline().read().stands);
    CHECK_FALSE(seat.timeline().lost());
    seat.world.gone = true;
    seat.timeline().read();
    CHECK(seat.timeline().lost());
}

TEST_CASE("timeline: the kernel's pointer wraps at the boundary")
{
    Silent seat;
    const std::uint64_t boundary = seat.geometry().boundary;
    core::SyncSnapshot last = seat.snapshot(48000);
    last.hw_ptr = boundary - 1152; // the place of frame 48000 in the ring
    core::publish(seat.view().board->sync, last);
    seat.world.now_ns += 300 * ms;
    seat.kernel_at(14400 - 1152);
    CHECK(seat.timeline().read().published == 48000 + 14400);
}

TEST_CASE("timeline: a virtual device without its server is lost")
{
    FakeSeat seat(test::small_device());
    seat.world.now_ns += 300 * ms;
    seat.timeline().read();
    CHECK_FALSE(seat.timeline().lost());
    seat.world.gone = true;
    seat.timeline().read();
    CHECK(seat.timeline().lost());
}
