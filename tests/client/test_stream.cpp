// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The client's stream on a fake seat: what the test's device plays is compared with what was asked for.

#include "client/stream.h"
#include "core/frames.h"
#include "core/tail.h"
#include "fake_seat.h"

#include <doctest/doctest.h>
#include <vector>

using namespace ringmix;
using client::ChannelArea;
using client::Stream;
using test::FakeSeat;

namespace {

constexpr std::uint64_t buffer = 1024;
constexpr std::uint64_t margin = 64;
constexpr std::uint64_t fade = 240;       // 5 ms
constexpr std::uint64_t slack = 64;       // buffer / 16
constexpr std::uint64_t taken_late = 960; // two cycles of the engine: what the virtual device has still to take out

// The sample at `position`, never 0.
std::int16_t sample(std::uint64_t position, int take = 0)
{
    return static_cast<std::int16_t>(1 + (position * 7 + static_cast<std::uint64_t>(take) * 1000) % 9000);
}

struct Playing : FakeSeat {
    Stream stream;

    explicit Playing(const abi::Geometry& g = test::small_device()) : FakeSeat(g), stream(*this)
    {
        core::ChannelMap map;
        map.fill(abi::no_channel);
        map[0] = 0;
        stream.configure(abi::format_s16, 1, buffer, map);
        stream.prepare();
    }
    std::uint64_t write(std::uint64_t position, std::uint64_t frames, int take = 0)
    {
        std::vector<std::int16_t> samples(frames);
        for (std::uint64_t i = 0; i < frames; i++)
            samples[i] = sample(position + i, take);
        const ChannelArea area{reinterpret_cast<const std::byte*>(samples.data()), sizeof(std::int16_t)};
        return stream.write(position, {&area, 1}, frames);
    }
    // The device goes on for `frames` frames.
    void play(std::uint64_t frames)
    {
        for (const std::uint64_t end = played + frames; played < end;) {
            play_to(std::min(played + 48, end));
            stream.tend();
        }
    }
    std::vector<std::int16_t> heard_from(std::uint64_t frame) const
    {
        return {heard.begin() + static_cast<std::ptrdiff_t>(frame), heard.end()};
    }
};

std::vector<std::int16_t> samples(std::uint64_t from, std::uint64_t to, int take = 0)
{
    std::vector<std::int16_t> list;
    for (; from < to; from++)
        list.push_back(sample(from, take));
    return list;
}

void append(std::vector<std::int16_t>& list, const std::vector<std::int16_t>& more)
{
    list.insert(list.end(), more.begin(), more.end());
}

} // namespace

TEST_CASE("stream: starts behind margin and slack, is played as written, and its positions tell so")
{
    Playing seat;
    CHECK(seat.stream.horizon_position() == 0);
    CHECK(seat.write(0, buffer) == 0);
    seat.stream.start();
    CHECK(seat.stream.horizon_position() == 0); // the first frame can still be changed
    CHECK(seat.stream.heard_position() == -static_cast<std::int64_t>(margin + slack));
    CHECK(seat.stream.time_of_horizon(0) == seat.world.now_ns); // it is the horizon already: nobody has to wait
    CHECK(seat.stream.time_of_horizon(1) == seat.timeline().time_of(slack + 1));
    seat.play(margin + slack + 500);
    CHECK(seat.heard_from(margin + slack) == samples(0, 500));
    CHECK(seat.stream.heard_position() == 500);
    CHECK(seat.stream.horizon_position() == 500 + margin);
    CHECK(seat.stream.time_of_horizon(600 + margin) == seat.timeline().time_of(seat.played + 100));
    CHECK(seat.stream.time_heard(600) == seat.timeline().time_of(seat.played + 100));
}

TEST_CASE("stream: what a write has returned of is in the device's ring, and nobody has to do anything more")
{
    Playing seat;
    const auto in_ring = [&](std::uint64_t frame) {
        return reinterpret_cast<const std::int16_t*>(seat.view().ring)[frame % seat.geometry().ring_frames];
    };
    const auto check = [&](std::uint64_t from, std::uint64_t to, int take) {
        for (std::uint64_t p = from; p < to; p++)
            if (in_ring(margin + slack + p) != sample(p, take))
                FAIL_CHECK("position " << p);
    };
    seat.write(0, 600);
    seat.stream.start();
    check(0, 600, 0);
    seat.write(600, 400);
    check(0, 1000, 0);
    seat.write(300, 500, 1); // rewound: the rest is taken back
    check(0, 300, 0);
    check(300, 800, 1);
    CHECK(in_ring(margin + slack + 800) == 0);
    seat.play_to(margin + slack + 100);
    seat.stream.pause();
    check(100, 100 + margin, 0);
    for (std::uint64_t p = 100 + margin; p < 1000; p++)
        if (in_ring(margin + slack + p) != 0)
            FAIL_CHECK("position " << p);
}

