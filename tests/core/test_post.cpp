// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the ring holds after recombine() and post(), against the reference of lanes.h.
#include "core/post.h"

#include "tests/core/lanes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::Dice;
using test::FakeBoard;
using test::Lane;

namespace {

constexpr std::uint64_t bit(unsigned n) { return std::uint64_t{1} << n; }

// Rings with and without an odd end, down to the smallest.
constexpr std::uint32_t ring_sizes[] = {128, 129, 191, 192, 1000, 1024, 6000};
// Present times: early, and where packed words wrap.
constexpr std::uint64_t presents[] = {0,       1,           777,    bit(24) - 100, bit(32) - 50, bit(39), bit(40) - 150,
                                      bit(40), bit(41) + 3, bit(62)};

struct Scene {
    Scene(Dice& dice, std::uint32_t ring_frames, std::uint64_t near)
        : board(geometry(dice, ring_frames), dice.once_in(2))
    {
        test::fill_randomly(dice, board.arena(), board.view().geometry.arena_bytes);
        test::fill_randomly(dice, board.ring(), board.view().geometry.ring_bytes);
        const std::uint32_t count = dice.between(1, 12);
        for (std::uint32_t i = 0; i < count; ++i) {
            lanes.push_back(test::random_lane(dice, board, i, count, near));
            test::install(board, i, lanes.back());
        }
        board.published = near;
        board.now = near;
        before.assign(board.ring(), board.ring() + board.view().geometry.ring_bytes);
    }

    // Every second device is plain.
    static abi::Geometry geometry(Dice& dice, std::uint32_t ring_frames)
    {
        const std::uint32_t format = dice.between(abi::format_s16, abi::format_float);
        const abi::Geometry plain = test::geometry(format, channels(dice), ring_frames, 40000);
        if (dice.once_in(2))
            return plain;
        return test::shaped(plain, dice.below(2), format == abi::format_float ? 0 : dice.below(2));
    }

    static std::uint32_t channels(Dice& dice)
    {
        constexpr std::uint32_t usual[] = {1, 2, 2, 2, 6, 8, 11, 32};
        return usual[dice.below(std::size(usual))];
    }

    // Whether the ring is as it was, except for these frames (at most one ring).
    bool untouched_but(Extent frames) const
    {
        const std::uint64_t ring = board.view().geometry.ring_frames;
        const std::uint32_t bytes = board.view().frame_bytes;
        for (std::uint64_t f = frames.end; f < frames.start + ring; ++f)
            if (std::memcmp(board.ring() + f % ring * bytes, before.data() + f % ring * bytes, bytes) != 0)
                return false;
        return true;
    }

    FakeBoard board;
    std::vector<Lane> lanes;
    std::vector<std::byte> before;
};

} // namespace

TEST_CASE("post: a batch is whole blocks that fit the sums")
{
    for (std::uint32_t channels = 1; channels <= abi::max_channels; ++channels) {
        BoardView view;
        view.geometry.channels = channels;
        const std::uint32_t frames = batch_frames(view);
        CHECK(frames % abi::block_frames == 0);
        CHECK(frames >= abi::block_frames);
        CHECK(frames <= max_batch_blocks * abi::block_frames);
        CHECK(frames * channels <= batch_samples);
    }
}

TEST_CASE("post: recombine stores the sum of the lanes, and nothing else")
{
    Dice dice(21);
    for (const std::uint32_t ring : ring_sizes)
        for (const std::uint64_t near : presents)
            for (int i = 0; i < 4; ++i) {
                Scene scene(dice, ring, near);
                const std::uint64_t from = near + dice.below(400);
                const auto to_end = static_cast<std::uint32_t>(ring - from % ring);
                const std::uint32_t frames = dice.between(1, std::min(batch_frames(scene.board.view()), to_end));
                recombine(scene.board.view(), from, frames);
                CAPTURE(ring);
                CAPTURE(near);
                REQUIRE(test::wrong_samples(scene.board, scene.lanes, {from, from + frames}) == 0);
                REQUIRE(scene.untouched_but({from, from + frames}));
                REQUIRE(scene.board.intact());
            }
}

