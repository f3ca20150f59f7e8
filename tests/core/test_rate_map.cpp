// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Each function of RateMap against its definition, by trying every frame, with products of 128 bits.
#include "core/rate_map.h"

#include "tests/kernels/dice.h"

#include <doctest/doctest.h>

using namespace ringmix::core;

namespace {

__extension__ using Wide = __int128;

struct Rates {
    std::uint32_t client;
    std::uint32_t device;
};

constexpr Rates rates[] = {
    {44100, 48000}, {48000, 44100}, {96000, 48000}, {48000, 96000}, {88200, 48000},  {192000, 48000}, {48000, 192000},
    {32000, 48000}, {22050, 48000}, {16000, 48000}, {11025, 48000}, {8000, 48000},   {8000, 192000},  {192000, 8000},
    {44099, 48000}, {48000, 44099}, {47999, 48000}, {48000, 47999}, {65537, 191999}, {191999, 65537}, {4000, 384000},
    {384000, 4000}, {383987, 4001}, {4001, 383987}, {48000, 48000}, {11025, 192000}, {5512, 48000},   {22255, 44100},
};
constexpr std::uint32_t tap_counts[] = {2, 64, 96, 384};

constexpr std::int64_t bit(unsigned n) { return std::int64_t{1} << n; }

// Numbers at which something could go wrong, the largest first on the slower side.
constexpr std::int64_t places[] = {
    0, bit(31), bit(32), bit(40), bit(53), bit(60), bit(61) - 2'000'000, -bit(40), -bit(61) + 2'000'000};

struct Case {
    Rates rates;
    RateRatio ratio;
    std::uint32_t taps;
    RateMap::Anchor anchor;
    RateMap map;