TEST_CASE("stream: latency of the device is part of what is heard, not of what can be changed")
{
    Playing seat;
    core::SyncSnapshot snapshot = seat.snapshot(0);
    snapshot.latency_frames = 100;
    core::publish(seat.view().board->sync, snapshot);
    seat.write(0, buffer);
    seat.stream.start();
    CHECK(seat.stream.heard_position() == -static_cast<std::int64_t>(margin + slack + 100));
    CHECK(seat.stream.horizon_position() == 0);
    CHECK(seat.stream.time_heard(10) == seat.timeline().time_of(margin + slack + 110));
}

TEST_CASE("stream: rewritten from the horizon on, exactly; what is later than that stays, and is counted")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(margin + slack + 100);
    const std::uint64_t horizon = 100 + margin;
    CHECK(seat.write(horizon - 10, 500, 1) == 10);
    CHECK(seat.slot().stream.late_frames.load() == 10);
    CHECK(seat.stream.written() == horizon + 490);
    seat.play(1000);
    std::vector<std::int16_t> expected = samples(0, horizon);
    append(expected, samples(horizon, horizon + 490, 1));
    expected.resize(1100);
    CHECK(seat.heard_from(margin + slack) == expected);
}

TEST_CASE("stream: paused at the horizon, resumed at the next sample; nothing lost, nothing twice")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(margin + slack + 200);
    seat.stream.pause();
    const auto stands = seat.stream.horizon_position();
    CHECK(stands == static_cast<std::int64_t>(200 + margin));
    CHECK(seat.stream.heard_position() == stands);
    seat.play(1000);
    CHECK(seat.stream.horizon_position() == stands);
    const std::uint64_t resumed = seat.played + margin + slack;
    seat.stream.resume();
    CHECK(seat.stream.horizon_position() == stands); // not before where it stood, while it has not begun
    seat.play(1000);
    std::vector<std::int16_t> expected = samples(0, 200 + margin);
    expected.resize(resumed - margin - slack);
    append(expected, samples(200 + margin, buffer));
    expected.resize(seat.played - margin - slack);
    CHECK(seat.heard_from(margin + slack) == expected);
}

TEST_CASE("stream: what was rewound to before the pause is too late, and leaves the tail's cells alone")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(margin + slack + 200);
    bool paused = false;
    SUBCASE("while it is paused") { paused = true; }
    SUBCASE("when it has been resumed") {}
    seat.stream.pause();
    if (!paused)
        seat.stream.resume();
    const std::uint64_t floor = 200 + margin;
    CHECK(seat.write(floor - 50, 300, 1) == 50); // 50 of them have been heard, or will be in a moment
    if (paused)
        seat.stream.resume();
    const std::uint64_t resumed = seat.played + 2 * margin + slack; // when the tail is over
    seat.play(2000);
    std::vector<std::int16_t> expected = samples(0, floor);
    expected.resize(std::max<std::uint64_t>(resumed, 0) - margin - slack);
    const std::size_t begins =
        static_cast<std::size_t>(std::find_if(seat.heard.begin() + static_cast<std::ptrdiff_t>(margin + slack + floor),
                                              seat.heard.end(), [](std::int16_t s) { return s != 0; }) -
                                 seat.heard.begin());
    CHECK(std::vector<std::int16_t>(seat.heard.begin() + margin + slack, seat.heard.begin() + margin + slack + floor) ==
          samples(0, floor));
    CHECK(std::vector<std::int16_t>(seat.heard.begin() + static_cast<std::ptrdiff_t>(begins),
                                    seat.heard.begin() + static_cast<std::ptrdiff_t>(begins) + 250) ==
          samples(floor, floor + 250, 1));
}

TEST_CASE("stream: a gap is silence, also where older sound lay")
{
    Playing seat;
    std::uint64_t position = 0;
    seat.write(position, buffer);
    seat.stream.start();
    for (int i = 0; i < 20; i++) { // several turns of the lane
        position += i == 0 ? buffer : 256;
        seat.play(i == 0 ? margin + slack + 256 : 256);
        seat.write(position, 256);
    }
    position += 256;
    const std::uint64_t begin = seat.played;
    const std::uint64_t at = static_cast<std::uint64_t>(seat.stream.heard_position());
    seat.stream.end_at(at + 300);          // rewound
    CHECK(seat.write(at + 500, 100) == 0); // and forward
    seat.play(800);
    std::vector<std::int16_t> expected = samples(at, at + 300);
    expected.resize(500);
    append(expected, samples(at + 500, at + 600));
    expected.resize(800);
    CHECK(seat.heard_from(begin) == expected);
}

TEST_CASE("stream: one that ran dry goes on late, and what was missed is silence and counted")
{
    Playing seat;
    seat.write(0, 200);
    seat.stream.start();
    seat.play(margin + slack + 200 + 300);
    CHECK(seat.write(200, 600) == 300 + margin);
    seat.play(600);
    std::vector<std::int16_t> expected = samples(0, 200);
    expected.resize(200 + 300 + margin);
    append(expected, samples(500 + margin, 800));
    expected.resize(1100);
    CHECK(seat.heard_from(margin + slack) == expected);
}

