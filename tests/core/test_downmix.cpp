// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/downmix.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;

namespace {

constexpr std::uint8_t none = abi::no_channel;
constexpr std::uint8_t mono = 2, fl = 3, fr = 4, rl = 5, rr = 6, fc = 7, lfe = 8, sl = 9, sr = 10, rc = 11, flc = 12,
                       tfl = 22, last_position = 36;
const double part = std::sqrt(0.5);

using Positions = std::vector<std::uint8_t>;
using Rows = std::vector<std::vector<double>>; // [channel of the device][channel of the client]

const Positions five_one{fl, fr, rl, rr, fc, lfe}, seven_one{fl, fr, rl, rr, fc, lfe, sl, sr};

// What each channel of the device plays of each of the client's.
Rows rows(const Positions& client, const Positions& device, Downmixing downmixing)
{
    Routing routing;
    REQUIRE(route(client, device, downmixing, routing));
    Rows result(device.size(), std::vector<double>(client.size()));
    for (std::size_t d = 0; d < device.size(); d++) {
        const std::uint8_t channel = routing.map[d];
        if (channel == none)
            continue;
        if (!routing.downmix.sums()) {
            if (channel >= client.size())
                FAIL("the map leads to channel ", int{channel});
            result[d][channel] = 1;
            continue;
        }
        if (routing.downmix.from != client.size() || channel >= routing.downmix.to)
            FAIL("the sums have no channel ", int{channel});
        for (std::size_t c = 0; c < client.size(); c++)
            result[d][c] = routing.downmix.weights[channel][c];
    }
    CHECK(std::all_of(routing.map.begin() + static_cast<std::ptrdiff_t>(device.size()), routing.map.end(),
                      [](std::uint8_t channel) { return channel == none; }));
    return result;
}

bool near(const Rows& a, const Rows& b)
{
    for (std::size_t d = 0; d < a.size(); d++)
        for (std::size_t c = 0; c < a[d].size(); c++)
            if (std::abs(a[d][c] - b.at(d).at(c)) > 1e-7)
                return false;
    return a.size() == b.size();
}

Rows times(Rows rows, double factor)
{
    for (std::vector<double>& row : rows)
        for (double& weight : row)
            weight *= factor;
    return rows;
}

bool summed(const Positions& client, const Positions& device)
{
    Routing routing;
    REQUIRE(route(client, device, Downmixing::normal, routing));
    return routing.downmix.sums();
}

bool playable(const Positions& client, const Positions& device)
{
    Routing routing;
    return route(client, device, Downmixing::off, routing);
}

} // namespace

TEST_CASE("downmix: 5.1 on fewer loudspeakers, by ITU-R BS.775")
{
    const double p = part;
    struct {
        Positions device;
        Rows loud;
        double most; // the largest sum of a channel's weights
    } const cases[] = {
        {{fl, fr}, {{1, 0, p, 0, p, 0}, {0, 1, 0, p, p, 0}}, 1 + 2 * p},
        {{fr, fl}, {{0, 1, 0, p, p, 0}, {1, 0, p, 0, p, 0}}, 1 + 2 * p},
        {{mono}, {{p, p, 0.5, 0.5, 1, 0}}, 2 + 2 * p},
        {{fl, fr, fc}, {{1, 0, p, 0, 0, 0}, {0, 1, 0, p, 0, 0}, {0, 0, 0, 0, 1, 0}}, 1 + p},
        {{fl, fr, rl, rr}, {{1, 0, 0, 0, p, 0}, {0, 1, 0, 0, p, 0}, {0, 0, 1, 0, 0, 0}, {0, 0, 0, 1, 0, 0}}, 1 + p},
        {{fl, fr, rc}, {{1, 0, 0, 0, p, 0}, {0, 1, 0, 0, p, 0}, {0, 0, p, p, 0, 0}}, 1 + p},
        {{fl, fr, lfe}, {{1, 0, p, 0, p, 0}, {0, 1, 0, p, p, 0}, {0, 0, 0, 0, 0, 1}}, 1 + 2 * p},
        {{fl, fr, fl, fr}, {{1, 0, p, 0, p, 0}, {0, 1, 0, p, p, 0}, {1, 0, p, 0, p, 0}, {0, 1, 0, p, p, 0}}, 1 + 2 * p},
    };
    for (const auto& [device, loud, most] : cases) {
        const std::size_t loudspeakers = device.size(); // clang 14 captures no structured bindings
        CAPTURE(loudspeakers);
        CHECK(near(rows(five_one, device, Downmixing::loud), loud));
        CHECK(near(rows(five_one, device, Downmixing::normal), times(loud, 1 / most)));
        CHECK_FALSE(playable(five_one, device));
    }
}

