// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Posters that come late, stop half way or write nonsense: what the others make of it.
#include "core/post.h"

#include "tests/core/lanes.h"

#include <doctest/doctest.h>

#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::Dice;
using test::FakeBoard;
using test::Lane;

namespace {

constexpr std::uint32_t ring_frames = 1000;
constexpr std::uint32_t margin = ring_frames / 16; // of test::geometry()
constexpr std::uint64_t bit(unsigned n) { return std::uint64_t{1} << n; }

// Two S16 lanes, each almost four rings long, and audio in both from `start` on.
struct Duet {
    explicit Duet(std::uint64_t start) : board(test::geometry(abi::format_s16, 2, ring_frames, 40000))
    {
        Dice dice(31);
        test::fill_randomly(dice, board.arena(), 40000);
        for (std::uint32_t i = 0; i < 2; ++i) {
            lanes[i].offset = 20000 * i;
            lanes[i].frames = 4 * ring_frames - 77;
            lanes[i].phase = lanes[i].frames - start % lanes[i].frames;
            lanes[i].range = {start, start + 40 * ring_frames};
            test::install(board, i, lanes[i]);
        }
        play_to(start);
    }

    void play_to(std::uint64_t frame) { board.published = board.now = frame; }
    unsigned wrong(Extent frames) const { return test::wrong_samples(board, lanes, frames); }
    // What a poster leaves behind that gathered before slot 1 published, and was stopped then.
    void store_stale(Extent frames)
    {
        for (std::uint64_t f = frames.start; f < frames.end; ++f)
            for (std::uint32_t c = 0; c < 2; ++c) {
                const auto sample = static_cast<std::int16_t>(test::mixed(board, {lanes, 1}, f, c));
                std::memcpy(board.ring() + f % ring_frames * 4 + c * 2, &sample, 2);
            }
    }
    Poster poster(std::uint32_t slot) { return {board.view(), board.slot(slot).stream.posting, board.playhead()}; }
    Poster engine() { return {board.view(), board.board().engine.posting, board.playhead()}; }

    FakeBoard board;
    Lane lanes[2];
};

} // namespace

TEST_CASE("post faults: a stopped poster's store is repaired at the second look")
{
    for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{900}, bit(24) - 70, bit(40) - 70, bit(41) + 5}) {
        Duet duet(start);
        duet.poster(1).post({start, start + 700});
        duet.store_stale({start + margin, start + 280});
        duet.board.slot(0).stream.posting.store(pack({start + margin, start + 280}));
        REQUIRE(duet.wrong({start, start + 700}) > 400);
        Poster engine = duet.engine();
        CHECK(engine.repair() == 0); // it may well be working
        CHECK(duet.wrong({start, start + 700}) > 400);
        CHECK(engine.repair() == 1);
        CHECK(duet.wrong({start, start + 700}) == 0);
        // It is still not moving: it might store once more at any time.
        duet.store_stale({start + margin, start + 280});
        CHECK(engine.repair() == 1);
        CHECK(duet.wrong({start, start + 700}) == 0);
        CHECK(duet.board.slot(0).stream.posting.load() != 0); // not ours to clear
        CHECK(duet.board.intact());
    }
}

TEST_CASE("post faults: what a poster has only announced is posted in its place, as far as the reach goes")
{
    const std::uint64_t start = 4711;
    Duet duet(start);
    const std::uint64_t reach = start + duet.board.view().geometry.reach_frames;
    std::memset(duet.board.ring(), 0x55, ring_frames * 4);
    Poster stopped = duet.poster(0);
    stopped.intend({start + margin + 30, start + 3 * ring_frames}); // it could not do all at once: a ring's
    CHECK(unpack(duet.board.slot(0).stream.posting.load(), start) ==
          Extent{start + margin + 30, start + margin + 30 + ring_frames});
    Poster engine = duet.engine();
    CHECK(engine.repair() == 0);
    CHECK(engine.repair() == 1);
    CHECK(duet.wrong({start + margin + 30, reach}) == 0);
    std::uint32_t untouched;
    std::memset(&untouched, 0x55, sizeof untouched);
    for (std::uint64_t frame = reach; frame < start + margin + 30 + ring_frames; frame++)
        CHECK(std::memcmp(duet.board.ring() + frame % ring_frames * 4, &untouched, 4) == 0);
    stopped.post({start + margin + 30, start + margin + 100}); // it goes on, and is done
    CHECK(duet.board.slot(0).stream.posting.load() == 0);
    CHECK(duet.wrong({start + margin + 30, reach}) == 0);
    stopped.intend({start, start + 10});
    stopped.intend({});
    CHECK(duet.board.slot(0).stream.posting.load() == 0);
}

TEST_CASE("post faults: a poster that moves is left alone")
{
    Duet duet(0);
    Poster engine = duet.engine();
    for (std::uint64_t f = 0; f < 500; f += 64) {
        duet.board.slot(0).stream.posting.store(pack({f, f + 64}));
        CHECK(engine.repair() == 0);
    }
    duet.board.slot(0).stream.posting.store(0);
    CHECK(engine.repair() == 0);
    CHECK(engine.repair() == 0);
    for (std::uint32_t block = 0; block < duet.board.view().geometry.blocks; ++block)
        CHECK(duet.board.view().versions[block].version.load() == 0);
}

