// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/channel_map.h"
#include "core/downmix.h"

#include <doctest/doctest.h>

#include <vector>

using namespace ringmix;
using namespace ringmix::core;

namespace {

constexpr std::uint8_t none = abi::no_channel;
constexpr std::uint8_t na = 1, mono = 2, fl = 3, fr = 4, rl = 5, rr = 6, fc = 7, lfe = 8, sl = 9, sr = 10;

using Positions = std::vector<std::uint8_t>;

// The first `count` entries; the rest must be silent.
std::vector<std::uint8_t> head(const ChannelMap& map, std::size_t count)
{
    for (std::size_t d = count; d < map.size(); ++d)
        CHECK(map[d] == none);
    return {map.begin(), map.begin() + static_cast<std::ptrdiff_t>(count)};
}

Positions standard(std::uint32_t channels)
{
    Positions positions;
    for (std::uint32_t c = 0; c < channels; c++)
        positions.push_back(standard_position(c, channels));
    return positions;
}

// By position, or by number where that does not tell.
Positions mapped(std::uint32_t channels, const Positions& device)
{
    Routing routing;
    route(standard(channels), device, Downmixing::off, routing);
    CHECK_FALSE(routing.downmix.sums());
    return head(routing.map, device.size());
}

} // namespace

TEST_CASE("channel_map: the standard positions")
{
    CHECK(standard_position(0, 1) == mono);
    CHECK(standard_position(0, 2) == fl);
    CHECK(standard_position(1, 2) == fr);
    const Positions surround{fl, fr, rl, rr, fc, lfe, sl, sr};
    for (std::uint32_t c = 0; c < 8; ++c)
        CHECK(standard_position(c, 8) == surround[c]);
    CHECK(standard_position(8, 9) == 0);
    CHECK(standard_position(31, 32) == 0);
    CHECK(standard_position(0xffffffff, 32) == 0);
}

TEST_CASE("channel_map: a mono client is heard on both front channels")
{
    CHECK(mapped(1, {fl, fr}) == Positions{0, 0});
    CHECK(mapped(1, {mono}) == Positions{0});
    CHECK(mapped(1, {fl, fr, rl, rr, fc, lfe}) == Positions{0, 0, none, none, none, none});
    CHECK(mapped(1, {rl, rr, fl, fr}) == Positions{none, none, 0, 0});
    CHECK(mapped(1, {0, 0, 0}) == Positions{0, 0, none}); // the device does not tell
    CHECK(mapped(1, {0}) == Positions{0});
    CHECK(mapped(1, {}) == Positions{});
}

TEST_CASE("channel_map: stereo goes to the front of a surround device")
{
    CHECK(mapped(2, {fl, fr}) == Positions{0, 1});
    CHECK(mapped(2, {fr, fl}) == Positions{1, 0});
    CHECK(mapped(2, {fl, fr, rl, rr, fc, lfe}) == Positions{0, 1, none, none, none, none});
    CHECK(mapped(2, {fc, lfe, fl, fr, rl, rr}) == Positions{none, none, 0, 1, none, none});
}

TEST_CASE("channel_map: 5.1 finds its channels in any order")
{
    CHECK(mapped(6, {fl, fr, rl, rr, fc, lfe}) == Positions{0, 1, 2, 3, 4, 5});
    CHECK(mapped(6, {fl, fr, fc, lfe, rl, rr}) == Positions{0, 1, 4, 5, 2, 3});
    CHECK(mapped(6, {fl, fr, fc, lfe, rl, rr, sl, sr}) == Positions{0, 1, 4, 5, 2, 3, none, none});
    CHECK(mapped(8, {sr, sl, lfe, fc, rr, rl, fr, fl}) == Positions{7, 6, 5, 4, 3, 2, 1, 0});
}

TEST_CASE("channel_map: by number where positions do not tell")
{
    CHECK(mapped(2, {0, 0}) == Positions{0, 1});
    CHECK(mapped(2, {na, na, na}) == Positions{0, 1, none});
    CHECK(mapped(4, {fl, fr, fc, lfe}) == Positions{0, 1, 2, 3});
    Positions many(abi::max_channels, 0);
    const Positions numbered = mapped(abi::max_channels, many);
    for (std::uint32_t c = 0; c < abi::max_channels; ++c)
        CHECK(numbered[c] == c);
}

TEST_CASE("channel_map: a device may have a position more than once")
{
    CHECK(mapped(2, {fl, fr, fl, fr}) == Positions{0, 1, 0, 1}); // both pairs of loudspeakers
    CHECK(mapped(2, {fl, fl}) == Positions{0, 1});               // the right channel must be heard
    CHECK(mapped(2, {fl, fl, fr}) == Positions{0, 0, 1});
}

TEST_CASE("channel_map: more device channels than there can be do no harm")
{
    const Positions many(100, fl);
    Routing routing;
    CHECK(route(standard(1), many, Downmixing::normal, routing));
    CHECK(routing.map[31] == 0);
    for (const std::uint32_t channels : {0u, 2u, 32u, 1000u})
        for (const Downmixing downmixing : {Downmixing::normal, Downmixing::loud, Downmixing::off})
            route(standard(channels), many, downmixing, routing);
    CHECK(mapped(0, {fl, fr}) == Positions{none, none});
}

TEST_CASE("channel_map: byte d of a slot's words is entry d")
{
    ChannelMap map;
    for (std::size_t d = 0; d < map.size(); d++)
        map[d] = static_cast<std::uint8_t>(0xe0 ^ d);
    abi::SlotConfig config;
    store_map(config, map);
    for (std::size_t d = 0; d < map.size(); d++)
        CHECK((config.map[d / 8].load() >> 8 * (d % 8) & 0xff) == (0xe0 ^ d));
}

TEST_CASE("channel_map: an explicit map")
{
    ChannelMap map;
    const auto tried = [&map](const std::vector<std::uint32_t>& targets, std::uint32_t channels) {
        return explicit_map(targets, channels, map);
    };
    CHECK(tried({0, 1}, 2));
    CHECK(head(map, 2) == Positions{0, 1});
    CHECK(tried({4, 5}, 6));
    CHECK(head(map, 6) == Positions{none, none, none, none, 0, 1});
    CHECK(tried({5, 4, 3, 2, 1, 0}, 6));
    CHECK(head(map, 6) == Positions{5, 4, 3, 2, 1, 0});
    CHECK(tried({}, 2));
    CHECK(head(map, 2) == Positions{none, none});

    CHECK_FALSE(tried({0, 0}, 2));    // two client channels on one
    CHECK_FALSE(tried({1, 0, 1}, 2)); // the third has no place
    CHECK_FALSE(tried({2}, 2));       // no such channel
    CHECK_FALSE(tried({31}, 31));
    CHECK_FALSE(tried({32}, 1000)); // more than any device has
    CHECK_FALSE(tried({0xffffffff}, 0xffffffff));
    CHECK_FALSE(tried({0}, 0));
    CHECK_FALSE(tried(std::vector<std::uint32_t>(300, 0), 32));
}
