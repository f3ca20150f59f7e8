// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the engine does when its device stops, and what it tells of streams.

#include "captured.h"
#include "core/sync_info.h"
#include "core/tail.h"
#include "house.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sys/timerfd.h>
#include <unistd.h>

using namespace ringmix;
using namespace ringmix::test;

namespace {

core::SyncSnapshot newest(House& house)
{
    core::SyncSnapshot snapshot;
    REQUIRE(core::read_newest(house.requests.instance()->view().board->sync, snapshot));
    return snapshot;
}

void stop(House& house)
{
    house.device->state = DevicePosition::stopped;
    house.requests.instance()->engine().cycle();
}

} // namespace

TEST_CASE("engine: after a restart of the device the whole reach is mixed again")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.play(player, {0, 1000000});
    house.step();
    house.device->frame = 3000; // mixed until far behind the place at which it will go on
    house.step();
    const std::uint64_t reach = house.requests.instance()->view().geometry.reach_frames;
    const Stderr quiet;
    stop(house);
    house.step();
    REQUIRE(house.device->resets == 1);
    house.step();
    CHECK(newest(house).generation == 1);
    CHECK(newest(house).state == abi::device_running);
    const std::uint64_t frame = house.device->frame;
    CHECK(frame == FakeDevice::ring_frames);
    for (std::uint64_t f = frame; f < frame + reach; f++)
        REQUIRE(house.device->sample(f) == 1000);
}