TEST_CASE("post faults: clients repair the engine and each other, and not themselves")
{
    Duet duet(0);
    Poster client = duet.poster(0);
    client.post({0, 900});
    duet.store_stale({100, 200});
    duet.board.board().engine.posting.store(pack({100, 200}));
    client.repair();
    CHECK(client.repair() == 1);
    CHECK(duet.wrong({0, 900}) == 0);
    duet.board.board().engine.posting.store(0);

    duet.board.slot(0).stream.posting.store(pack({100, 200}));
    duet.board.slot(1).stream.posting.store(pack({300, 400}));
    duet.store_stale({300, 400});
    client.repair();
    CHECK(client.repair() == 1); // slot 1's
    CHECK(duet.wrong({0, 900}) == 0);
}

// What is nearer than the margin may be right: a sum without somebody's stream that is just becoming a tail would be
// heard, if only for as long as it takes to see that.
TEST_CASE("post faults: between what is published and the commit horizon nobody repairs")
{
    Duet duet(0);
    std::memset(duet.board.ring(), 0x55, ring_frames * 4);
    duet.board.slot(0).stream.posting.store(pack({60, 300}));
    duet.board.published = 100;
    duet.board.now = 150;
    Poster engine = duet.engine();
    engine.repair();
    CHECK(engine.repair() == 1);
    CHECK(duet.wrong({ring_frames + 60, ring_frames + 100}) == 0);
    CHECK(duet.wrong({150 + margin, 300}) == 0);
    std::uint32_t untouched;
    std::memset(&untouched, 0x55, sizeof untouched);
    for (std::uint64_t frame = 100; frame < 150 + margin; frame++) // up to 150 the device may be silencing it just now
        CHECK(std::memcmp(duet.board.ring() + frame * 4, &untouched, 4) == 0);
}

TEST_CASE("post faults: what has been played of a stopped poster's frames belongs to the next turn")
{
    Duet duet(0);
    duet.poster(1).post({0, ring_frames});
    duet.store_stale({100, 300});
    duet.board.slot(0).stream.posting.store(pack({100, 300}));
    duet.play_to(180);
    Poster engine = duet.engine();
    engine.repair();
    CHECK(engine.repair() == 1);
    CHECK(duet.wrong({180 + margin, 300}) == 0);
    CHECK(duet.wrong({ring_frames + 100, ring_frames + 180}) == 0);
}

TEST_CASE("post faults: a poster stopped turns ago is repaired where the ring is now")
{
    for (const std::uint64_t now :
         {std::uint64_t{1000}, 1100 - std::uint64_t{margin}, std::uint64_t{2000}, 2100 - std::uint64_t{margin},
          std::uint64_t{2777}, bit(39) - 888, bit(39) + 1112, bit(40) - bit(33) + 816}) {
        CAPTURE(now);
        Duet duet(0);
        for (Lane& lane : duet.lanes)
            lane.range = {now, now + 40 * ring_frames};
        for (std::uint32_t i = 0; i < 2; ++i)
            test::install(duet.board, i, duet.lanes[i]);
        duet.play_to(now);
        duet.poster(1).post({now, now + ring_frames});
        duet.board.slot(0).stream.posting.store(pack({100, 300}));
        const std::uint64_t turn = next_turn(299, now, ring_frames) - 199;
        duet.store_stale({turn, turn + 200});
        Poster engine = duet.engine();
        engine.repair();
        CHECK(engine.repair() == 1);
        CHECK(duet.wrong({now, now + ring_frames}) == 0);
    }
}

TEST_CASE("post faults: a poster that was stopped before its first store never stores what has been played")
{
    for (const std::uint64_t now : {std::uint64_t{1050}, std::uint64_t{1200}, std::uint64_t{2777}}) {
        Duet duet(0);
        duet.play_to(now);
        duet.poster(1).post({now, now + ring_frames});
        unsigned looks = 0, wrong = 0;
        duet.board.on_look = [&] {
            looks++;
            wrong += duet.wrong({now, now + ring_frames});
        };
        duet.poster(0).post({100, 300}); // which it was told to do a turn or more ago
        CHECK(looks > 0);
        CHECK(wrong == 0);
    }
}

TEST_CASE("post faults: a store that was overtaken goes to the next turn")
{
    for (const unsigned played :
         {101u, 164u, 299u, 300u, 301u, 999u, 1000u, 1100u, 1150u, 1299u, 1300u, 1301u, 2000u}) {
        Duet duet(0);
        unsigned looks = 0;
        duet.board.on_look = [&] {
            if (++looks == 1)
                duet.play_to(played); // after the first store
        };
        duet.poster(0).post({100, 300});
        CAPTURE(played);
        for (std::uint64_t place = 100; place < 300; ++place) {
            const std::uint64_t frame = next_turn(place, played, ring_frames);
            REQUIRE(duet.wrong({frame, frame + 1}) == 0);
        }
        CHECK(duet.board.slot(0).stream.posting.load() == 0);
        CHECK(looks > 1);
        CHECK(looks < 10);
        CHECK(duet.board.intact());
    }
}

