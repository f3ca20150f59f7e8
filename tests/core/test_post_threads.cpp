// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The mixing protocol under threads. Posters write, rewind and restart their lanes as fast as they
// can; a simulated device plays the ring and compares each frame, at the moment of playing, with the
// sum of the lanes. A frame is not compared while a poster is at work on its place in the ring.
//
// RINGMIX_STRESS_SECONDS sets how long it runs (about 2 s).
#include "core/post.h"
#include "core/sync_info.h"

#include "tests/core/lanes.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::Dice;
using test::FakeBoard;
using test::Lane;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::uint32_t chunk = 256;           // frames that the device plays at once
constexpr std::uint64_t margin = 2 * chunk;    // nobody changes what is nearer than this
constexpr std::uint64_t unreached = 2 * chunk; // ring - reach
constexpr std::uint64_t everything = ~std::uint64_t{0};
constexpr std::uint64_t enough = 2000; // samples compared that were not silent

struct Plan {
    unsigned posters;
    std::uint32_t ring_frames;
    std::uint32_t device_format;
    std::uint32_t channels;
    bool rewinds;
    bool sleeps;
    bool shaped = false; // by the device: soft clipping and dither
};

double seconds()
{
    const char* text = std::getenv("RINGMIX_STRESS_SECONDS");
    return text != nullptr ? std::atof(text) : 2.0;
}

// Whether the place of `frame` in the ring is one of those of `frames`.
bool same_place(std::uint64_t frame, Extent frames, std::uint64_t ring)
{
    return (frame % ring + ring - frames.start % ring) % ring < frames.length();
}

// A client: its lane, and the hand that mixes it.
class Player {
public:
    Player(FakeBoard& board, const Plan& plan, unsigned index)
        : board_(board), plan_(plan), dice_(100 + index), slot_(board.slot(index)),
          poster_(board.view(), slot_.stream.posting, playhead())
    {
        constexpr std::uint32_t formats[] = {abi::format_s16, abi::format_s24_3, abi::format_s32, abi::format_float,
                                             abi::format_u8};
        const std::uint64_t room = board.view().geometry.arena_bytes / plan.posters;
        lane_.format = formats[index % std::size(formats)];
        lane_.channels = plan.channels;
        lane_.offset = index * room;
        lane_.frames = dice_.between(3 * chunk + 700, 5000);
        frame_bytes_ = sample_bytes(lane_.format) * lane_.channels;
        test::install(board, index, lane_);
    }

    // Frames that this client is changing now; `everything` while it decides. Read by the device.
    std::atomic<std::uint64_t> busy{0};
    std::atomic<std::uint64_t> written{0}; // frames before it are mixed; `everything` between two streams
    std::uint64_t written_frames = 0;
    std::uint64_t repairs = 0;

