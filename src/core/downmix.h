// SPDX-License-Identifier: LGPL-2.1-or-later
//
// downmix.h: how the channels of a client come to those of a device, also where there are more than the device
// has. Pure, noexcept, any thread.

#pragma once

#include "core/channel_map.h"

namespace ringmix::core {

// Sums of a client's channels: lane channel t is the sum of weights[t][f] times client channel f.
struct Downmix {
    std::uint32_t from = 0; // the client's channels
    std::uint32_t to = 0;   // the lane's; 0: nothing is summed, the lane has the client's own channels
    std::array<std::array<float, abi::max_channels>, abi::max_channels> weights{};

    bool sums() const noexcept { return to != 0; }
};

enum class Downmixing : std::uint8_t {
    normal, // by ITU-R BS.775, all channels quieter by as much as it takes that no sum exceeds full scale
    loud,   // by ITU-R BS.775
    off,    // none
};

struct Routing {
    ChannelMap map{}; // which channel of the lane each channel of the device plays
    Downmix downmix;
};

// How a client whose channels are in the positions `client` is heard. Like goes to like; where a position is missing,
// its channel goes to those around it. Channels without a position go by number, where there are as many. Low
// frequencies that have no channel of their own are left out. False: a channel would not be heard for want of a place,
// and nothing may be summed. At most abi::max_channels of either are looked at.
bool route(std::span<const std::uint8_t> client, std::span<const std::uint8_t> device, Downmixing downmixing,
           Routing& routing) noexcept;

} // namespace ringmix::core