TEST_CASE("downmix: 7.1, and other orders")
{
    const double p = part;
    CHECK(near(rows(seven_one, {fl, fr}, Downmixing::loud), {{1, 0, p, 0, p, 0, p, 0}, {0, 1, 0, p, p, 0, 0, p}}));
    CHECK(near(rows({fl, fr, fc, lfe, rl, rr}, {fl, fr}, Downmixing::loud),
               {{1, 0, p, 0, p, 0}, {0, 1, p, 0, 0, p}})); // as in WAVE files
    const Rows rears = rows(seven_one, five_one, Downmixing::loud);
    CHECK(rears[2] == std::vector<double>{0, 0, 1, 0, 0, 0, 1, 0});
    CHECK(rears[5] == std::vector<double>{0, 0, 0, 0, 0, 1, 0, 0});
}

TEST_CASE("downmix: what has a place of its own is not summed")
{
    CHECK_FALSE(summed({fl, fr}, {fl, fr}));
    CHECK_FALSE(summed({mono}, {fl, fr}));
    CHECK_FALSE(summed(five_one, {fl, fr, fc, lfe, rl, rr, sl, sr}));
    CHECK_FALSE(summed({fl, fr, lfe}, {fl, fr}));
    CHECK(near(rows(five_one, {fl, fr, fc, lfe, sl, sr}, Downmixing::normal), // the surrounds are where they can be
               {{1, 0, 0, 0, 0, 0},
                {0, 1, 0, 0, 0, 0},
                {0, 0, 0, 0, 1, 0},
                {0, 0, 0, 0, 0, 1},
                {0, 0, 1, 0, 0, 0},
                {0, 0, 0, 1, 0, 0}}));
    CHECK_FALSE(summed(five_one, {fl, fr, fc, lfe, sl, sr}));
    CHECK_FALSE(summed({flc, tfl}, {flc, fl}));
}

TEST_CASE("downmix: a device that does not tell its positions has the usual ones")
{
    CHECK(near(rows(five_one, {0, 0}, Downmixing::normal), rows(five_one, {fl, fr}, Downmixing::normal)));
    CHECK(near(rows(five_one, {0}, Downmixing::normal), rows(five_one, {mono}, Downmixing::normal)));
    CHECK(near(rows({fl, fr}, {fl, fl}, Downmixing::normal), {{1, 0}, {0, 1}}));
    CHECK(near(rows({fl, fr}, {lfe, lfe}, Downmixing::normal), {{1, 0}, {0, 1}}));
}

TEST_CASE("downmix: channels without a position go by number where there are as many, or are not heard")
{
    const Positions nine{fl, fr, rl, rr, fc, lfe, sl, sr, 0};
    CHECK(near(rows({0, 0}, {fl, fr}, Downmixing::normal), {{1, 0}, {0, 1}}));
    Rows diagonal(10, std::vector<double>(9));
    for (std::size_t i = 0; i < 9; i++)
        diagonal[i][i] = 1;
    CHECK(near(rows(nine, Positions(10, 0), Downmixing::normal), diagonal));
    const Rows first = rows(nine, seven_one, Downmixing::normal);
    for (std::size_t d = 0; d < 8; d++)
        CHECK(first[d][8] == 0);
    CHECK(first[7][7] == 1);
}

TEST_CASE("downmix: whatever the positions, all that can be placed is heard, and normal never exceeds full scale")
{
    const Positions devices[] = {{mono},      {fl, fr},         {fl, fr, fc}, {fl, fr, rl, rr}, five_one, seven_one,
                                 {fl, fr, 0}, {rc, fc, fl, fr}, {fc},         {lfe, rl},        {0, 0, 0}};
    const auto is_placed = [](std::uint8_t p) { return p > 1 && p <= last_position && p != lfe && p != 32 && p != 33; };
    const auto try_with = [&](const Positions& client, const Positions& device) {
        const Rows loud = rows(client, device, Downmixing::loud);
        const Rows normal = rows(client, device, Downmixing::normal);
        const bool fits = std::all_of(normal.begin(), normal.end(), [](const std::vector<double>& row) {
            return std::accumulate(row.begin(), row.end(), 0.0) < 1 + 1e-6;
        });
        const auto heard = [&](std::size_t c) {
            return std::any_of(loud.begin(), loud.end(), [c](const auto& row) { return row[c] != 0; });
        };
        const bool by_position = device.size() < client.size() && is_placed(client[0]) && is_placed(client[1]);
        return fits && (!by_position || (heard(0) && heard(1) && heard(4)));
    };
    for (const Positions& device : devices)
        for (std::uint8_t a = 0; a <= last_position + 3; a++)
            for (std::uint8_t b = 0; b <= last_position; b++) {
                CAPTURE(a);
                CAPTURE(b);
                CAPTURE(device.size());
                if (a != b && !try_with({a, b, fl, fr, fc}, device))
                    FAIL_CHECK("not heard, or too loud");
            }
}