TEST_CASE("engine: while the device is stopped time stands still, and the dead are not heard afterwards")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.play(player, {0, 1000000});
    house.device->frame = 1000;
    house.step();
    const Stderr quiet;
    house.device->reset_error = -EAGAIN;
    stop(house);
    house.step();
    const core::SyncSnapshot stopped = newest(house);
    CHECK(stopped.state == abi::device_stopped);
    CHECK(stopped.frame == 1000);
    CHECK(stopped.time_ns <= os::monotonic_ns()); // of this server, now: not what the device said last
    CHECK(core::frame_at(stopped, os::monotonic_ns() + 1'000'000'000) == 1000);

    house.requests.leave(player, "its process has died");
    house.step();
    house.step();
    CHECK(house.requests.players() == 0);
    house.device->reset_error = 0;
    house.device->reset();
    house.step();
    for (std::uint64_t f = 0; f < FakeDevice::ring_frames; f++)
        REQUIRE(house.device->sample(f) == 0);
}

TEST_CASE("engine: a device that cannot be restarted is tried now and then, counted once and told once")
{
    House house;
    house.step();
    house.device->reset_error = -EIO;
    const Stderr captured;
    stop(house);
    for (int i = 0; i < 2000; i++)
        house.step();
    CHECK(house.requests.instance()->engine().xruns() == 1);
    CHECK(house.device->resets >= 1);
    CHECK(house.device->resets < 20);
    const std::string text = captured.text();
    CHECK_MESSAGE(Stderr::count_of(text, "cannot restart") == 1, text);
    CHECK_MESSAGE(Stderr::count_of(text, "has stopped") == 1, text);
}

TEST_CASE("engine: two cycles behind the device are left alone")
{
    for (const std::uint32_t rate : {8000u, 48000u, 192000u, 384000u}) {
        for (const std::uint32_t buffer : {0u, rate / 25, rate / 4}) {
            Options options;
            options.wishes.device = "virtual";
            options.wishes.rate = rate;
            options.wishes.buffer_frames = buffer;
            ClientNames names;
            Doorbell bell;
            const Instance instance(open_device(options.wishes, nullptr), options, nullptr, names, bell);
            const abi::Geometry& geometry = instance.view().geometry;
            const std::uint64_t cycle = std::uint64_t{geometry.cycle_ns} * rate / 1'000'000'000;
            CAPTURE(rate);
            CAPTURE(geometry.ring_frames);
            CHECK(geometry.cycle_ns <= 10'000'000);
            CHECK(cycle > 0);
            CHECK(geometry.ring_frames - geometry.reach_frames >= 2 * cycle);
            CHECK(geometry.reach_frames >= geometry.ring_frames / 2);
        }
    }
}

TEST_CASE("engine: what is stored behind the device is replaced before it is played, also while nobody plays")
{
    House house;
    house.device->frame = 5000;
    house.step();
    const abi::Geometry& geometry = house.requests.instance()->view().geometry;
    const std::uint64_t left_alone = geometry.ring_frames - geometry.reach_frames; // behind the device
    const std::int16_t late = 123;
    for (std::uint64_t frame = 5000 - left_alone; frame < 5000; frame++)
        std::memcpy(house.device->ring() + frame % geometry.ring_frames * 4, &late, sizeof late);
    for (std::uint64_t more = 0; more <= left_alone; more += left_alone / 4) {
        house.device->frame = 5000 + more;
        house.step();
        for (std::uint64_t frame = 5000 + more; frame < 5000 + more + geometry.reach_frames; frame++)
            if (house.device->sample(frame) != 0)
                FAIL_CHECK("frame " << frame);
    }
}

TEST_CASE("engine: what a stopped client leaves half mixed is repaired and counted")
{
    House house;
    FakeSession player, other;
    house.greet(player);
    house.configure(player);
    house.greet(other);
    house.configure(other, 10);
    house.play(player, {0, 100000});
    house.step();
    const std::int16_t stale = 77;
    for (std::uint64_t frame = 500; frame < 600; frame++)
        std::memcpy(house.device->ring() + frame * 4, &stale, sizeof stale);
    house.slot(other).stream.posting.store(core::pack({500, 600}));
    for (int i = 0; i < 3; i++) // it does not move
        house.step();
    for (std::uint64_t frame = 500; frame < 600; frame++)
        CHECK(house.device->sample(frame) == 1000);
    CHECK(house.requests.instance()->engine().repairs() >= 1);
}

TEST_CASE("engine: the log has every stream, also those that begin and end between two looks")
{
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("ringmix-events-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder);
    {
        House house(folder / "out.wav");
        FakeSession player;
        house.greet(player);
        house.configure(player);
        house.step();
        const core::BoardView& view = house.requests.instance()->view();
        abi::Slot& slot = house.slot(player);
        const auto end = [&](std::uint64_t last) {
            core::leave_tail(view, slot, core::unpack(slot.stream.range.load(), last), {last, last}, 0);
            slot.stream.stream.store((slot.stream.stream.load() >> 32) << 32 | abi::stream_idle);
        };
        house.play(player, {100, 5000});
        house.step(); // seen while it plays
        end(150);
        for (std::uint64_t n = 2; n <= 5; n++) {
            house.play(player, {100 * n, 5000});
            end(100 * n + 50);
        }
        house.play(player, {600, 5000});
        house.step();
        end(650);
        for (std::uint64_t n = 7; n <= 6 + abi::stream_records + 3; n++) {
            house.play(player, {100 * n, 5000});
            end(100 * n + 50);
        }
        house.step();
    }
    std::ifstream file(folder / "out.wav.jsonl");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::filesystem::remove_all(folder);
    for (std::uint64_t n = 1; n <= 6 + abi::stream_records + 3; n++) {
        const std::string stream = R"("stream":)" + std::to_string(n) + R"(,"first_frame":)" + std::to_string(100 * n);
        CHECK_MESSAGE(Stderr::count_of(text, stream + "}") == (n >= 7 && n <= 9 ? 0 : 1), text);
        CHECK_MESSAGE(Stderr::count_of(text, stream + R"(,"last_frame":)" + std::to_string(100 * n + 49) + ",") ==
                          (n >= 6 && n <= 9 ? 0 : 1),
                      text);
    }
    CHECK(Stderr::count_of(text, R"("event":"missed")") == 1);
    CHECK(Stderr::count_of(text, R"("streams":4})") == 1);
}

TEST_CASE("engine: the log has a stream's end under the name of who played it, however late the butler is")
{
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("ringmix-names-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder);
    {
        House house(folder / "out.wav");
        FakeSession first, second;
        house.greet(first, "first");
        house.configure(first);
        house.play(first, {100, 5000});
        house.step();
        house.requests.leave(first, "its process has died");
        for (int i = 0; i < 3; i++) { // the butler is busy elsewhere
            house.device->frame += 6000;
            house.requests.instance()->engine().cycle();
            house.requests.free_retired();
        }
        house.greet(second, "second");
        house.step();
        house.step();
        CHECK(house.requests.players() == 1);
    }
    std::ifstream file(folder / "out.wav.jsonl");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::filesystem::remove_all(folder);
    CHECK_MESSAGE(Stderr::count_of(text, R"("event":"start","client":0,"name":"first")") == 1, text);
    CHECK_MESSAGE(Stderr::count_of(text, R"("event":"end","client":0,"name":"first")") == 1, text);
}

TEST_CASE("engine: what was played is not heard again when the 40 bits of its end come round")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.play(player, {0, 500});
    house.step();
    abi::Slot& slot = house.requests.instance()->slot(player.slot);
    slot.tail.range.store(core::pack({0, 300}));
    house.device->frame = std::uint64_t{1} << 31;
    house.step();
    CHECK(slot.stream.range.load() != 0); // not yet
    for (std::uint64_t turn = 1; turn <= 1 << 9; turn++) {
        house.device->frame = turn << 32;
        house.step();
    }
    CHECK(slot.stream.range.load() == 0);
    CHECK(slot.tail.range.load() == 0);
    house.device->frame = (std::uint64_t{1} << 40) - 400;
    house.step();
    for (std::uint64_t f = house.device->frame; f < (std::uint64_t{1} << 40) + 500; f++)
        REQUIRE(house.device->sample(f) == 0);
}

TEST_CASE("engine: what was played is forgotten also by one that stood for more than 2^39 frames")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.play(player, {0, 500});
    house.step();
    abi::Slot& slot = house.requests.instance()->slot(player.slot);
    house.device->frame = (std::uint64_t{1} << 39) + (std::uint64_t{1} << 33);
    house.step();
    CHECK(slot.stream.range.load() == 0);
}

TEST_CASE("engine: says how far it mixes, and that it lives")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.device->frame = 1000;
    house.step();
    const core::BoardView& view = house.requests.instance()->view();
    CHECK(view.board->reach.mixed_to.load() == 1000 + view.geometry.reach_frames);
    // The timer that clients sleep on is ahead by some cycles, and is pushed on.
    const int silence = house.requests.instance()->descriptors()[3];
    const auto left_ns = [&] {
        itimerspec left{};
        REQUIRE(::timerfd_gettime(silence, &left) == 0);
        return left.it_value.tv_sec * 1'000'000'000 + left.it_value.tv_nsec;
    };
    CHECK(left_ns() > 0);
    CHECK(left_ns() <= 3 * view.geometry.cycle_ns);
    os::sleep_ns(view.geometry.cycle_ns);
    const auto before = left_ns();
    house.step();
    CHECK(left_ns() > before);
}

