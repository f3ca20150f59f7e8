// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/downmix.h"

#include "core/positions.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace ringmix::core {

using namespace chmap;

namespace {

// The position of the ground floor's, by which one that the device has not got is taken for.
constexpr Position plain_position[positions] = {none, na, fc, fl, fr, rl, rr,  fc,  lfe, sl, sr, rc, fl,
                                                fr,   rl, rr, fl, fr, fl, fc,  fr,  fc,  fl, fr, fc, rl,
                                                rr,   rc, fl, fr, sl, sr, lfe, lfe, fc,  fl, fr};

// -3 dB, and twice that: both in one go, where ITU-R BS.775 takes two steps.
constexpr float db3 = 0.70710678f, db6 = 0.5f;

// Where a missing position goes: the first rule whose places are all there.
struct Rule {
    Position from;
    Position to[2]; // the second: none, if it is one place
    float weight;
};
constexpr Rule rules[] = {
    {fl, {fc, none}, db3},   {fl, {mono, none}, db3}, {fr, {fc, none}, db3},   {fr, {mono, none}, db3},
    {fc, {mono, none}, 1},   {fc, {fl, fr}, db3},     {rl, {sl, none}, 1},     {rl, {rc, none}, db3},
    {rl, {fl, none}, db3},   {rl, {fc, none}, db6},   {rl, {mono, none}, db6}, {rr, {sr, none}, 1},
    {rr, {rc, none}, db3},   {rr, {fr, none}, db3},   {rr, {fc, none}, db6},   {rr, {mono, none}, db6},
    {sl, {rl, none}, 1},     {sl, {rc, none}, db3},   {sl, {fl, none}, db3},   {sl, {fc, none}, db6},
    {sl, {mono, none}, db6}, {sr, {rr, none}, 1},     {sr, {rc, none}, db3},   {sr, {fr, none}, db3},
    {sr, {fc, none}, db6},   {sr, {mono, none}, db6}, {rc, {rl, rr}, db3},     {rc, {sl, sr}, db3},
    {rc, {fl, fr}, db6},     {rc, {fc, none}, db3},   {rc, {mono, none}, db3},
};

using Positions = std::span<const std::uint8_t>;

bool has(Positions device, Position position) noexcept
{
    return std::find(device.begin(), device.end(), position) != device.end();
}

bool nameless(std::uint8_t position) noexcept { return position <= na || position >= positions; }

// Where one position goes; nowhere: both are none.
Rule place_of(std::uint8_t position, Positions device) noexcept
{
    if (nameless(position))
        return {none, {none, none}, 0};
    const auto own = static_cast<Position>(position);
    const Position near = plain_position[own];
    for (const Position there : {own, near})
        if (has(device, there))
            return {own, {there, none}, 1};
    for (const Rule& rule : rules)
        if (rule.from == near && has(device, rule.to[0]) && (rule.to[1] == none || has(device, rule.to[1])))
            return rule;
    return {own, {none, none}, 0};
}

bool may_be_left_out(std::uint8_t position) noexcept { return nameless(position) || plain_position[position] == lfe; }

bool all_have_places(Positions client, Positions device) noexcept
{
    return std::all_of(client.begin(), client.end(), [&](std::uint8_t position) {
        return may_be_left_out(position) || place_of(position, device).to[0] != none;
    });
}

// Sums for each channel of the device, by its number.
Downmix sums_by_position(Positions client, Positions device) noexcept
{
    Downmix sums;
    sums.from = static_cast<std::uint32_t>(client.size());
    sums.to = static_cast<std::uint32_t>(device.size());
    for (std::size_t c = 0; c < client.size(); c++) {
        const Rule place = place_of(client[c], device);
        for (std::size_t d = 0; d < device.size(); d++)
            for (const Position to : place.to)
                if (to != none && device[d] == to)
                    sums.weights[d][c] = place.weight;
    }
    return sums;
}

void scale(Downmix& sums) noexcept
{
    double most = 1;
    for (const auto& row : sums.weights) {
        double size = 0;
        for (const float weight : row)
            size += weight;
        most = std::max(most, size);
    }
    for (auto& row : sums.weights)
        for (float& weight : row)
            weight = static_cast<float>(weight / most);
}

// Whether each of the device's channels plays one channel as it is, or none: then nothing needs to be summed.
bool map_only(const Downmix& sums, ChannelMap& map) noexcept
{
    map.fill(abi::no_channel);
    for (std::size_t d = 0; d < sums.to; d++)
        for (std::size_t c = 0; c < sums.from; c++) {
            if (sums.weights[d][c] == 0)
                continue;
            if (sums.weights[d][c] != 1 || map[d] != abi::no_channel)
                return false;
            map[d] = static_cast<std::uint8_t>(c);
        }
    return true;
}

// The lane has no channels for those of the device that play nothing.
void drop_silent(Routing& routing) noexcept
{
    Downmix& downmix = routing.downmix;
    routing.map.fill(abi::no_channel);
    std::uint32_t used = 0;
    for (std::uint32_t d = 0; d < downmix.to; d++) {
        const auto& row = downmix.weights[d];
        if (std::all_of(row.begin(), row.end(), [](float weight) { return weight == 0; }))
            continue;
        routing.map[d] = static_cast<std::uint8_t>(used);
        downmix.weights[used++] = row;
    }
    downmix.to = used;
}

} // namespace

bool route(Positions client, Positions device, Downmixing downmixing, Routing& routing) noexcept
{
    client = client.first(std::min<std::size_t>(client.size(), abi::max_channels));
    device = device.first(std::min<std::size_t>(device.size(), abi::max_channels));
    routing.downmix = {};
    if (map_by_position(client, device, routing.map))
        return true;
    const bool fits = client.size() <= device.size();
    if (fits && (downmixing == Downmixing::off || std::any_of(client.begin(), client.end(), nameless))) {
        routing.map = map_by_number(client.size(), device.size());
        return true;
    }
    std::array<std::uint8_t, abi::max_channels> usual{};
    if (!all_have_places(client, device)) { // the device does not tell, or not the truth
        for (std::uint32_t d = 0; d < device.size(); d++)
            usual[d] = standard_position(d, static_cast<std::uint32_t>(device.size()));
        device = Positions(usual).first(device.size());
    }
    routing.downmix = sums_by_position(client, device);
    if (downmixing == Downmixing::normal)
        scale(routing.downmix);
    if (map_only(routing.downmix, routing.map)) {
        routing.downmix = {};
        return true;
    }
    drop_silent(routing);
    return downmixing != Downmixing::off;
}

} // namespace ringmix::core
