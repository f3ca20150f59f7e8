// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/gain.h"
#include "house.h"

#include <cerrno>

using namespace ringmix;
using namespace ringmix::test;

namespace {

protocol::SetGain gain_of(std::uint32_t slot, std::int32_t millibel)
{
    auto request = core::make_message<protocol::SetGain>();
    request.id = slot;
    request.what = protocol::gain_absolute;
    request.millibel = millibel;
    return request;
}

} // namespace

TEST_CASE("requests: a player is welcomed with the device's identity and three descriptors")
{
    House house;
    FakeSession player;
    const protocol::Welcome welcome = house.greet(player);
    CHECK(core::text_of(welcome.device) == "hw-Fake-0-0");
    CHECK(player.passed == protocol::welcome_descriptors);
    CHECK(welcome.slot == player.slot);
    CHECK(house.requests.players() == 1);
}

TEST_CASE("requests: a slot is freed when its audio has been played, whatever becomes of trace records")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    house.play(player, {0, 100000});
    house.step();
    for (std::uint32_t i = 0; i < 2 * TraceRing::size; i++)
        house.requests.instance()->butler().trace().write({trace_gain, player.slot, 0, 0, 0});
    house.requests.leave(player, "it has closed");
    house.requests.instance()->engine().cycle();
    CHECK(house.requests.players() == 1); // it fades
    house.device->frame += 1000;
    house.requests.instance()->engine().cycle();
    for (std::uint32_t i = 0; i < 2 * TraceRing::size; i++)
        house.requests.instance()->butler().trace().write({trace_gain, 0, 0, 0, 0});
    house.step();
    CHECK(house.requests.players() == 0);
}

TEST_CASE("requests: a client whose tail lies far ahead does not keep its slot")
{
    for (const std::uint64_t ahead : {std::uint64_t{1} << 20, std::uint64_t{1} << 38}) {
        House house;
        FakeSession player;
        house.greet(player);
        house.configure(player);
        house.step();
        abi::Slot& slot = house.slot(player);
        slot.tail.range.store(core::pack({ahead - 1000, ahead}));
        slot.stream.phase.store(abi::tail_flag);
        house.requests.leave(player, "it has closed");
        house.step();
        house.device->frame += FakeDevice::ring_frames;
        house.step();
        CHECK(house.requests.players() == 0);
        for (std::uint64_t f = house.device->frame; f < house.device->frame + FakeDevice::ring_frames; f++)
            REQUIRE(house.device->sample(f) == 0);
    }
}

TEST_CASE("requests: a gain that was asked for a slot's last client does not reach the next")
{
    House house;
    FakeSession first, tool, second;
    house.greet(first);
    house.configure(first);
    house.step();
    const std::uint32_t slot = first.slot;
    CHECK(house.ask<protocol::Done>(first, gain_of(slot, -600)).count == 1);
    house.step(); // the ramp goes on: the next one has to wait
    CHECK(house.ask<protocol::Done>(first, gain_of(slot, -1200)).count == 1);
    house.requests.leave(first, "it has closed");
    // Asked for by somebody who does not know yet that the client is dead.
    auto hello = core::make_message<protocol::Hello>();
    hello.role = protocol::role_tool;
    house.ask<protocol::Welcome>(tool, hello);
    CHECK(house.ask<protocol::Done>(tool, gain_of(slot, -1800)).count == 0);
    for (int i = 0; i < 4; i++) {
        house.step();
        house.device->frame += 1000;
    }
    REQUIRE(house.requests.players() == 0);
    house.greet(second);
    REQUIRE(second.slot == slot);
    house.configure(second);
    const std::uint64_t start = house.device->frame + FakeDevice::ring_frames; // all of it is the engine's to mix
    house.play(second, {start, start + 100000});
    for (int i = 0; i < 20; i++) {
        house.device->frame += 500;
        house.step();
        if (house.device->frame >= start)
            REQUIRE(house.device->sample(house.device->frame) == 1000);
    }
}

