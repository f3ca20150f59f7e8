// SPDX-License-Identifier: LGPL-2.1-or-later
//
// positions.h: where a channel is heard: ALSA's enum snd_pcm_chmap_position, by short names.

#pragma once

#include <cstdint>

namespace ringmix::core::chmap {

enum Position : std::uint8_t {
    none,
    na,
    mono,
    fl,
    fr,
    rl,
    rr,
    fc,
    lfe,
    sl,
    sr,
    rc,
    flc,
    frc,
    rlc,
    rrc,
    flw,
    frw,
    flh,
    fch,
    frh,
    tc,
    tfl,
    tfr,
    tfc,
    trl,
    trr,
    trc,
    tflc,
    tfrc,
    tsl,
    tsr,
    llfe,
    rlfe,
    bc,
    blc,
    brc,
    positions
};

} // namespace ringmix::core::chmap
