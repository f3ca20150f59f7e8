// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Posts on boards with so many lanes that sums of groups are kept, against the reference of lanes.h.
#include "core/group_sums.h"
#include "core/post.h"

#include "tests/core/lanes.h"

#include <doctest/doctest.h>

#include <bit>
#include <memory>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::Dice;
using test::FakeBoard;
using test::Lane;

namespace {

constexpr std::uint32_t ring_sizes[] = {512, 515, 639, 1000, 1024, 6000};
constexpr std::uint64_t presents[] = {0, 777, (std::uint64_t{1} << 32) - 50, (std::uint64_t{1} << 40) - 150,
                                      (std::uint64_t{1} << 44) + 3};

// Many random lanes, all posted, each slot with a poster.
struct Crowd {
    Crowd(Dice& dice, std::uint32_t ring_frames, std::uint64_t present, std::uint32_t count = 0)
        : near(present),
          board(test::geometry(dice.between(abi::format_s16, abi::format_s32), channels(dice), ring_frames, 400000),
                dice.once_in(2))
    {
        REQUIRE(board.view().geometry.sum_blocks != 0);
        board.published = board.now = near;
        test::fill_randomly(dice, board.arena(), board.view().geometry.arena_bytes);
        count = count != 0 ? count : dice.between(21, 64);
        for (std::uint32_t i = 0; i < count; ++i) {
            lanes.push_back(test::random_lane(dice, board, i, count, near));
            test::install(board, i, lanes.back());
            posters.push_back(std::make_unique<Poster>(board.view(), board.slot(i).stream.posting, board.playhead()));
        }
        REQUIRE(sums_pay(board.view()));
        Poster(board.view(), board.board().engine.posting, board.playhead()).post(turn(), abi::all_groups);
    }

    static std::uint32_t channels(Dice& dice)
    {
        constexpr std::uint32_t usual[] = {1, 2, 2, 2, 6, 8};
        return usual[dice.below(std::size(usual))];
    }

    Extent turn() const { return {near, near + board.view().geometry.ring_frames}; }
    unsigned wrong() const { return test::wrong_samples(board, lanes, turn()); }

    // Other samples in some frames of a lane, or other frames altogether.
    void change(Dice& dice, std::uint32_t slot)
    {
        Lane& lane = lanes[slot];
        Extent changed = intersection(turn(), lane.range);
        if (dice.once_in(2)) {
            const std::uint32_t bytes = sample_bytes(lane.format) * lane.channels;
            test::fill_randomly(dice, board.arena() + lane.offset, lane.frames * bytes);
        } else {
            const Lane other = test::random_lane(dice, board, slot, static_cast<std::uint32_t>(lanes.size()), near);
            board.slot(slot).stream.range.store(0);
            posters[slot]->post(changed);
            lane.range = other.range;
            lane.gain = other.gain;
            test::install(board, slot, lane);
            changed = intersection(turn(), lane.range);
        }
        posters[slot]->post(changed);
    }

    // A block of the present turn of which a group's sum is kept.
    bool find_kept(std::uint32_t group, std::uint64_t kind, std::uint32_t& place) const
    {
        for (place = 0; place < board.view().geometry.sum_blocks; ++place)
            if ((board.view().sums[place].tags[group].load() & 3) == kind)
                return true;
        return false;
    }

    std::uint64_t near;
    FakeBoard board;
    std::vector<Lane> lanes;
    std::vector<std::unique_ptr<Poster>> posters;
};

} // namespace

TEST_CASE("post: the ring is right after each change of one lane among many")
{
    Dice dice(61);
    for (const std::uint32_t ring : ring_sizes)
        for (const std::uint64_t near : presents) {
            Crowd crowd(dice, ring, near);
            CAPTURE(ring);
            CAPTURE(near);
            REQUIRE(crowd.wrong() == 0);
            for (int i = 0; i < 12; ++i) {
                crowd.change(dice, dice.below(crowd.lanes.size()));
                REQUIRE(crowd.wrong() == 0);
            }
            REQUIRE(crowd.board.intact());
        }
}