    void run(const std::atomic<bool>& stop)
    {
        while (!stop.load()) {
            busy.store(everything);
            const std::uint64_t now = published();
            const bool worked = playing_ ? go_on(now) : restart(now);
            written.store(playing_ ? end_ : everything);
            busy.store(0);
            if (dice_.once_in(16))
                repairs += poster_.repair();
            if (!worked)
                std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }

private:
    Playhead playhead()
    {
        return {[](const void* self) noexcept {
                    auto* player = static_cast<Player*>(const_cast<void*>(self));
                    player->sleep_perhaps(); // between a store and its check
                    return player->published();
                },
                [](const void* self) noexcept {
                    return const_cast<Player*>(static_cast<const Player*>(self))->published();
                },
                this};
    }

    std::uint64_t published() noexcept
    {
        read_newest(board_.board().sync, snapshot_);
        return snapshot_.frame;
    }

    void sleep_perhaps()
    {
        if (plan_.sleeps && dice_.once_in(100))
            std::this_thread::sleep_for(std::chrono::microseconds(dice_.below(3000)));
    }

    // A new stream, when what was left of the old one has been played.
    bool restart(std::uint64_t now)
    {
        if (now < end_)
            return false;
        slot_.stream.range.store(0, std::memory_order_release);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        slot_.stream.phase.store(dice_.below(1000), std::memory_order_relaxed);
        slot_.config.gain.store(abi::gain_flat |
                                (dice_.once_in(2) ? abi::unity_gain : dice_.below(2 * abi::unity_gain)));
        start_ = end_ = now + 2 * margin;
        playing_ = true;
        return write(now);
    }

    bool go_on(std::uint64_t now)
    {
        if (end_ < now + margin) { // too late to go on without a gap
            playing_ = false;
            return false;
        }
        if (plan_.rewinds && dice_.once_in(8) && end_ > now + margin) {
            const std::uint64_t cut = now + margin + dice_.below(end_ - now - margin);
            const bool drop = dice_.once_in(8);
            busy.store(pack({cut, now + board_.view().geometry.ring_frames - unreached}));
            take_back(cut);
            playing_ = !drop;
            return drop || write(now);
        }
        return write(now);
    }

    void take_back(std::uint64_t cut)
    {
        const Extent gone{cut, end_};
        end_ = cut;
        publish_range();
        sleep_perhaps();
        poster_.post(gone);
    }

    bool write(std::uint64_t now)
    {
        const std::uint64_t reach = now + board_.view().geometry.ring_frames - unreached;
        const std::uint64_t room = std::min(reach, now + lane_.frames) - end_;
        const std::uint64_t count = std::min<std::uint64_t>(room, dice_.between(1, 600));
        if (count == 0)
            return false;
        const Extent fresh{end_, end_ + count};
        if (busy.load() == everything)
            busy.store(pack(fresh));
        const std::uint64_t phase = slot_.stream.phase.load(std::memory_order_relaxed);
        for (std::uint64_t f = fresh.start; f < fresh.end; ++f)
            test::fill_randomly(dice_, board_.arena() + lane_.offset + (f + phase) % lane_.frames * frame_bytes_,
                                frame_bytes_);
        end_ = fresh.end;
        publish_range();
        sleep_perhaps();
        poster_.post(fresh);
        written_frames += count;
        return true;
    }

    void publish_range()
    {
        start_ = std::max(start_, end_ - std::min(end_, lane_.frames));
        slot_.stream.range.store(pack({std::min(start_, end_), end_}), std::memory_order_release);
    }

    FakeBoard& board_;
    const Plan& plan_;
    Dice dice_;
    abi::Slot& slot_;
    Poster poster_;
    Lane lane_;
    std::uint32_t frame_bytes_ = 0;
    SyncSnapshot snapshot_;
    bool playing_ = false;
    std::uint64_t start_ = 0;
    std::uint64_t end_ = 0; // of what is written
};

// The device and the engine: plays a chunk at a time, compares, silences, publishes, repairs.
class Device {
public:
    Device(FakeBoard& board, const std::vector<std::unique_ptr<Player>>& players, std::chrono::microseconds patience)
        : board_(board), players_(players), patience_(patience), ring_(board.view().geometry.ring_frames),
          poster_(board.view(), board.board().engine.posting,
                  {[](const void* self) noexcept { return static_cast<const Device*>(self)->frame_; },
                   [](const void* self) noexcept { return static_cast<const Device*>(self)->frame_; }, this})
    {
        publish();
    }

    std::uint64_t compared = 0, wrong = 0, loud = 0, in_flight = 0, repairs = 0;

    void play_chunk()
    {
        wait_for_players();
        find_work_in_flight();
        find_lanes();
        for (std::uint64_t f = frame_; f < frame_ + chunk; ++f)
            compare(f);
        frame_ += chunk;
        silence(frame_ - unreached); // what came late into the chunk before, too
        publish();
        repairs += poster_.repair();
    }

private:
    // The device waits for its clients, a little: the test is about order, not about speed.
    void wait_for_players()
    {
        const Clock::time_point deadline = Clock::now() + patience_;
        for (const auto& player : players_)
            while (Clock::now() < deadline && player->written.load() < frame_ + margin + 2 * chunk)
                std::this_thread::yield();
    }

    // Work that begins after this concerns frames from margin on, or stores what is there already.
    void find_work_in_flight()
    {
        work_.clear();
        for (std::size_t i = 0; i < players_.size(); ++i) {
            std::uint64_t busy = players_[i]->busy.load();
            while (busy == everything) {
                std::this_thread::yield();
                busy = players_[i]->busy.load();
            }
            work_.push_back(unpack(busy, frame_));
            work_.push_back(unpack(board_.slot(static_cast<std::uint32_t>(i)).stream.posting.load(), frame_));
        }
    }