    // floor(((f - anchor) * step + phase) / phases), and what is left: from the definition.
    RateMap::Moment moment(StreamFrame f) const
    {
        const Wide client = rates.client;
        const Wide device = rates.device;
        const Wide scaled = Wide{f - anchor.stream} * client * ratio.phases + Wide{anchor.client.phase} * device;
        const Wide per_frame = device * ratio.phases;
        Wide whole = scaled / per_frame;
        if (scaled - whole * per_frame < 0)
            whole--;
        const Wide phase = (scaled - whole * per_frame) / device;
        return {anchor.client.frame + static_cast<std::int64_t>(whole), static_cast<std::uint32_t>(phase)};
    }
    ClientFrame last_tap(StreamFrame f) const { return moment(f).frame + taps / 2; }
    ClientFrame first_tap(StreamFrame f) const { return moment(f).frame - taps / 2 + 1; }
};

// The stream frame near client frame or stream frame `place` of the faster side, so that neither passes 2^61.
StreamFrame stream_near(const Case& c, std::int64_t place)
{
    if (c.rates.client <= c.rates.device)
        return {place};
    return {static_cast<std::int64_t>(Wide{place} * c.rates.device / c.rates.client)};
}

template <class Check> void for_all_cases(const Check& check)
{
    ringmix::test::Dice dice(7);
    for (const Rates& r : rates)
        for (const std::uint32_t taps : tap_counts) {
            const RateRatio ratio = rate_ratio(r.client, r.device);
            const RateMap::Anchor start{{RateMap::lead(ratio, taps)}, {}};
            check(Case{r, ratio, taps, start, RateMap::from_start(ratio, taps)});
            const RateMap::Anchor any{{dice.between(0, 100'000)},
                                      {{dice.between(0, 100'000)}, dice.below(ratio.phases)}};
            check(Case{r, ratio, taps, any, RateMap(ratio, taps, any)});
        }
}

// `count` frames from `place` on.
template <class Check> void for_frames(const Case& c, std::int64_t count, const Check& check)
{
    for (const std::int64_t place : places) {
        const StreamFrame from = stream_near(c, place);
        for (std::int64_t i = -count / 2; i < count / 2; i++)
            check(from + i);
    }
}

// The first stream frame for which `holds`, which is false before it and true from it on: looked for by steps
// from `near`.
template <class Holds> StreamFrame first_that(StreamFrame near, const Holds& holds)
{
    while (holds(near))
        near = near - 1;
    while (!holds(near))
        near = near + 1;
    return near;
}

} // namespace

TEST_CASE("rate map: ratios are in lowest terms")
{
    CHECK(rate_ratio(44100, 48000) == RateRatio{147, 160});
    CHECK(rate_ratio(48000, 44100) == RateRatio{160, 147});
    CHECK(rate_ratio(192000, 48000) == RateRatio{4, 1});
    CHECK(rate_ratio(48000, 48000) == RateRatio{1, 1});
    CHECK(rate_ratio(44099, 48000) == RateRatio{44099, 48000});
}

TEST_CASE("rate map: without a rate to convert, frames are frames")
{
    const RateMap map;
    for (const std::int64_t f : {std::int64_t{-5}, std::int64_t{0}, bit(61)}) {
        CHECK(map.moment({f}) == RateMap::Moment{{f}, 0});
        CHECK(map.first_at({f}) == StreamFrame{f});
    }
}

TEST_CASE("rate map: the first frame of the sound comes as late as the filter is long")
{
    CHECK(RateMap::lead({147, 160}, 96) == 53); // 48 * 160 / 147 = 52.2
    CHECK(RateMap::lead({4, 1}, 256) == 32);
    CHECK(RateMap::lead({1, 6}, 64) == 192);
    for_all_cases([](const Case& c) {
        const RateMap map = RateMap::from_start(c.ratio, c.taps);
        CHECK(map.moment({RateMap::lead(c.ratio, c.taps)}) == RateMap::Moment{});
        CHECK(map.first_with({0}) >= StreamFrame{0});
        CHECK(map.first_with({0}) <= StreamFrame{1});
    });
}

TEST_CASE("rate map: the moment of a frame is the exact fraction, also after a thousand years")
{
    for_all_cases([](const Case& c) {
        for_frames(c, 40, [&](StreamFrame f) {
            const RateMap::Moment moment = c.map.moment(f);
            REQUIRE(moment == c.moment(f));
            REQUIRE(moment.phase < c.ratio.phases);
            REQUIRE(c.map.first_tap(f) == c.first_tap(f));
            REQUIRE(c.map.end_of_taps(f) == c.last_tap(f) + 1);
        });
    });
}

TEST_CASE("rate map: what can still be changed is in no frame before the horizon, and nothing less is")
{
    for_all_cases([](const Case& c) {
        for_frames(c, 40, [&](StreamFrame horizon) {
            const ClientFrame first = c.map.first_changeable(horizon);
            REQUIRE(c.last_tap(horizon - 1) < first); // and so in none before it
            REQUIRE(c.last_tap(horizon - 1) == first - 1);
        });
    });
}

TEST_CASE("rate map: the horizon of a client frame is the first at which it is what can be changed")
{
    for_all_cases([](const Case& c) {
        for_frames(c, 24, [&](StreamFrame near) {
            const ClientFrame client = c.moment(near).frame;
            const StreamFrame horizon = c.map.horizon_at(client);
            REQUIRE(c.map.first_changeable(horizon) >= client);
            REQUIRE(c.map.first_changeable(horizon - 1) < client);
        });
    });
}

TEST_CASE("rate map: a change of the sound is in the frames from the first to the last that read it")
{
    for_all_cases([](const Case& c) {
        for_frames(c, 24, [&](StreamFrame near) {
            const ClientFrame client = c.moment(near).frame;
            REQUIRE(c.map.first_with(client) ==
                    first_that(c.map.first_with(client), [&](StreamFrame f) { return c.last_tap(f) >= client; }));
            REQUIRE(c.map.end_without(client) ==
                    first_that(c.map.end_without(client), [&](StreamFrame f) { return c.first_tap(f) >= client; }));
            REQUIRE(c.map.first_at(client) ==
                    first_that(c.map.first_at(client), [&](StreamFrame f) { return c.moment(f).frame >= client; }));
            REQUIRE(c.map.first_with(client) < c.map.end_without(client + 1));
        });
    });
}

TEST_CASE("rate map: an anchor anywhere on the line gives the same map")
{
    for_all_cases([](const Case& c) {
        for_frames(c, 6, [&](StreamFrame f) {
            if (f.number > bit(53) || f.number < -bit(53))
                return; // the distances from there would be too long
            const RateMap again(c.ratio, c.taps, {f, c.map.moment(f)});
            for (const std::int64_t distance :
                 {std::int64_t{-1'000'003}, std::int64_t{-1}, std::int64_t{0}, std::int64_t{1}, bit(40)}) {
                REQUIRE(again.moment(f + distance) == c.map.moment(f + distance));
                const ClientFrame client = c.map.moment(f + distance).frame;
                REQUIRE(again.first_at(client) == c.map.first_at(client));
            }
        });
    });
}