TEST_CASE("post: the sums of other groups are taken as they are kept, until the group changes")
{
    Dice dice(62);
    for (const std::uint64_t kind : {abi::sum_narrow, abi::sum_wide}) {
        Crowd crowd(dice, 1024, 5000, 64);
        for (std::uint32_t i = 0; i < 64; ++i) { // one kind of lanes, heard everywhere
            Lane& lane = crowd.lanes[i];
            lane = {};
            lane.format = kind == abi::sum_narrow ? abi::format_s16 : abi::format_s32;
            lane.channels = 1;
            lane.frames = 1024;
            lane.offset = i * 4096;
            lane.range = crowd.turn();
            test::fill_randomly(dice, crowd.board.arena() + lane.offset, 4096);
            for (std::uint32_t cell = 0; cell < 1024 && kind == abi::sum_wide; ++cell) // none that saturates
                crowd.board.arena()[lane.offset + cell * 4 + 3] = static_cast<std::byte>(0);
            for (std::uint32_t cell = 0; cell < 1024 && kind == abi::sum_narrow; ++cell)
                crowd.board.arena()[lane.offset + cell * 2 + 1] = static_cast<std::byte>(0);
            test::install(crowd.board, i, lane);
            crowd.posters[i]->post(crowd.turn());
        }
        REQUIRE(crowd.wrong() == 0);
        std::uint32_t place = 0;
        REQUIRE(crowd.find_kept(3, kind, place));
        const BoardView& view = crowd.board.view();
        const std::size_t cell = abi::block_frames * view.geometry.channels * sizeof(std::int64_t);
        view.sum_samples[(place * abi::groups + 3) * cell + 3] ^= static_cast<std::byte>(0x10);
        crowd.posters[0]->post(crowd.turn());
        CHECK(crowd.wrong() == 1);
        crowd.posters[63]->post(crowd.turn());
        CHECK(crowd.wrong() == 1);
        crowd.posters[24]->post(crowd.turn()); // of group 3
        CHECK(crowd.wrong() == 0);
    }
}

TEST_CASE("post: a sum that somebody else is writing is neither awaited nor used, until its claim is taken back")
{
    Dice dice(63);
    Crowd crowd(dice, 1000, 777, 40);
    const std::uint32_t dead = 7;
    for (std::uint32_t place = 0; place < crowd.board.view().geometry.sum_blocks; ++place) {
        crowd.board.view().sums[place].claims[0].store(dead + 1);
        crowd.board.view().sums[place].tags[0].store(abi::sum_none);
    }
    std::uint32_t place = 0;
    for (int i = 0; i < 20; ++i) {
        crowd.change(dice, dice.below(crowd.lanes.size()));
        REQUIRE(crowd.wrong() == 0);
        for (const std::uint64_t kind : {abi::sum_silent, abi::sum_narrow, abi::sum_wide})
            REQUIRE(!crowd.find_kept(0, kind, place));
    }
    release_claims(crowd.board.view(), dead + 1);
    CHECK(crowd.board.view().sums[0].claims[0].load() == dead + 1);
    release_claims(crowd.board.view(), dead);
    CHECK(crowd.board.view().sums[0].claims[0].load() == 0);
    crowd.posters[0]->post(crowd.turn());
    CHECK((crowd.find_kept(0, abi::sum_narrow, place) || crowd.find_kept(0, abi::sum_wide, place)));
    CHECK(crowd.wrong() == 0);
}