TEST_CASE("stream: after a pause in a dry stream, frames before where it stands are late and nothing is silenced")
{
    Playing seat;
    seat.write(0, 100);
    seat.stream.start();
    seat.play(margin + slack + 400);
    seat.stream.pause(); // 300 frames after its end
    CHECK(seat.stream.horizon_position() == static_cast<std::int64_t>(400 + margin));
    CHECK(seat.write(150, 100) == 100);
    CHECK(seat.write(250, 300) == 400 + margin - 250);
    const std::uint64_t resumed = seat.played + margin + slack;
    seat.stream.resume();
    seat.play(1000);
    std::vector<std::int16_t> expected = samples(400 + margin, 550);
    expected.resize(seat.played - resumed);
    CHECK(seat.heard_from(resumed) == expected);
}

TEST_CASE("stream: dropped, it fades from the horizon on; the next one begins when that is over")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(margin + slack + 100);
    seat.stream.drop();
    seat.stream.prepare();
    seat.write(0, buffer, 1);
    seat.stream.start();
    const std::uint64_t tail_end = margin + slack + 100 + margin + fade;
    seat.play(3000);
    std::vector<std::int16_t> expected = samples(0, 100 + margin);
    for (std::uint64_t i = 0; i < fade; i++) {
        const std::uint64_t gain = (std::uint64_t{abi::unity_gain} * (fade - i)) / fade;
        expected.push_back(static_cast<std::int16_t>(
            (static_cast<std::int64_t>(sample(100 + margin + i)) * static_cast<std::int64_t>(gain) +
             (std::int64_t{1} << 21)) >>
            22));
    }
    expected.resize(expected.size() + margin + taken_late);
    append(expected, samples(0, buffer, 1));
    REQUIRE(seat.heard.size() > tail_end + margin + taken_late + buffer);
    expected.resize(seat.played - margin - slack);
    CHECK(seat.heard_from(margin + slack) == expected);
}

TEST_CASE("stream: nothing that is dropped while the device stands is heard when it goes on")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(margin + slack + 100);
    seat.state = abi::device_stopped;
    seat.publish(seat.played);
    for (int i = 0; i < 100; i++) {
        seat.world.now_ns += 20'000'000;
        seat.publish(seat.played);
    }
    seat.stream.drop();
    const core::Extent tail = core::unpack(seat.slot().tail.range.load(), seat.played);
    CHECK(tail.end == seat.played + margin + fade); // as if it had been dropped when the device stopped
}

TEST_CASE("stream: after a restart of the device, what is queued is in the emptied ring again")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(margin + slack + 100);
    // The ring was emptied by the restart, and the frames are the same.
    std::memset(seat.view().ring, 0, seat.geometry().ring_bytes);
    seat.generation++;
    seat.publish(seat.played);
    seat.stream.tend();
    seat.play(800);
    CHECK(seat.heard_from(margin + slack) == samples(0, 900));
}

TEST_CASE("stream: more than the lane holds at once: the last frames are kept")
{
    Playing seat;
    const std::uint64_t lane = seat.slot().config.lane_frames.load();
    CHECK(seat.write(0, lane + 100) == 0);
    CHECK(seat.stream.written() == lane + 100);
    const auto* cells = reinterpret_cast<const std::int16_t*>(seat.view().arena);
    for (std::uint64_t p = 100; p < lane + 100; p++)
        if (cells[p % lane] != sample(p))
            FAIL("position " << p);
}

TEST_CASE("stream: a slot that is not held is not written")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(300);
    const std::vector<std::byte> before(reinterpret_cast<std::byte*>(&seat.slot()),
                                        reinterpret_cast<std::byte*>(&seat.slot() + 1));
    seat.mine = false;
    seat.write(buffer, 100);
    seat.stream.pause();
    seat.stream.resume();
    seat.stream.xrun();
    seat.stream.drop();
    seat.stream.prepare();
    seat.write(0, 100);
    seat.stream.start();
    seat.stream.tend();
    seat.stream.release();
    CHECK(std::memcmp(before.data(), &seat.slot(), before.size()) == 0);
}

TEST_CASE("stream: a board that told nonsense once does not keep the next stream from starting")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play(500);
    core::SyncSnapshot wrong = seat.snapshot(seat.played + 4000); // can be true, but is not
    core::publish(seat.view().board->sync, wrong);
    seat.stream.drop();
    seat.publish(seat.played);
    seat.stream.prepare();
    seat.write(0, buffer);
    seat.stream.start();
    CHECK(seat.stream.heard_position() >= -static_cast<std::int64_t>(4000 + 3 * margin + fade + slack));
}