    void find_lanes()
    {
        lanes_.clear();
        for (std::size_t i = 0; i < players_.size(); ++i) {
            const abi::Slot& slot = board_.slot(static_cast<std::uint32_t>(i));
            Lane lane;
            lane.range = unpack(slot.stream.range.load(std::memory_order_acquire), frame_);
            lane.format = slot.config.format.load();
            lane.channels = slot.config.channels.load();
            lane.offset = slot.config.lane_offset.load();
            lane.frames = slot.config.lane_frames.load();
            lane.gain = static_cast<std::uint32_t>(slot.config.gain.load());
            lane.phase = slot.stream.phase.load();
            lanes_.push_back(lane);
        }
    }

    void compare(std::uint64_t frame)
    {
        for (const Extent& extent : work_)
            if (same_place(frame, extent, ring_)) {
                ++in_flight;
                return;
            }
        ++compared;
        for (std::uint32_t c = 0; c < board_.view().geometry.channels; ++c) {
            const std::int64_t sample = test::in_ring(board_, frame, c);
            loud += sample != 0 ? 1 : 0;
            wrong += sample != test::mixed(board_, lanes_, frame, c) ? 1 : 0;
        }
    }

    void silence(std::uint64_t from)
    {
        for (std::uint64_t f = from; f < frame_; ++f)
            std::memset(board_.ring() + f % ring_ * board_.view().frame_bytes, 0, board_.view().frame_bytes);
    }

    void publish()
    {
        SyncSnapshot snapshot;
        snapshot.frame = frame_;
        snapshot.frame_ns = frame_duration(48000);
        core::publish(board_.board().sync, snapshot);
    }

    FakeBoard& board_;
    const std::vector<std::unique_ptr<Player>>& players_;
    std::chrono::microseconds patience_;
    std::uint64_t ring_;
    std::uint64_t frame_ = (std::uint64_t{1} << 40) - 5000; // packed words wrap soon
    Poster poster_;
    std::vector<Extent> work_;
    std::vector<Lane> lanes_;
};

void play(const Plan& plan)
{
    const abi::Geometry plain = test::geometry(plan.device_format, plan.channels, plan.ring_frames,
                                               plan.posters * 5000 * plan.channels * std::uint64_t{4});
    FakeBoard board(plan.shaped ? test::shaped(plain, abi::clip_soft, abi::dither_tpdf) : plain);
    std::vector<std::unique_ptr<Player>> players;
    for (unsigned i = 0; i < plan.posters; ++i)
        players.push_back(std::make_unique<Player>(board, plan, i));
    // The shorter than the sleeps, the more work is overtaken.
    Device device(board, players, std::chrono::microseconds(plan.sleeps ? 500 : 2000));

    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (const auto& player : players)
        threads.emplace_back([&] { player->run(stop); });
    const auto length = std::chrono::duration<double>(seconds() / 5);
    const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(length);
    // A busy machine may give the clients no time: then it takes longer.
    while (Clock::now() < end || (device.loud < enough && Clock::now() < end + std::chrono::seconds(10)))
        device.play_chunk();
    stop.store(true);
    for (std::thread& thread : threads)
        thread.join();

    std::uint64_t written = 0, repairs = 0;
    for (const auto& player : players) {
        written += player->written_frames;
        repairs += player->repairs;
    }
    MESSAGE(plan.posters << " posters: wrote " << written / abi::block_frames << " blocks; compared " << device.compared
                         << " frames, " << device.in_flight << " in flight; " << device.loud << " samples not silent; "
                         << device.repairs + repairs << " repairs");
    CHECK(device.wrong == 0);
    CHECK(device.loud >= enough);
    CHECK(board.intact());
}

} // namespace

TEST_CASE("post threads: two posters") { play({2, 4096, abi::format_s16, 2, false, false}); }
TEST_CASE("post threads: four posters that change their minds") { play({4, 4000, abi::format_s16, 2, true, false}); }
TEST_CASE("post threads: eight posters that sleep") { play({8, 4096, abi::format_s24_3, 2, false, true}); }
TEST_CASE("post threads: four posters, softened and dithered")
{
    play({4, 4000, abi::format_s16, 2, true, false, true});
}
TEST_CASE("post threads: five posters that do all of it") { play({5, 4001, abi::format_s32, 6, true, true}); }
TEST_CASE("post threads: twenty-four posters") { play({24, 4001, abi::format_s16, 2, true, true}); }