TEST_CASE("post: sums that were kept before a poster stopped are not used to repair for it")
{
    Dice dice(67);
    for (int i = 0; i < 30; ++i) {
        Crowd crowd(dice, 1000, 777, 40);
        crowd.board.published = crowd.board.now = crowd.near;
        const std::uint32_t slot = dice.below(40);
        Lane& lane = crowd.lanes[slot];
        const Extent reachable{crowd.near, crowd.near + crowd.board.view().geometry.reach_frames};
        crowd.posters[(slot + 8) % 40]->post(crowd.turn()); // keeps the sum of the slot's group
        crowd.posters[slot]->intend(intersection(reachable, lane.range));
        const std::uint32_t bytes = sample_bytes(lane.format) * lane.channels;
        test::fill_randomly(dice, crowd.board.arena() + lane.offset, lane.frames * bytes);
        Poster& other = *crowd.posters[(slot + 16) % 40]; // that looks twice
        other.repair();
        other.repair();
        CHECK(test::wrong_samples(crowd.board, crowd.lanes, reachable) == 0);
    }
}

TEST_CASE("post: claims are given back after each post")
{
    Dice dice(64);
    Crowd crowd(dice, 1024, 0);
    for (int i = 0; i < 10; ++i)
        crowd.change(dice, dice.below(crowd.lanes.size()));
    for (std::uint32_t place = 0; place < crowd.board.view().geometry.sum_blocks; ++place)
        for (const abi::Word32& claim : crowd.board.view().sums[place].claims)
            REQUIRE(claim.load() == 0);
}

TEST_CASE("post: a sum of the turn before is not used")
{
    Dice dice(65);
    for (const std::uint32_t ring : ring_sizes) {
        Crowd crowd(dice, ring, 5000);
        for (std::uint32_t slot = 0; slot < crowd.lanes.size(); slot += 3)
            crowd.posters[slot]->post(crowd.turn());
        crowd.near += ring;
        crowd.board.published = crowd.board.now = crowd.near;
        Poster engine(crowd.board.view(), crowd.board.board().engine.posting, crowd.board.playhead());
        engine.post(crowd.turn(), 0); // nothing has changed but the time
        REQUIRE(crowd.wrong() == 0);
    }
}

TEST_CASE("post: a slot that becomes active is heard with its first post")
{
    Dice dice(66);
    Crowd crowd(dice, 1024, 5000, 64);
    const Lane last = crowd.lanes.back();
    crowd.board.board().engine.active.fetch_and(~(std::uint64_t{1} << 63));
    crowd.lanes.pop_back();
    crowd.posters[63]->post(crowd.turn());
    REQUIRE(crowd.wrong() == 0);
    crowd.lanes.push_back(last);
    crowd.board.board().engine.active.fetch_or(std::uint64_t{1} << 63);
    crowd.posters[63]->post(crowd.turn());
    CHECK(crowd.wrong() == 0);
}

TEST_CASE("post: sums and tags that lie stay inside the ring")
{
    Dice dice(67);
    for (int i = 0; i < 40; ++i) {
        Crowd crowd(dice, ring_sizes[dice.below(std::size(ring_sizes))], dice.skewed() >> 1);
        const BoardView& view = crowd.board.view();
        auto* bytes = reinterpret_cast<std::byte*>(view.sums);
        const std::size_t count = static_cast<std::size_t>(crowd.board.memory() + crowd.board.memory_bytes() - bytes);
        // Tags that are believed, of any kind, with any samples.
        for (std::uint32_t place = 0; place < view.geometry.sum_blocks; ++place)
            for (abi::Word64& tag : view.sums[place].tags)
                tag.store((tag.load() & ~std::uint64_t{3}) | dice.below(4));
        const std::size_t heads = view.geometry.sum_blocks * sizeof(abi::SumHead);
        test::fill_randomly(dice, bytes + heads, count - heads);
        for (int k = 0; k < 5; ++k)
            crowd.change(dice, dice.below(crowd.lanes.size()));
        test::fill_randomly(dice, bytes, heads);
        for (int k = 0; k < 5; ++k)
            crowd.change(dice, dice.below(crowd.lanes.size()));
        REQUIRE(crowd.board.intact());
    }
}