TEST_CASE("post faults: a store that is overtaken again and again follows")
{
    Duet duet(0);
    unsigned looks = 0;
    duet.board.on_look = [&] {
        if (++looks <= 30)
            duet.play_to(130 + looks * 1001);
    };
    duet.poster(0).post({100, 164});
    CHECK(duet.board.published == 30160);
    for (std::uint64_t place = 100; place < 164; ++place) {
        const std::uint64_t frame = next_turn(place, duet.board.published, ring_frames);
        REQUIRE(duet.wrong({frame, frame + 1}) == 0);
    }
}

TEST_CASE("post faults: two posters within each other")
{
    // Each look of the outer one comes between its store and its decision: there the other one changes
    // its lane; with `overtake` the outer one has to store again each time.
    for (const bool overtake : {false, true}) {
        Duet duet(0);
        duet.lanes[1].range.end = 1100;
        test::install(duet.board, 1, duet.lanes[1]);
        Poster inner = duet.poster(1);
        unsigned looks = 0, outer_looks = 0;
        duet.board.on_look = [&] {
            outer_looks += looks < 100 ? 1 : 0;
            if (++looks > 3)
                return;
            const unsigned look = looks;
            duet.lanes[1].range.end = look == 2 ? 1100 : 150 + look;
            duet.board.slot(1).stream.range.store(pack(duet.lanes[1].range));
            looks = 100; // the inner one's own looks
            inner.post({120, 1100});
            looks = look;
            if (overtake)
                duet.play_to(110 + look);
        };
        duet.poster(0).post({100, 300});
        CHECK(duet.wrong({std::max<std::uint64_t>(duet.board.published, 100), 300}) == 0);
        CHECK(outer_looks <= 8); // each change seen costs one more round
    }
}

TEST_CASE("post faults: versions that never rest do not hold a poster for ever")
{
    Duet duet(0);
    unsigned looks = 0;
    duet.board.on_look = [&] {
        if (++looks == 1)
            duet.play_to(1); // one more round, which finds the first moved
        for (std::uint32_t block = 0; block < duet.board.view().geometry.blocks; ++block)
            duet.board.view().versions[block].version.fetch_add(1);
    };
    duet.poster(0).post({0, 64});
    CHECK(looks > 1);
    CHECK(looks <= 1001); // one before the first store
    CHECK(duet.wrong({1, 64}) == 0);
}

TEST_CASE("post faults: no contents of the shared words lead out of the buffers")
{
    Dice dice(33);
    for (int round = 0; round < 300; ++round) {
        const std::uint32_t ring = dice.between(128, 300);
        FakeBoard board(test::geometry(dice.between(abi::format_s16, abi::format_float), dice.between(1, 32), ring,
                                       dice.between(4096, 9000)),
                        dice.once_in(2));
        test::fill_randomly(dice, board.arena(), board.view().geometry.arena_bytes);
        for (std::uint32_t i = 0; i < abi::max_slots; ++i) {
            auto* bytes = reinterpret_cast<std::byte*>(&board.slot(i));
            for (std::size_t at = 0; at < sizeof(abi::Slot); at += 8) {
                const std::uint64_t value = dice.skewed();
                std::memcpy(bytes + at, &value, 8);
            }
            if (dice.once_in(4))
                continue;
            // So that there is something to read: a lane that may just reach beyond the arena.
            Lane lane;
            lane.format = dice.between(0, 7);
            lane.channels = dice.between(0, 33);
            lane.offset = dice.below(9000);
            lane.frames = dice.below(dice.once_in(2) ? 40 : 3000);
            lane.phase = dice.skewed();
            const std::uint64_t start = dice.below(1000);
            lane.range = {start, start + dice.below(1000)};
            lane.gain = static_cast<std::uint32_t>(dice.skewed());
            lane.fade_start = dice.skewed();
            lane.fade_frames = dice.skewed();
            for (std::uint8_t& channel : lane.map)
                channel = static_cast<std::uint8_t>(dice.word());
            test::install(board, i, lane);
        }
        board.board().engine.active.store(dice.word() | dice.word());
        board.board().engine.posting.store(dice.skewed());
        board.now = dice.once_in(2) ? dice.below(1000) : dice.skewed();
        board.published = dice.once_in(2) ? board.now : dice.skewed();
        if (dice.once_in(30))
            board.on_look = [&] { board.published = dice.skewed(); };

        Poster poster(board.view(), board.slot(dice.below(64)).stream.posting, board.playhead());
        const std::uint64_t from = dice.once_in(2) ? dice.below(1000) : dice.skewed();
        poster.post({from, from + dice.below(500)});
        board.on_look = nullptr;
        poster.repair();
        poster.repair();
        REQUIRE(board.intact());
    }
}
