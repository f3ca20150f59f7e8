// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What others see, or do, between any two accesses of a function to the shared words. This is built with the
// simulator's words (tests/sim/steps.h), each access to which calls pause_here().

#include "client/stream.h"
#include "core/sync_info.h"
#include "fake_seat.h"
#include "server/engine.h"
#include "tests/core/snapshots.h"

#include <csignal>
#include <doctest/doctest.h>
#include <functional>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace ringmix::sim {
namespace {
std::function<void()> between; // two steps; what it does itself takes none
bool inside = false;
} // namespace

std::int64_t steps_left = 0;
void pause_here() noexcept
{
    steps_left = 0;
    if (inside || !between)
        return;
    inside = true;
    between();
    inside = false;
}
} // namespace ringmix::sim

using namespace ringmix;
using core::SyncSnapshot;
using test::numbered;

namespace {

// While it exists, `what` happens between any two steps.
struct Between {
    explicit Between(std::function<void()> what) { sim::between = std::move(what); }
    ~Between() { sim::between = nullptr; }
};

bool whole(const SyncSnapshot& s) { return test::same(s, numbered(s.frame / 1024)); }

constexpr std::uint64_t buffer = 1024;

struct Playing : test::FakeSeat {
    client::Stream stream;
    std::vector<std::byte> scratch; // a ring in which everything is as the lanes say

    explicit Playing(std::uint64_t buffer_frames = buffer)
        : FakeSeat(test::small_device()), stream(*this), scratch(geometry().ring_bytes)
    {
        core::ChannelMap map;
        map.fill(abi::no_channel);
        map[0] = 0;
        stream.configure(abi::format_s16, 1, buffer_frames, map);
        stream.prepare();
    }
    void write(std::uint64_t position, std::uint64_t frames, std::int16_t level)
    {
        const std::vector<std::int16_t> samples(frames, level);
        const client::ChannelArea area{reinterpret_cast<const std::byte*>(samples.data()), sizeof(std::int16_t)};
        stream.write(position, {&area, 1}, frames);
    }
    // Frames that can still be changed, up to the reach, that are not in the ring as the lanes say, and that nobody
    // says he posts.
    std::uint64_t forgotten(const abi::Word64& posting_word)
    {
        core::BoardView other = view();
        other.ring = scratch.data();
        const core::Extent posting = core::unpack(posting_word.peek(), played);
        std::uint64_t count = 0;
        const std::uint64_t horizon = played + geometry().margin_frames;
        for (std::uint64_t frame = horizon; frame < played + geometry().reach_frames; frame++) {
            const std::uint64_t at = frame % geometry().ring_frames * view().frame_bytes;
            core::recombine(other, frame, 1);
            const bool same = std::memcmp(scratch.data() + at, view().ring + at, view().frame_bytes) == 0;
            count += !same && (frame < posting.start || frame >= posting.end) ? 1 : 0;
        }
        return count;
    }
    std::uint64_t forgotten() { return forgotten(slot().stream.posting); }
};

// As an engine does that is not stopped: time goes on, and what comes within reach is mixed.
void play_on(Playing& seat, std::uint64_t frames)
{
    abi::Word64& mixed_to = seat.view().board->reach.mixed_to;
    seat.play_to(seat.played + frames);
    const std::uint64_t reach = seat.played + seat.geometry().reach_frames;
    for (std::uint64_t frame = std::max<std::uint64_t>(mixed_to.peek(), seat.played); frame < reach; frame++)
        core::recombine(seat.view(), frame, 1);
    mixed_to = reach;
}

// Plays the seat's ring; time stands still.
class StandingDevice final : public server::Device {
public:
    explicit StandingDevice(Playing& seat) : seat_(seat) {}
    const server::DeviceShape& shape() const noexcept override { return shape_; }
    std::string name() const override { return "standing"; }
    std::string identity() const override { return name(); }
    int shared_descriptor() const noexcept override { return -1; }
    std::byte* ring() const noexcept override { return seat_.view().ring; }
    void start() override {}
    server::DeviceStanding standing() const noexcept override { return {}; }
    void go_on(const server::DeviceStanding&) override {}
    void release_output() noexcept override {}
    void wait(std::int64_t) noexcept override {}
    server::DevicePosition update() noexcept override
    {
        constexpr std::int64_t ahead = 3'600'000'000'000;
        return {seat_.played, seat_.played, os::monotonic_ns() + ahead, server::DevicePosition::running};
    }
    int reset() noexcept override { return 0; }
    bool write_output() noexcept override { return false; }
    server::OutputState output_state() const override { return {}; }
    void leave_running() noexcept override {}

private:
    Playing& seat_;
    server::DeviceShape shape_{};
};

} // namespace

