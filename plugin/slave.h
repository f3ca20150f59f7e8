// SPDX-License-Identifier: LGPL-2.1-or-later
//
// slave.h: whether a server plays to the device that a configuration names. Set-up paths; may read the
// configuration and ask the kernel for its cards.

#pragma once

#include <string>

namespace ringmix::plugin {

// `slave`: "auto" (any), "virtual", or the name of a hardware PCM in the configuration of ALSA, as "hw:1,0", "hw:PCH"
// or one of the user's. `device`: as in protocol::Welcome. A name that leads to no hardware is none of a server's.
// A card may be named by its number here and by its id there; no subdevice stands for any.
bool plays_to(const std::string& slave, const std::string& device);

} // namespace ringmix::plugin