// Such lanes may take a shorter way to the device, and a lane alone may even be copied.
TEST_CASE("post: plain lanes that are all alike, on every device")
{
    Dice dice(30);
    for (std::uint32_t lane_format = abi::format_u8; lane_format <= abi::format_s32_high; ++lane_format)
        for (std::uint32_t format = abi::format_s16; format <= abi::format_float; ++format)
            for (std::uint32_t kind = 0; kind < (format == abi::format_float ? 2 : 4); ++kind)
                for (const std::uint32_t count : {1u, 3u}) {
                    FakeBoard board(test::shaped(test::geometry(format, 2, 1000, 40000), kind % 2, kind / 2));
                    test::fill_randomly(dice, board.arena(), board.view().geometry.arena_bytes);
                    test::fill_randomly(dice, board.ring(), board.view().geometry.ring_bytes);
                    std::vector<Lane> lanes(count);
                    for (std::uint32_t i = 0; i < count; ++i) {
                        lanes[i].format = lane_format;
                        lanes[i].offset = 10000 * i;
                        lanes[i].frames = 1000;
                        lanes[i].range = {0, 250};
                        test::install(board, i, lanes[i]);
                    }
                    recombine(board.view(), 0, 256); // all of them, then silence
                    INFO("lanes ", count, " of format ", lane_format, ", device ", format, ", kind ", kind);
                    REQUIRE(test::wrong_samples(board, lanes, {0, 256}) == 0);
                }
}

TEST_CASE("post: who recombines a frame, and with which others, does not show")
{
    Dice dice(29);
    for (const std::uint64_t near : presents)
        for (int i = 0; i < 20; ++i) {
            const std::uint32_t format = dice.between(abi::format_s16, abi::format_s32);
            FakeBoard board(test::shaped(test::geometry(format, Scene::channels(dice), 1000, 40000), dice.below(2),
                                         abi::dither_tpdf));
            test::fill_randomly(dice, board.arena(), board.view().geometry.arena_bytes);
            for (std::uint32_t k = 0; k < 4; ++k)
                test::install(board, k, test::random_lane(dice, board, k, 4, near));
            Poster poster(board.view(), board.slot(63).stream.posting, board.playhead());
            board.published = board.now = near;
            poster.post({near, near + 1000});
            const std::vector<std::byte> whole(board.ring(), board.ring() + board.view().geometry.ring_bytes);
            test::fill_randomly(dice, board.ring(), whole.size());
            for (std::uint64_t at = near; at < near + 1000;) {
                const auto to_end = static_cast<std::uint32_t>(1000 - at % 1000);
                const auto left = static_cast<std::uint32_t>(near + 1000 - at);
                const std::uint32_t most = std::min({batch_frames(board.view()), to_end, left});
                const std::uint32_t frames = dice.between(1, most);
                recombine(board.view(), at, frames);
                at += frames;
            }
            CAPTURE(near);
            REQUIRE(std::equal(whole.begin(), whole.end(), board.ring()));
        }
}

TEST_CASE("post: recombine of impossible stretches stays inside the ring")
{
    Dice dice(22);
    for (const std::uint32_t ring : ring_sizes)
        for (int i = 0; i < 50; ++i) {
            Scene scene(dice, ring, dice.skewed());
            recombine(scene.board.view(), dice.skewed(), static_cast<std::uint32_t>(dice.skewed()));
            REQUIRE(scene.board.intact());
        }
}

TEST_CASE("post: the ring holds the sum of the lanes wherever it was posted")
{
    Dice dice(23);
    for (const std::uint32_t ring : ring_sizes)
        for (const std::uint64_t near : presents)
            for (int i = 0; i < 4; ++i) {
                Scene scene(dice, ring, near);
                abi::Word64& posting = scene.board.slot(63).stream.posting;
                Poster poster(scene.board.view(), posting, scene.board.playhead());
                const std::uint64_t from = near + dice.below(300);
                const Extent frames{from, from + dice.between(1, ring)};
                bool marked = true;
                scene.board.on_look = [&] {
                    const Extent now = unpack(posting.load(), near);
                    marked &= !now.empty() && now.start >= frames.start && now.end <= frames.end;
                };
                poster.post(frames);
                CAPTURE(ring);
                CAPTURE(near);
                REQUIRE(test::wrong_samples(scene.board, scene.lanes, frames) == 0);
                REQUIRE(scene.untouched_but(frames));
                REQUIRE(scene.board.intact());
                REQUIRE(marked);
                REQUIRE(posting.load() == 0);
            }
}

