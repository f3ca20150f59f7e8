// SPDX-License-Identifier: LGPL-2.1-or-later
//
// house.h: a server without threads, sockets or clock: a device whose position the test sets, the real engine,
// butler and requests, and sessions whose answers are kept.

#pragma once

#include "os/timer.h"
#include "server/requests.h"

#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <string>
#include <vector>

namespace ringmix::test {

using namespace server;

// S16, stereo, 48 kHz. Time does not pass: what plays is `frame`.
class FakeDevice final : public Device {
public:
    static constexpr std::uint32_t ring_frames = 4096;

    explicit FakeDevice(std::uint32_t kind) : ring_(ring_frames * 4)
    {
        shape_.kind = kind;
        shape_.boundary = kind == abi::device_kernel ? std::uint64_t{ring_frames} << 40 : 0;
        shape_.format = abi::format_s16;
        shape_.channels = 2;
        shape_.rate = 48000;
        shape_.period_frames = 512;
        shape_.ring_frames = ring_frames;
        shape_.chmap = {3, 4}; // front left, front right
    }

    const DeviceShape& shape() const noexcept override { return shape_; }
    std::string name() const override { return "fake"; }
    std::string identity() const override { return "hw-Fake-0-0"; }
    int shared_descriptor() const noexcept override { return -1; }
    std::byte* ring() const noexcept override { return const_cast<std::byte*>(ring_.data()); }
    void start() override {}
    DeviceStanding standing() const noexcept override { return {{frame, frame, 0, state}, 0}; }
    void go_on(const DeviceStanding& standing) override { frame = standing.position.frame; }
    void release_output() noexcept override {}
    void wait(std::int64_t) noexcept override {}
    DevicePosition update() noexcept override
    {
        if (next_frame != 0 && updates++ > 0)
            frame = next_frame;
        constexpr std::int64_t hour = 3'600'000'000'000;
        return {frame, frame, os::monotonic_ns() + hour, state};
    }
    int reset() noexcept override
    {
        resets++;
        if (reset_error != 0)
            return reset_error;
        std::memset(ring_.data(), 0, ring_.size());
        frame = core::next_turn(0, frame, ring_frames);
        state = DevicePosition::running;
        return 0;
    }
    bool write_output() noexcept override { return false; }
    OutputState output_state() const override { return {}; }
    void leave_running() noexcept override {}

    // The left sample of the frame that is to be played as `number`.
    std::int16_t sample(std::uint64_t number) const noexcept
    {
        std::int16_t value;
        std::memcpy(&value, ring_.data() + number % ring_frames * 4, sizeof value);
        return value;
    }

    std::uint64_t frame = 0;
    std::uint64_t next_frame = 0; // where it is found at the second look
    int updates = 0;
    std::uint32_t state = DevicePosition::running;
    int resets = 0;
    int reset_error = 0;

private:
    DeviceShape shape_{};
    std::vector<std::byte> ring_;
};

class FakeSession final : public Session {
public:
    bool send(std::span<const std::byte> message, std::span<const int> descriptors) override
    {
        answers.emplace_back(message.begin(), message.end());
        passed = descriptors.size();
        return true;
    }

    std::vector<std::vector<std::byte>> answers;
    std::size_t passed = 0; // descriptors with the last answer
};

struct House {
    explicit House(const std::string& output = {}, std::uint32_t kind = abi::device_virtual)
        : requests(options, names, [this, kind] {
              auto made = std::make_unique<FakeDevice>(kind);
              device = made.get();
              return std::make_unique<Instance>(std::move(made), options, nullptr, names, bell);
          })
    {
        options.wishes.output = output;
        requests.open();
    }

    // The engine, the butler and control have each done what there was to do.
    void step()
    {
        requests.instance()->engine().cycle();
        requests.instance()->butler().serve();
        requests.free_retired();
    }

    // The last answer to a request; the connection must stay.
    template <class Reply, class Request> Reply ask(FakeSession& session, const Request& request)
    {
        session.answers.clear();
        REQUIRE(requests.answer(session, core::bytes_of(request)));
        REQUIRE_FALSE(session.answers.empty());
        std::uint32_t type = 0;
        REQUIRE(core::check_message(session.answers.back(), type) == core::MessageFault::none);
        REQUIRE(type == Reply::type);
        return core::message_as<Reply>(session.answers.back());
    }

    protocol::Welcome greet(FakeSession& session, const char* name = "player")
    {
        auto hello = core::make_message<protocol::Hello>();
        hello.role = protocol::role_player;
        hello.gain = abi::unity_gain;
        core::put_text(hello.name, name);
        return ask<protocol::Welcome>(session, hello);
    }

    // A lane of S16 stereo, all of whose samples are `value`.
    void configure(FakeSession& session, std::int16_t value = 1000, std::uint64_t frames = 8192)
    {
        auto configure = core::make_message<protocol::Configure>();
        configure.format = abi::format_s16;
        configure.channels = 2;
        configure.lane_frames = frames;
        std::memset(configure.map, abi::no_channel, sizeof configure.map);
        configure.map[0] = 0;
        configure.map[1] = 1;
        const auto lane = ask<protocol::Configured>(session, configure);
        std::vector<std::int16_t> samples(2 * frames, value);
        std::memcpy(requests.instance()->view().arena + lane.lane_offset, samples.data(), samples.size() * 2);
    }

    abi::Slot& slot(const FakeSession& session) { return requests.instance()->slot(session.slot); }

    // As a client does it: the stream plays `frames` from now on.
    void play(const FakeSession& session, core::Extent frames)
    {
        abi::Slot& shared = slot(session);
        const std::uint64_t serial = (shared.stream.stream.load() >> 32) + 1;
        shared.tail.start.store(frames.start);
        shared.stream.stream.store(serial << 32 | abi::stream_running);
        shared.stream.range.store(core::pack(frames));
    }

    Options options;
    ClientNames names;
    Doorbell bell;
    FakeDevice* device = nullptr;
    Requests requests;
};

} // namespace ringmix::test
