// SPDX-License-Identifier: LGPL-2.1-or-later
//
// periods.h: whole periods for programs that do not ask for all of it.

#pragma once

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>

namespace ringmix::plugin {

// For the hw_params callback. libasound fixes what the program has left open one parameter after the other,
// and for an ioplug it may end between two whole numbers: a period of 240.3 frames, a number of periods
// that cannot be told. Then the period is moved to the nearest one that the buffer is a multiple of, and
// `params` say so. The buffer stays: `plug` may count on its size already. A buffer without such a period
// (its size has no fitting divisor) keeps a whole number of periods, which are not whole themselves.
void settle_periods(snd_pcm_ioplug_t& io, snd_pcm_hw_params_t* params) noexcept;

} // namespace ringmix::plugin