TEST_CASE("requests: a change of gain before there is a lane does not reach the slot's next client")
{
    House house;
    FakeSession first, second;
    house.greet(first);
    house.ask<protocol::Done>(first, gain_of(first.slot, -600));
    house.step();
    house.ask<protocol::Done>(first, gain_of(first.slot, -1200)); // waits for the ramp before it
    const std::uint32_t slot = first.slot;
    house.requests.leave(first, "it has closed");
    CHECK(house.requests.players() == 1); // until the engine knows
    house.step();
    CHECK(house.requests.players() == 0);
    house.greet(second);
    CHECK(second.slot == slot);
    house.step();
    house.device->frame += 1000;
    house.step();
    CHECK(core::read_gains(house.slot(second)).at(house.device->frame + 1000) == abi::unity_gain);
}

TEST_CASE("requests: a slot's next client finds nothing of its last one")
{
    House house;
    FakeSession last, next;
    house.greet(last);
    abi::Slot& slot = house.slot(last); // all that it can write
    slot.stream.range.store(core::pack({100, 900}));
    slot.stream.phase.store(77 | abi::tail_flag);
    slot.stream.posting.store(core::pack({200, 300}));
    slot.stream.stream.store(std::uint64_t{41} << 32 | abi::stream_running);
    slot.stream.underruns.store(5);
    slot.stream.late_frames.store(6);
    slot.tail.range.store(core::pack({50, 100}));
    core::publish_gains(slot, core::GainCurve::constant(abi::unity_gain / 2));
    house.requests.leave(last, "it has closed");
    house.step();
    house.greet(next);
    REQUIRE(&house.slot(next) == &slot);
    CHECK(slot.stream.range.load() == 0);
    CHECK(slot.stream.phase.load() == 0);
    CHECK(slot.stream.posting.load() == 0);
    CHECK(slot.stream.stream.load() == (std::uint64_t{41} << 32 | abi::stream_idle)); // no two streams share a number
    CHECK(slot.stream.underruns.load() == 0);
    CHECK(slot.stream.late_frames.load() == 0);
    CHECK(slot.tail.range.load() == 0);
    CHECK(core::read_gains(slot).at(0) == abi::unity_gain);
}

TEST_CASE("requests: a lane comes back when it is released, and is not taken from a stream that plays")
{
    House house;
    FakeSession player;
    house.greet(player);
    house.configure(player);
    const Arena& arena = house.requests.instance()->arena();
    CHECK(arena.used() > 0);
    house.configure(player); // another one instead
    const std::uint64_t one = arena.used();
    house.ask<protocol::Done>(player, core::make_message<protocol::Release>());
    CHECK(arena.used() == 0);
    house.configure(player);
    CHECK(arena.used() == one);

    house.play(player, {0, 100000});
    auto configure = core::make_message<protocol::Configure>();
    configure.format = abi::format_s16;
    configure.channels = 2;
    configure.lane_frames = 100;
    CHECK_FALSE(house.requests.answer(player, core::bytes_of(configure)));
    REQUIRE(core::message_as<protocol::Error>(player.answers.back()).error == EBUSY);
    CHECK(arena.used() == one);
    CHECK(house.slot(player).config.lane_frames.load() == 8192);
}

TEST_CASE("requests: clients are told as what their programs play, in frames of theirs")
{
    House house;
    FakeSession session;
    house.greet(session);
    const auto told = [&] {
        house.ask<protocol::Done>(session, core::make_message<protocol::AskClients>());
        return core::message_as<protocol::ClientInfo>(session.answers.at(session.answers.size() - 2));
    };
    const std::uint32_t rate = house.requests.instance()->view().geometry.rate;
    auto configure = core::make_message<protocol::Configure>();
    configure.format = abi::format_s32_high;
    configure.channels = 2;
    configure.lane_frames = 9600;
    configure.program_format = abi::format_u8;
    configure.program_rate = rate / 2;
    configure.program_channels = 6;
    configure.latency_frames = 32;
    house.ask<protocol::Configured>(session, configure);
    protocol::ClientInfo info = told();
    CHECK(info.format == abi::format_u8);
    CHECK(info.rate == rate / 2);
    CHECK(info.channels == 6);
    CHECK(info.converted == 1);
    CHECK(info.latency_frames == 32);
    CHECK(info.lane_frames == 4800);
    house.configure(session); // at the device's rate, for another piece of music
    info = told();
    CHECK(info.format == abi::format_s16);
    CHECK(info.rate == rate);
    CHECK(info.converted == 0);
    CHECK(info.latency_frames == 0);
    CHECK(info.lane_frames == 8192);
}