TEST_CASE("post: exactly the versions of the blocks that were posted move")
{
    Dice dice(24);
    for (const std::uint32_t ring : ring_sizes)
        for (int i = 0; i < 50; ++i) {
            FakeBoard board(test::geometry(abi::format_s16, 2, ring, 4096));
            Poster poster(board.view(), board.slot(0).stream.posting, board.playhead());
            const std::uint64_t from = dice.below(5000);
            const Extent frames{from, from + dice.between(1, ring)};
            poster.post(frames);
            std::vector<bool> touched(board.view().geometry.blocks, false);
            for (std::uint64_t f = frames.start; f < frames.end; ++f)
                touched[f % ring / abi::block_frames] = true;
            for (std::uint32_t block = 0; block < board.view().geometry.blocks; ++block)
                REQUIRE((board.view().versions[block].version.load() != 0) == touched[block]);
        }
}

TEST_CASE("post: no more than one ring is posted, the earliest part")
{
    Dice dice(25);
    for (const std::uint32_t ring : ring_sizes)
        for (const std::uint64_t longer : {std::uint64_t{1}, std::uint64_t{ring}, bit(24), bit(40), ~bit(63)}) {
            Scene scene(dice, ring, 1000);
            Poster poster(scene.board.view(), scene.board.slot(63).stream.posting, scene.board.playhead());
            poster.post({1010, 1010 + ring + longer});
            REQUIRE(test::wrong_samples(scene.board, scene.lanes, {1010, 1010 + ring}) == 0);
            REQUIRE(scene.board.intact());
        }
}

TEST_CASE("post: an empty stretch does nothing")
{
    Dice dice(26);
    Scene scene(dice, 1000, 500);
    Poster poster(scene.board.view(), scene.board.slot(63).stream.posting, scene.board.playhead());
    poster.post({});
    poster.post({600, 600});
    poster.post({700, 600});
    CHECK(scene.untouched_but({0, 0}));
    for (std::uint32_t block = 0; block < scene.board.view().geometry.blocks; ++block)
        CHECK(scene.board.view().versions[block].version.load() == 0);
}

TEST_CASE("post: a fade and a gain are heard at their frames, across the lane's end")
{
    FakeBoard board(test::geometry(abi::format_s16, 1, 1000, 4096));
    Lane lane;
    lane.channels = 1;
    lane.frames = 100;
    lane.range = {0, 400};
    lane.gain = abi::unity_gain / 2;
    lane.fade_start = 150;
    lane.fade_frames = 100;
    test::install(board, 3, lane);
    for (std::size_t cell = 0; cell < lane.frames; ++cell) {
        const std::int16_t value = 20000;
        std::memcpy(board.arena() + cell * 2, &value, 2);
    }
    Poster poster(board.view(), board.slot(3).stream.posting, board.playhead());
    poster.post({0, 400});
    CHECK(test::in_ring(board, 0, 0) == 10000);
    CHECK(test::in_ring(board, 149, 0) == 10000);
    CHECK(test::in_ring(board, 150, 0) == 10000);
    CHECK(test::in_ring(board, 151, 0) == 9900);
    CHECK(test::in_ring(board, 200, 0) == 5000);
    CHECK(test::in_ring(board, 249, 0) == 100);
    CHECK(test::in_ring(board, 250, 0) == 0);
    CHECK(test::in_ring(board, 399, 0) == 0);
    CHECK(test::wrong_samples(board, {&lane, 1}, {0, 400}) == 0);
}

