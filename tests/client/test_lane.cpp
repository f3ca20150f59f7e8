// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a stream keeps in its lane, what it takes from the server, and what it does for others.

#include "client/connection.h"
#include "client/stream.h"
#include "fake_seat.h"

#include <cerrno>
#include <doctest/doctest.h>
#include <optional>
#include <vector>

using namespace ringmix;
using client::ChannelArea;
using client::Stream;
using test::FakeSeat;

namespace {

constexpr std::uint64_t buffer = 1024;

// The sample at `position`, never 0, and in no other position of some lanes' length.
std::int16_t sample(std::uint64_t position) { return static_cast<std::int16_t>(1 + position % 30011); }

core::ChannelMap mono()
{
    core::ChannelMap map;
    map.fill(abi::no_channel);
    map[0] = 0;
    return map;
}

abi::Geometry device(std::uint32_t kind)
{
    abi::Geometry g = test::small_device();
    g.device_kind = kind;
    if (kind == abi::device_kernel)
        g.boundary = std::uint64_t{g.ring_frames} << 40;
    return g;
}

struct Playing : FakeSeat {
    Stream stream{*this};

    explicit Playing(const abi::Geometry& g = test::small_device()) : FakeSeat(g)
    {
        stream.configure(abi::format_s16, 1, buffer, mono());
        stream.prepare();
    }
    void write(std::uint64_t position, std::uint64_t frames, std::uint64_t other = 0)
    {
        std::vector<std::int16_t> samples(frames);
        for (std::uint64_t i = 0; i < frames; i++)
            samples[i] = sample(position + i + other);
        const ChannelArea area{reinterpret_cast<const std::byte*>(samples.data()), sizeof(std::int16_t)};
        stream.write(position, {&area, 1}, frames);
    }
    // What somebody who mixes `frame` now makes of it.
    std::int16_t mixed(std::uint64_t frame)
    {
        std::vector<std::byte> scratch(geometry().ring_bytes);
        core::BoardView other = view();
        other.ring = scratch.data();
        core::recombine(other, frame, 1);
        std::int16_t value;
        std::memcpy(&value, scratch.data() + frame % geometry().ring_frames * sizeof value, sizeof value);
        return value;
    }
};

} // namespace

TEST_CASE("lane: frames that were just played can be mixed as they were, and what is older not as something else")
{
    for (const std::uint32_t kind : {abi::device_virtual, abi::device_kernel}) {
        Playing seat(device(kind));
        CAPTURE(kind);
        seat.write(0, buffer);
        seat.stream.start();
        const std::uint64_t first = static_cast<std::uint64_t>(-seat.stream.heard_position());
        const std::uint64_t kept = kind == abi::device_virtual ? 2400 : 256; // 50 ms where the engine plays
        for (int i = 0; i < 400; i++) { // several turns of the lane, its buffer always full
            seat.play_to(seat.played + 48);
            const std::uint64_t end = static_cast<std::uint64_t>(seat.stream.horizon_position()) + buffer;
            seat.write(seat.stream.written(), end - seat.stream.written());
            if (i % 50 != 49)
                continue;
            for (std::uint64_t back = 1; back <= std::min<std::uint64_t>(seat.played - first, 9000); back++) {
                const std::uint64_t frame = seat.played - back;
                const std::int16_t mixed = seat.mixed(frame);
                if (mixed != sample(frame - first) && (back <= kept || mixed != 0))
                    FAIL("frame " << frame << ", played " << back << " frames ago, is mixed as " << mixed);
            }
        }
    }
}

TEST_CASE("lane: what is written after a drop does not lie in the cells of the tail")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    seat.play_to(300);
    seat.stream.drop();
    const core::Extent tail = core::unpack(seat.slot().tail.range.load(), seat.played);
    REQUIRE(tail.end > seat.played + 64);
    std::vector<std::int16_t> before;
    for (std::uint64_t frame = seat.played; frame < tail.end; frame++)
        before.push_back(seat.mixed(frame));
    seat.stream.prepare();
    seat.write(0, buffer, 10'000);
    for (std::uint64_t frame = seat.played; frame < tail.end; frame++)
        CHECK(seat.mixed(frame) == before[frame - seat.played]);
}

TEST_CASE("lane: a drain begins what was only prepared")
{
    Playing seat;
    seat.write(0, 500);
    seat.stream.drain(400);
    CHECK(seat.stream.running());
    CHECK(seat.stream.written() == 400);
    seat.play_to(1000);
    const auto first = seat.heard.begin() + 128;
    for (std::uint64_t p = 0; p < 500; p++)
        CHECK(first[static_cast<std::ptrdiff_t>(p)] == (p < 400 ? sample(p) : 0));
}

TEST_CASE("lane: one that the server gives outside of its arena, or too short, is refused")
{
    struct Elsewhere final : FakeSeat {
        using FakeSeat::FakeSeat;
        std::optional<std::uint64_t> offset, frames;
        protocol::Configured claim_lane(const protocol::Configure& wish) override
        {
            protocol::Configured lane = FakeSeat::claim_lane(wish);
            lane.lane_offset = offset.value_or(lane.lane_offset);
            lane.lane_frames = frames.value_or(lane.lane_frames);
            return lane;
        }
    };
    const std::uint64_t arena = test::small_device().arena_bytes;
    for (const std::uint64_t offset : {arena - 1000, arena, arena + 1, ~std::uint64_t{0}}) {
        Elsewhere seat(test::small_device());
        Stream stream(seat);
        seat.offset = offset;
        CHECK_THROWS_AS(stream.configure(abi::format_s16, 1, buffer, mono()), client::ClientError);
    }
    for (const std::uint64_t frames : {std::uint64_t{0}, buffer, arena / 2 + 1, ~std::uint64_t{0}}) {
        Elsewhere seat(test::small_device());
        Stream stream(seat);
        seat.frames = frames;
        CHECK_THROWS_AS(stream.configure(abi::format_s16, 1, buffer, mono()), client::ClientError);
    }
}

TEST_CASE("lane: a program that is awake repairs what another one leaves half mixed")
{
    Playing seat;
    seat.write(0, buffer);
    seat.stream.start();
    const std::uint64_t first = static_cast<std::uint64_t>(-seat.stream.heard_position());
    // A second player, stopped between sum and store.
    abi::Slot& other = seat.view().board->slots[9];
    seat.view().board->engine.active.fetch_or(std::uint64_t{1} << 9);
    other.stream.posting.store(core::pack({first + 900, first + 1000}));
    std::int16_t* ring = reinterpret_cast<std::int16_t*>(seat.view().ring);
    std::fill(ring + first + 900, ring + first + 1000, std::int16_t{-1});
    for (int i = 0; i < 3; i++) { // looks some ms apart
        seat.play_to(seat.played + 250);
        seat.stream.tend();
    }
    for (std::uint64_t p = 900; p < 1000; p++)
        CHECK(ring[first + p] == sample(p));
}

TEST_CASE("lane: the streams of a slot are numbered on from those of its last program")
{
    FakeSeat seat(test::small_device());
    seat.slot().stream.stream.store(std::uint64_t{41} << 32 | abi::stream_idle);
    Stream stream(seat);
    stream.configure(abi::format_s16, 1, buffer, mono());
    stream.prepare();
    const auto number = [&] { return seat.slot().stream.stream.load() >> 32; };
    CHECK(number() == 41);
    stream.start();
    CHECK(number() == 42);
}
