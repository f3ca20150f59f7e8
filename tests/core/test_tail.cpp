// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Streams that end: what remains of them, and what others see of it at each instruction on the way.
#include "core/tail.h"

#include "tests/core/lanes.h"

#include <doctest/doctest.h>

#include <csignal>
#include <fcntl.h>
#include <string>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::FakeBoard;
using test::Lane;

namespace {

constexpr std::uint32_t ring_frames = 4096;
constexpr std::uint64_t now = 1500, horizon = now + ring_frames / 16, stream_end = 4000;
constexpr Extent ahead{now, stream_end}, changeable{horizon, stream_end};
constexpr std::int16_t level = 1000;

// A stream in slot 0 at a constant level, of which frame `now` is playing; perhaps with a tail before it,
// which is over, but still shown.
struct Scene {
    explicit Scene(bool with_old_tail)
    {
        for (std::size_t i = 0; i < 2 * lane.frames; i++)
            std::memcpy(board.arena() + 2 * i, &level, 2);
        lane.range = {1000, stream_end};
        test::install(board, 0, lane);
        if (with_old_tail) {
            slot.tail.range.store(pack({700, 900}));
            slot.stream.phase.store(abi::tail_flag);
        }
        board.published = now - 100;
        board.now = now;
    }

    // What the ring contains when somebody recombines all of it now.
    std::vector<std::int64_t> heard() const
    {
        Poster poster(board.view(), board.board().engine.posting, board.playhead());
        poster.post(ahead);
        std::vector<std::int64_t> samples;
        for (std::uint64_t frame = ahead.start; frame < ahead.end; frame++)
            samples.push_back(test::in_ring(board, frame, 1));
        return samples;
    }

    Lane lane_ended() const
    {
        Lane ended = lane;
        ended.range.end = ending.end;
        ended.fade_start = ending.cut;
        ended.fade_frames = ending.end - ending.cut;
        return ended;
    }

    void leave() const noexcept { leave_tail(board.view(), slot, lane.range, ending, now); }

    FakeBoard board{test::geometry(abi::format_s16, 2, ring_frames, 4 * 4096)};
    abi::Slot& slot = board.slot(0);
    Lane lane{.frames = 4096};
    Ending ending = ending_at(lane_range(), horizon, fade_frames(48000));

private:
    static constexpr Extent lane_range() { return {1000, stream_end}; }
};

// What another process can see of a slot, and of the blocks' versions.
struct Sight {
    alignas(abi::Slot) std::byte slot[sizeof(abi::Slot)];
    alignas(abi::BlockVersion) std::byte versions[ring_frames / abi::block_frames * sizeof(abi::BlockVersion)];

    const abi::Slot& shared() const { return *reinterpret_cast<const abi::Slot*>(slot); }
    std::uint32_t version(std::uint64_t block) const
    {
        std::uint32_t value;
        std::memcpy(&value, versions + block * sizeof(abi::BlockVersion), sizeof value);
        return value;
    }
    bool shows_range() const { return shared().stream.range.load() != 0; }
    bool shows_tail() const { return (shared().stream.phase.load() & abi::tail_flag) != 0; }
};

// Runs `action` in a child process, one instruction at a time; calls look(sight) for each that changed something.
// False: this system does not let it.
template <class Action, class Look> bool step_through(const Scene& scene, Action action, Look look)
{
    const pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) < 0)
            _exit(1);
        std::raise(SIGSTOP);
        action();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status))
        return false;
    ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL);
    const int memory = open(("/proc/" + std::to_string(child) + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
    Sight last, next;
    bool first = true;
    while (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0 && waitpid(child, &status, 0) == child &&
           WIFSTOPPED(status)) {
        const auto read = [&](void* to, std::size_t bytes, const void* from) {
            return pread(memory, to, bytes, static_cast<off_t>(reinterpret_cast<std::uintptr_t>(from))) ==
                   static_cast<ssize_t>(bytes);
        };
        REQUIRE(read(next.slot, sizeof next.slot, &scene.slot));
        REQUIRE(read(next.versions, sizeof next.versions, scene.board.view().versions));
        if (first || std::memcmp(&last, &next, sizeof next) != 0)
            look(next);
        last = next;
        first = false;
    }
    close(memory);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return true;
}

void copy_slot(const Sight& from, abi::Slot& to) { std::memcpy(static_cast<void*>(&to), from.slot, sizeof to); }

// Whether the versions of all blocks with frames of `frames` are others.
bool all_moved(const Sight& before, const Sight& after, Extent frames)
{
    bool all = true;
    for (std::uint64_t block = frames.start / abi::block_frames; block * abi::block_frames < frames.end; block++)
        all &= before.version(block) != after.version(block);
    return all;
}

} // namespace

