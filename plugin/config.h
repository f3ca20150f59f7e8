// SPDX-License-Identifier: LGPL-2.1-or-later
//
// config.h: what a `type ringmix` node of the ALSA configuration says.

#pragma once

#include "client/connection.h"
#include "core/downmix.h"
#include "plugin/rates.h"

#include <alsa/asoundlib.h>
#include <cstdint>
#include <vector>

namespace ringmix::plugin {

struct Settings {
    client::Address address;
    std::vector<std::uint32_t> map;            // entry c: the device channel of client channel c; empty: by position
    std::vector<RateRange> rates{usual_rates}; // offered beside the device's own
    core::Downmixing downmix = core::Downmixing::normal;
    std::uint32_t channels_max = 8; // offered where they are summed, and the device has fewer
};

// Reads the node. On a mistake prints which key is wrong and why (SNDERR) and returns -EINVAL.
int read_settings(snd_config_t* node, Settings& settings);

} // namespace ringmix::plugin
