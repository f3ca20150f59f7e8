// SPDX-License-Identifier: LGPL-2.1-or-later
//
// rates.h: the rates that a PCM offers.

#pragma once

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <string_view>
#include <vector>

namespace ringmix::plugin {

inline constexpr unsigned lowest_rate = 4000; // Hz, that a program may play at
inline constexpr unsigned highest_rate = 384000;

// Both ends included, Hz.
struct RateRange {
    unsigned first;
    unsigned last;
};
inline constexpr RateRange usual_rates{8000, 192000};

// "44100 48000 88200-192000", or "device" for none but the device's own; false: not that.
bool parse_rates(std::string_view text, std::vector<RateRange>& rates);

// Constrains the PCM to these rates and the device's own. An error of libasound; throws std::bad_alloc.
int offer_rates(snd_pcm_ioplug_t& io, std::vector<RateRange> rates, unsigned device_rate);

} // namespace ringmix::plugin
