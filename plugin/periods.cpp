// SPDX-License-Identifier: LGPL-2.1-or-later

#include "plugin/periods.h"

#include <algorithm>

namespace ringmix::plugin {

namespace {

bool whole(const snd_pcm_hw_params_t* params) noexcept
{
    snd_pcm_uframes_t period = 0, buffer = 0;
    unsigned periods = 0;
    int size_off = 0, count_off = 0; // not 0: the value is a little more or less
    return snd_pcm_hw_params_get_period_size(params, &period, &size_off) == 0 && size_off == 0 &&
           snd_pcm_hw_params_get_periods(params, &periods, &count_off) == 0 && count_off == 0 &&
           snd_pcm_hw_params_get_buffer_size(params, &buffer) == 0 && period * periods == buffer;
}

struct Wish {
    unsigned periods = 4; // where nothing is known
    unsigned range = 4;   // how far from it another number may be
};

// What libasound has ended with. A number of periods may be what the program wants: then little may change.
Wish wish_in(const snd_pcm_hw_params_t* params, snd_pcm_uframes_t buffer) noexcept
{
    Wish wish;
    snd_pcm_uframes_t period = 0;
    int ignored = 0;
    if (snd_pcm_hw_params_get_periods(params, &wish.periods, &ignored) == 0) {
        wish.range = wish.periods / 4;
    } else if (snd_pcm_hw_params_get_period_size(params, &period, &ignored) == 0 && period > 0) {
        wish.periods = static_cast<unsigned>((buffer + period / 2) / period);
        wish.range = wish.periods;
    }
    return wish;
}

} // namespace

void settle_periods(snd_pcm_ioplug_t& io, snd_pcm_hw_params_t* params) noexcept
{
    if (whole(params))
        return;
    snd_pcm_uframes_t buffer = 0;
    if (snd_pcm_hw_params_get_buffer_size(params, &buffer) < 0)
        return;
    snd_pcm_hw_params_t* settled;
    snd_pcm_hw_params_alloca(&settled);
    const auto fits = [&](unsigned periods) {
        return snd_pcm_hw_params_any(io.pcm, settled) >= 0 &&
               snd_pcm_hw_params_set_access(io.pcm, settled, io.access) >= 0 &&
               snd_pcm_hw_params_set_format(io.pcm, settled, io.format) >= 0 &&
               snd_pcm_hw_params_set_channels(io.pcm, settled, io.channels) >= 0 &&
               snd_pcm_hw_params_set_rate(io.pcm, settled, io.rate, 0) >= 0 &&
               snd_pcm_hw_params_set_buffer_size(io.pcm, settled, buffer) >= 0 &&
               snd_pcm_hw_params_set_periods(io.pcm, settled, periods, 0) >= 0;
    };
    const Wish wish = wish_in(params, buffer);
    bool found = false;
    for (unsigned off = 0; !found && off <= wish.range; off++)
        for (const unsigned periods : {wish.periods - off, wish.periods + off})
            found = found || (periods >= 2 && periods <= buffer && buffer % periods == 0 && fits(periods));
    if (found || fits(std::max(wish.periods, 2u)))
        snd_pcm_hw_params_copy(params, settled);
}

} // namespace ringmix::plugin
