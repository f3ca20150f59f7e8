// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/device_virtual.h"

#include <cstring>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>
#include <unistd.h>
#include <vector>

using namespace ringmix;
using namespace ringmix::server;

namespace {

std::int64_t fake_now = 0;
std::int64_t fake_clock() noexcept { return fake_now; }

std::vector<std::string> said;
void listen(const std::string& line) { said.push_back(line); }

struct TempFile {
    TempFile() { ::close(mkstemp(path.data())); }
    ~TempFile() { std::filesystem::remove(path); }
    std::vector<std::uint32_t> frames() const // S16 stereo behind the plain header
    {
        std::ifstream in(path, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(in), {}};
        std::vector<std::uint32_t> result((bytes.size() - 80) / 4);
        std::memcpy(result.data(), bytes.data() + 80, result.size() * 4);
        return result;
    }
    std::string path = "/tmp/ringmix-test-XXXXXX";
};

constexpr std::int64_t start_ns = 123'456'789'012'345;

} // namespace

TEST_CASE("time and frames are exact inverses for years")
{
    constexpr std::int64_t year = std::int64_t{365} * 24 * 3600 * 1'000'000'000;
    static_assert(frames_after(year * 50, 44100) == std::uint64_t{365} * 24 * 3600 * 50 * 44100);
    for (const std::uint32_t rate : {4000u, 44100u, 48000u, 384000u})
        for (const std::uint64_t from : {std::uint64_t{0}, frames_after(year * 30, rate)})
            for (std::uint64_t frame = from; frame < from + 2000; frame++) {
                const std::int64_t at = ns_of_frames(frame, rate);
                REQUIRE(frames_after(at, rate) == frame);
                REQUIRE((at == 0 || frames_after(at - 1, rate) == frame - 1));
            }
}

TEST_CASE("defaults and wishes")
{
    said.clear();
    DeviceWishes wishes;
    const DeviceShape usual = VirtualDevice(wishes, listen).shape();
    CHECK(usual.kind == abi::device_virtual);
    CHECK(usual.format == abi::format_s16);
    CHECK(usual.channels == 2);
    CHECK(usual.rate == 48000);
    CHECK(usual.period_frames == 512);
    CHECK(usual.ring_frames == 16384);
    CHECK(usual.boundary == 0);
    CHECK(usual.chmap[0] == 3);
    CHECK(usual.chmap[1] == 4);
    CHECK(said.empty());

    wishes.format = abi::format_s24_3;
    wishes.channels = 6;
    wishes.rate = 96000;
    wishes.period_frames = 100;
    wishes.buffer_frames = 5001;
    const DeviceShape exact = VirtualDevice(wishes, listen).shape();
    CHECK(exact.format == abi::format_s24_3);
    CHECK(exact.channels == 6);
    CHECK(exact.rate == 96000);
    CHECK(exact.period_frames == 100);
    CHECK(exact.ring_frames == 5001);
    CHECK(said.empty());

    wishes.format = abi::format_float;
    CHECK(VirtualDevice(wishes, listen).shape().format == abi::format_float);
    CHECK(said.empty());

    wishes = {};
    wishes.format = abi::format_u8;
    wishes.channels = 33;
    wishes.rate = 1000;
    wishes.period_frames = 1;
    wishes.buffer_frames = 100;
    const DeviceShape bounded = VirtualDevice(wishes, listen).shape();
    CHECK(bounded.format == abi::format_s16);
    CHECK(bounded.channels == 32);
    CHECK(bounded.rate == 4000);
    CHECK(bounded.period_frames == 32);
    CHECK(bounded.ring_frames == 160); // 40 ms
    CHECK(said.size() == 5);

    wishes = {};
    wishes.period_frames = 8192;
    CHECK(VirtualDevice(wishes, listen).shape().ring_frames == 32768);
}

TEST_CASE("plays what lies in the ring, exactly at its time, once")
{
    const TempFile file;
    DeviceWishes wishes;
    wishes.output = file.path;
    wishes.rate = 44100;
    std::vector<std::uint32_t> expected;
    {
        fake_now = start_ns - 5000;
        VirtualDevice device(wishes, listen, fake_clock);
        const std::uint32_t ring = device.shape().ring_frames;
        auto* const cells = reinterpret_cast<std::uint32_t*>(device.ring());
        CHECK(device.update().frame == 0); // not started: stands still
        fake_now = start_ns;
        device.start();

        std::uint64_t written = 0, last = 0;
        for (int step = 1; step <= 200; step++) {
            // A client stays a ring ahead of what has been played.
            for (; written < last + ring; written++)
                cells[written % ring] = static_cast<std::uint32_t>(written + 1);
            fake_now += 1'000'000 + step * 37'123;
            const DevicePosition position = device.update();
            CHECK(position.state == DevicePosition::running);
            CHECK(position.frame == frames_after(fake_now - start_ns, 44100));
            CHECK(position.hw_ptr == position.frame);
            CHECK(position.time_ns <= fake_now);
            CHECK(position.time_ns + 22676 > fake_now); // a frame's time
            for (std::uint64_t f = last; f < position.frame; f++)
                REQUIRE(cells[f % ring] == 0); // silenced
            REQUIRE(cells[position.frame % ring] == position.frame + 1);
            last = position.frame;
            device.write_output();
        }
        expected.resize(last);
        for (std::uint32_t f = 0; f < last; f++)
            expected[f] = f + 1;
        while (device.write_output()) {
        }
        CHECK(device.output_state().frames == last);
        CHECK(device.output_state().lost_frames == 0);
        CHECK(device.reset() == 0);
    }
    CHECK(file.frames() == expected);
}

TEST_CASE("late by more than a ring: the ring once, then silence, and no frame missing")
{
    const TempFile file;
    DeviceWishes wishes;
    wishes.output = file.path;
    wishes.buffer_frames = 4096;
    {
        fake_now = start_ns;
        VirtualDevice device(wishes, listen, fake_clock);
        auto* const cells = reinterpret_cast<std::uint32_t*>(device.ring());
        device.start();
        fake_now += 10'000'000; // 480 frames
        CHECK(device.update().frame == 480);
        for (std::uint32_t f = 480; f < 480 + 4096; f++)
            cells[f % 4096] = f;
        fake_now += 1'000'000'000;
        CHECK(device.update().frame == 48480);
        while (device.write_output()) {
        }
    }
    const auto got = file.frames();
    REQUIRE(got.size() == 48480);
    bool right = true;
    for (std::uint32_t f = 0; f < got.size(); f++)
        right = right && got[f] == (f >= 480 && f < 480 + 4096 ? f : 0);
    CHECK(right);
}

TEST_CASE("wait ends at the next period or the deadline")
{
    VirtualDevice device({}, nullptr);
    device.start();
    const DevicePosition first = device.update();
    device.wait(first.time_ns + 10'000'000'000);
    CHECK(device.update().frame >= 512);
    const std::int64_t before = os::monotonic_ns();
    device.wait(before + 1'000'000);
    CHECK(os::monotonic_ns() < before + 1'000'000'000);
}
