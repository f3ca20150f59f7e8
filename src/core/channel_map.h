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

inline constexpr std::uint32_t standard_positions = 8;
// The position (SND_CHMAP_*) that channel `channel` of `channels` has by ALSA's convention: mono, or
// FL FR RL RR FC LFE SL SR in this order; unknown (0) beyond the eighth.
std::uint8_t standard_position(std::uint32_t channel, std::uint32_t channels) noexcept;

// Like goes to like; a client with one channel, `mono`, is heard on both front channels, or on the first two where the
// device's positions do not tell. False: a channel of the client would not be heard.
bool map_by_position(std::span<const std::uint8_t> client, std::span<const std::uint8_t> device,
                     ChannelMap& map) noexcept;

// Channel n goes to channel n, as far as there are both.
ChannelMap map_by_number(std::size_t client_channels, std::size_t device_channels) noexcept;

// The map in which client channel c goes to device channel targets[c]. Returns false if a target is
// no device channel or two client channels go to the same one.
bool explicit_map(std::span<const std::uint32_t> targets, std::uint32_t device_channels, ChannelMap& map) noexcept;

// Puts a map into a slot's configuration: byte d of its words is entry d.
void store_map(abi::SlotConfig& config, std::span<const std::uint8_t, abi::max_channels> map) noexcept;

} // namespace ringmix::core