TEST_CASE("tail: where a stream ends")
{
    CHECK(fade_frames(48000) == 240);
    const auto is = [](Ending ending, std::uint64_t cut, std::uint64_t end) {
        return ending.cut == cut && ending.end == end;
    };
    CHECK(is(ending_at({100, 5000}, 1000, 240), 1000, 1240));
    CHECK(is(ending_at({100, 1100}, 1000, 240), 1000, 1100));  // it ends within the fade
    CHECK(is(ending_at({100, 900}, 1000, 240), 900, 900));     // it is over
    CHECK(is(ending_at({2000, 5000}, 1000, 240), 2000, 2000)); // it was never heard
    CHECK(is(ending_at({100, 5000}, 1000, 0), 1000, 1000));    // a pause
}

TEST_CASE("tail: what remains of a stream is what was promised, and then silence")
{
    for (const bool old_tail : {false, true}) {
        const Scene scene(old_tail);
        scene.slot.tail.start.store(1000);
        scene.slot.stream.stream.store((std::uint64_t{abi::stream_records} + 3) << 32 | abi::stream_running);
        scene.heard();
        scene.leave();
        scene.heard();
        CHECK(test::wrong_samples(scene.board, {{scene.lane_ended()}}, ahead) == 0);
        CHECK(scene.slot.stream.range.load() == 0);
        const abi::StreamRecord& record = scene.slot.log.ended[3];
        CHECK(record.serial.load() == abi::stream_records + 3);
        CHECK(record.first.load() == 1000);
        CHECK(record.end.load() == scene.ending.end);
        CHECK(record.fade_frames.load() == scene.ending.end - scene.ending.cut);
    }
}

TEST_CASE("tail: at no instruction is a frame heard twice, and a reader of old and new sees a version move")
{
    for (const bool old_tail : {false, true}) {
        const Scene scene(old_tail), seen(old_tail);
        Sight with_range, with_old_tail;
        int states = 0;
        bool new_tail = false, shown = false;
        const bool done = step_through(
            scene, [&] { scene.leave(); },
            [&](const Sight& sight) {
                states++;
                copy_slot(sight, seen.slot);
                int twice = 0;
                for (const std::int64_t sample : seen.heard())
                    twice += sample > level ? 1 : 0;
                CHECK(twice == 0);
                CHECK_FALSE((sight.shows_range() && sight.shows_tail() && new_tail));

                const bool has_new = sight.shared().tail.range.load() == pack({1000, scene.ending.end});
                if (has_new && !new_tail && old_tail)
                    CHECK(all_moved(with_old_tail, sight, {now, scene.ending.end}));
                new_tail = has_new;
                if (new_tail && sight.shows_tail() && !shown) {
                    CHECK(all_moved(with_range, sight, {now, scene.ending.end}));
                    shown = true;
                }
                if (sight.shows_range())
                    with_range = sight;
                if (!new_tail && sight.shows_tail())
                    with_old_tail = sight;
            });
        if (!done) {
            MESSAGE("skipped: a process cannot be stepped through here");
            return;
        }
        CHECK(shown);
        CHECK(states > 10);
    }
}

TEST_CASE("tail: a client that dies at any instruction of its end fades as promised")
{
    const Scene scene(true);
    const bool done = step_through(
        scene, [&] { scene.leave(); },
        [&](const Sight& sight) {
            const Scene after(true);
            copy_slot(sight, after.slot);
            Poster engine(after.board.view(), after.board.board().engine.posting, after.board.playhead());
            retire(after.board.view(), after.slot, engine, now, now - 100);
            CHECK(test::wrong_samples(after.board, {{after.lane_ended()}}, changeable) == 0);
        });
    if (!done)
        MESSAGE("skipped: a process cannot be stepped through here");
}

TEST_CASE("tail: what a dead client was posting stays marked until it is posted again")
{
    Scene scene(false);
    scene.slot.stream.posting.store(pack({2000, 2100}));
    bool marked = true;
    int looks = 0;
    scene.board.on_look = [&] {
        looks++;
        marked &= scene.slot.stream.posting.load() != 0;
    };
    Poster engine(scene.board.view(), scene.board.board().engine.posting, scene.board.playhead());
    retire(scene.board.view(), scene.slot, engine, now, now - 100);
    CHECK(looks > 0);
    CHECK(marked);
    CHECK(scene.slot.stream.posting.load() == 0);
    CHECK(test::wrong_samples(scene.board, {{scene.lane_ended()}}, changeable) == 0);
}

TEST_CASE("tail: what is nearer than the margin is left to itself when a client is retired")
{
    Scene scene(false);
    std::memset(scene.board.ring(), 0x55, scene.board.view().geometry.ring_bytes);
    Poster engine(scene.board.view(), scene.board.board().engine.posting, scene.board.playhead());
    retire(scene.board.view(), scene.slot, engine, now, now - 100);
    std::uint32_t untouched;
    std::memset(&untouched, 0x55, sizeof untouched);
    for (std::uint64_t frame = now; frame < horizon; frame++)
        CHECK(std::memcmp(scene.board.ring() + frame % ring_frames * 4, &untouched, 4) == 0);
    CHECK(test::wrong_samples(scene.board, {{scene.lane_ended()}}, changeable) == 0);
}
