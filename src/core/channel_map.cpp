// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/channel_map.h"

#include "core/positions.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace ringmix::core {

using namespace chmap;

namespace {
constexpr Position standard[standard_positions] = {fl, fr, rl, rr, fc, lfe, sl, sr};

ChannelMap mono_map(std::span<const std::uint8_t> positions) noexcept
{
    ChannelMap map;
    map.fill(abi::no_channel);
    bool heard = false;
    for (std::size_t d = 0; d < positions.size(); d++)
        if (positions[d] == mono || positions[d] == fl || positions[d] == fr) {
            map[d] = 0;
            heard = true;
        }
    if (!heard)
        for (std::size_t d = 0; d < positions.size() && d < 2; d++)
            map[d] = 0;
    return map;
}
} // namespace

std::uint8_t standard_position(std::uint32_t channel, std::uint32_t channels) noexcept
{
    if (channels == 1)
        return mono;
    return channel < standard_positions ? standard[channel] : none;
}

bool map_by_position(std::span<const std::uint8_t> client, std::span<const std::uint8_t> device,
                     ChannelMap& map) noexcept
{
    if (client.size() == 1 && client[0] == mono) {
        map = mono_map(device);
        return true;
    }
    map.fill(abi::no_channel);
    std::uint64_t heard = 0; // client channels; a device may have several channels in one position
    for (std::size_t d = 0; d < device.size(); d++)
        for (std::size_t c = 0; c < client.size(); c++)
            if (device[d] > na && device[d] == client[c]) {
                map[d] = static_cast<std::uint8_t>(c);
                heard |= std::uint64_t{1} << c;
                break;
            }
    return static_cast<std::size_t>(std::popcount(heard)) == client.size();
}

ChannelMap map_by_number(std::size_t client_channels, std::size_t device_channels) noexcept
{
    ChannelMap map;
    map.fill(abi::no_channel);
    for (std::size_t d = 0; d < map.size() && d < device_channels && d < client_channels; d++)
        map[d] = static_cast<std::uint8_t>(d);
    return map;
}

bool explicit_map(std::span<const std::uint32_t> targets, std::uint32_t device_channels, ChannelMap& map) noexcept
{
    map.fill(abi::no_channel);
    for (std::size_t c = 0; c < targets.size(); c++) {
        if (targets[c] >= device_channels || targets[c] >= abi::max_channels || map[targets[c]] != abi::no_channel)
            return false;
        map[targets[c]] = static_cast<std::uint8_t>(c);
    }
    return true;
}

void store_map(abi::SlotConfig& config, std::span<const std::uint8_t, abi::max_channels> map) noexcept
{
    for (std::size_t word = 0; word < std::size(config.map); word++) {
        std::uint64_t bytes = 0;
        for (std::size_t i = 0; i < 8; i++)
            bytes |= std::uint64_t{map[word * 8 + i]} << (8 * i);
        config.map[word].store(bytes, std::memory_order_relaxed);
    }
}

} // namespace ringmix::core