TEST_CASE("post: audio can be taken back and put elsewhere")
{
    Dice dice(27);
    Scene scene(dice, 1000, 5000);
    Lane& lane = scene.lanes[0];
    lane.frames = 300;
    lane.format = abi::format_s16;
    lane.channels = 1;
    lane.phase = 100; // frame 5000 in cell 0
    lane.range = {5000, 5300};
    test::install(scene.board, 0, lane);
    Poster poster(scene.board.view(), scene.board.slot(0).stream.posting, scene.board.playhead());
    poster.post({5000, 5300});
    REQUIRE(test::wrong_samples(scene.board, scene.lanes, {5000, 5300}) == 0);

    lane.range.end = 5100;
    scene.board.slot(0).stream.range.store(pack(lane.range));
    poster.post({5100, 5300});
    REQUIRE(test::wrong_samples(scene.board, scene.lanes, {5000, 5300}) == 0);

    lane.range = {};
    scene.board.slot(0).stream.range.store(0);
    poster.post({5000, 5100});
    lane.phase = 223;
    lane.range = {5177, 5400};
    test::install(scene.board, 0, lane);
    poster.post(lane.range);

    CHECK(test::wrong_samples(scene.board, scene.lanes, {5000, 5400}) == 0);
}

TEST_CASE("post: a slot that is not active is not heard")
{
    Dice dice(28);
    Scene scene(dice, 1000, 5000);
    scene.board.board().engine.active.store(0);
    Poster poster(scene.board.view(), scene.board.board().engine.posting, scene.board.playhead());
    poster.post({5000, 6000});
    CHECK(test::wrong_samples(scene.board, {}, {5000, 6000}) == 0);
}

TEST_CASE("post: a lane is heard if it fits the arena to the byte, and otherwise not read")
{
    constexpr std::uint64_t huge64 = ~std::uint64_t{0};
    constexpr std::uint32_t huge32 = ~std::uint32_t{0};
    for (const bool at_start : {false, true}) { // of the arena's pages: nothing before or behind it may be touched
        const FakeBoard board(test::geometry(abi::format_s16, 2, 1024, 8192), at_start);
        std::memset(board.arena(), 0x11, 8192);
        const auto heard = [&](std::uint32_t format, std::uint32_t channels, std::uint64_t offset,
                               std::uint64_t frames) {
            test::Lane lane;
            lane.format = format;
            lane.channels = channels;
            lane.offset = offset;
            lane.frames = frames;
            lane.range = {0, 64};
            test::install(board, 0, lane);
            std::memset(board.ring(), 0, abi::block_frames * 4);
            recombine(board.view(), 0, abi::block_frames);
            return std::any_of(board.ring(), board.ring() + abi::block_frames * 4,
                               [](std::byte byte) { return byte != std::byte{0}; });
        };
        CHECK(heard(abi::format_s16, 2, 0, 2048));
        CHECK_FALSE(heard(abi::format_s16, 2, 0, 2049));
        CHECK(heard(abi::format_s16, 2, 4, 2047));
        CHECK_FALSE(heard(abi::format_s16, 2, 4, 2048));
        CHECK_FALSE(heard(abi::format_s16, 2, 1, 2048));
        CHECK(heard(abi::format_u8, 1, 8191, 1));
        CHECK_FALSE(heard(abi::format_u8, 1, 8192, 1));
        CHECK_FALSE(heard(abi::format_u8, 1, 8193, 1));
        CHECK(heard(abi::format_s32, 32, 0, 64));
        CHECK_FALSE(heard(abi::format_s32, 32, 0, 65));
        CHECK_FALSE(heard(abi::format_s16, 2, 0, 0));
        for (const std::uint64_t far :
             {huge64, huge64 - 1, huge64 - 8191, std::uint64_t{1} << 63, std::uint64_t{1} << 32}) {
            CHECK_FALSE(heard(abi::format_s16, 2, far, 1));
            CHECK_FALSE(heard(abi::format_s16, 2, 0, far));
            CHECK_FALSE(heard(abi::format_s16, 2, far, far));
            CHECK_FALSE(heard(abi::format_s16, 2, far, 0 - far + 1));
        }
        for (const std::uint32_t format : {0u, 8u, 255u, huge32})
            CHECK_FALSE(heard(format, 2, 0, 1));
        for (const std::uint32_t channels : {0u, 33u, 0x40000000u, 0x80000000u, huge32})
            CHECK_FALSE(heard(abi::format_s32, channels, 0, 1));
        CHECK(board.intact());
    }
}