TEST_CASE("steps: a reader of time that stands still anywhere reads a whole snapshot")
{
    bool stood = true;
    for (std::uint64_t at = 0; stood; at++) {
        const auto ring = std::make_unique<abi::SyncRing>();
        for (std::uint64_t n = 1; n <= 3; n++)
            core::publish(*ring, numbered(n));
        std::uint64_t step = 0;
        stood = false;
        SyncSnapshot read;
        bool found = false;
        {
            const Between others([&] {
                if (step++ != at)
                    return;
                stood = true;
                for (std::uint64_t n = 4; n < 4 + abi::sync_entries; n++) // a turn, and the one that it reads anew
                    core::publish(*ring, numbered(n));
            });
            found = core::read_newest(*ring, read);
        }
        CAPTURE(at);
        CHECK(found);
        CHECK(whole(read));
    }
}

TEST_CASE("steps: a client that is stopped anywhere has said which frames of the ring are not as they should be")
{
    Playing seat;
    seat.write(0, buffer, 1000);
    std::uint64_t steps = 0, forgotten = 0;
    const Between others([&] {
        steps++;
        forgotten += seat.forgotten();
    });
    seat.stream.start();
    CHECK(forgotten == 0);
    seat.play_to(400);
    seat.write(buffer, 200, 2000);
    CHECK(forgotten == 0);
    seat.stream.end_at(900); // rewound
    CHECK(forgotten == 0);
    seat.write(900, 300, 3000);
    CHECK(forgotten == 0);
    seat.stream.pause();
    CHECK(forgotten == 0);
    seat.stream.resume();
    CHECK(forgotten == 0);
    seat.play_to(700);
    seat.stream.drop();
    CHECK(forgotten == 0);
    CHECK(steps > 100);
}

TEST_CASE("steps: a client that is stopped anywhere while it drops, and others mix on, leaves nothing of what it drops")
{
    bool stood = true;
    for (std::uint64_t at = 0; stood; at++) {
        Playing seat(8192);
        seat.write(0, 8192, 1000);
        seat.stream.start();
        play_on(seat, 500);
        std::uint64_t step = 0;
        stood = false;
        {
            const Between others([&] {
                if (step++ != at)
                    return;
                stood = true;
                play_on(seat, 2000);
            });
            seat.stream.drop();
        }
        CAPTURE(at);
        CHECK(seat.forgotten() == 0);
    }
}

TEST_CASE(
    "steps: an engine that is stopped anywhere while it changes a gain has said which frames are not as they should be")
{
    Playing seat;
    seat.write(0, buffer, 1000);
    seat.stream.start();
    StandingDevice device(seat);
    const auto trace = std::make_unique<server::TraceRing>();
    sem_t butler;
    ::sem_init(&butler, 0, 0);
    os::Timer silence;
    server::Engine engine(device, seat.view(), *trace, butler, silence, false);
    engine.cycle();
    std::uint64_t steps = 0, forgotten = 0;
    {
        const Between others([&] {
            steps++;
            forgotten += seat.forgotten(seat.view().board->engine.posting);
        });
        engine.set_gain(seat.slot_number(), abi::unity_gain / 2);
        engine.cycle();
    }
    CHECK(forgotten == 0);
    CHECK(steps > 100);
    CHECK(seat.forgotten() == 0);
    ::sem_destroy(&butler);
}

// The words of a standing are the program's own: its reader is stepped through by instructions.
TEST_CASE("steps: who asks where a stream stands gets no halves of two answers, wherever it stands still")
{
    struct Shared {
        client::PublishedStanding standing;
        std::atomic<std::uint64_t> halves{0}, answers{0};
    };
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    Shared& shared = *new (memory) Shared;
    const auto ask = [&shared] {
        const client::Standing s = shared.standing.read();
        shared.halves += s.origin.value != 3 * s.floor.value || s.running != (s.floor.value % 2 == 1) ? 1 : 0;
        shared.answers++;
    };
    const pid_t reader = ::fork();
    if (reader == 0) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) < 0)
            ::_exit(1);
        std::raise(SIGSTOP);
        for (;;)
            ask();
    }
    int status = 0;
    ::waitpid(reader, &status, 0);
    if (!WIFSTOPPED(status)) {
        MESSAGE("not tested: this system lets no process be stepped through");
        return;
    }
    ::ptrace(PTRACE_SETOPTIONS, reader, nullptr, PTRACE_O_EXITKILL);
    std::uint64_t told = 0;
    for (unsigned round = 0; round < 600; round++) {
        for (unsigned i = 0; i <= round % 397; i++) {
            REQUIRE(::ptrace(PTRACE_SINGLESTEP, reader, nullptr, nullptr) == 0);
            REQUIRE(::waitpid(reader, &status, 0) == reader);
        }
        for (int i = 0; i < 3; i++, told++)
            shared.standing.publish({told % 2 == 1, {told}, {3 * told}});
    }
    ::kill(reader, SIGKILL);
    ::waitpid(reader, &status, 0);
    CHECK(shared.answers.load() > 10);
    CHECK(shared.halves.load() == 0);
    ::munmap(memory, sizeof(Shared));
}