TEST_CASE("engine: one that was stopped for longer than a turn, while clients tended the ring, stores nothing old")
{
    House house({}, abi::device_kernel);
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.play(player, {0, 5000});
    const core::BoardView& view = house.requests.instance()->view();
    const std::uint64_t mixed = 100 + view.geometry.reach_frames;
    house.device->frame = 100;
    house.device->next_frame = 6000; // after the cycle's first look
    view.board->reach.mixed_to = 6000 + view.geometry.reach_frames;
    house.requests.instance()->engine().cycle();
    for (std::uint64_t frame = 100; frame < mixed; frame++)
        REQUIRE(house.device->sample(frame) == 0);
}

TEST_CASE("engine: a gain changes all that is mixed, also what others have mixed while this one was stopped")
{
    House house({}, abi::device_kernel);
    FakeSession player;
    house.greet(player);
    house.configure(player);
    const core::BoardView& view = house.requests.instance()->view();
    const std::uint64_t later = 3000, mixed = later + view.geometry.reach_frames;
    house.device->frame = 100;
    house.device->next_frame = later; // after the cycle's first look
    house.play(player, {later, mixed});
    for (std::uint64_t frame = later; frame < mixed; frame++)
        core::recombine(view, frame, 1);
    view.board->reach.mixed_to = mixed;
    house.requests.instance()->engine().set_gain(player.slot, abi::unity_gain / 2);
    house.requests.instance()->engine().cycle();
    for (std::uint64_t frame = later; frame < later + view.geometry.margin_frames; frame++)
        REQUIRE(house.device->sample(frame) == 1000);
    const std::uint64_t changed = later + view.geometry.margin_frames + core::fade_frames(view.geometry.rate);
    for (std::uint64_t frame = changed; frame < mixed; frame++)
        REQUIRE(house.device->sample(frame) == 500);
}
