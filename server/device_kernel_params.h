// SPDX-License-Identifier: LGPL-2.1-or-later
//
// device_kernel_params.h: agrees with a hardware PCM on format, rate and sizes, as near to the
// wishes as it can, and sets it up to run for ever. Control thread; set-up only.

#pragma once

#include "server/device.h"

#include <alsa/asoundlib.h>

namespace ringmix::server {

// Settles the hw_params of `pcm`. Returns the shape. Throws std::runtime_error naming `wishes.device`
// and what it cannot do.
DeviceShape settle_hw_params(snd_pcm_t* pcm, const DeviceWishes& wishes, Say say);

// Free running: never stopped by the kernel, played frames silenced, pointers stamped with
// CLOCK_MONOTONIC. Before the stream is started only: on a running one it would clear the ring.
void settle_sw_params(snd_pcm_t* pcm, const DeviceWishes& wishes);

} // namespace ringmix::server
