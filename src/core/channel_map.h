// SPDX-License-Identifier: LGPL-2.1-or-later
//
// channel_map.h: which client channel each device channel plays. Pure, noexcept, any thread.

#pragma once

#include "ringmix/abi.h"

#include <array>
#include <cstdint>
#include <span>

namespace ringmix::core {

// Entry d: the client channel that device channel d plays, or abi::no_channel.
using ChannelMap = std::array<std::uint8_t, abi::max_channels>;

// The position (SND_CHMAP_*) that channel `channel` of `channels` has by ALSA's convention: mono, or
// FL FR RL RR FC LFE SL SR in this order; unknown (0) beyond the eighth.
std::uint8_t standard_position(std::uint32_t channel, std::uint32_t channels) noexcept;

// The map of a client with `client_channels` in standard positions: like goes to like; a mono client
// is heard on both front channels; by number where the device's positions do not tell.
ChannelMap default_map(std::uint32_t client_channels, std::span<const std::uint8_t> device_positions) noexcept;

// The map in which client channel c goes to device channel targets[c]. Returns false if a target is
// no device channel or two client channels go to the same one.
bool explicit_map(std::span<const std::uint32_t> targets, std::uint32_t device_channels, ChannelMap& map) noexcept;

// Puts a map into a slot's configuration: byte d of its words is entry d.
void store_map(abi::SlotConfig& config, std::span<const std::uint8_t, abi::max_channels> map) noexcept;

} // namespace ringmix::core
