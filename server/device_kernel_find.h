// SPDX-License-Identifier: LGPL-2.1-or-later
//
// device_kernel_find.h: which playback devices there are, and why one cannot be had.
// Control thread; may block; set-up only. Turns libasound's own messages on stderr off.

#pragma once

#include <string>
#include <vector>

namespace ringmix::server {

// Where a hardware PCM name leads to.
struct HardwareAddress {
    int card = -1;
    int device = 0;
    int subdevice = -1; // any
};

// The hardware PCM that `name` means in libasound's configuration. Throws std::runtime_error if it
// is not defined, is no PCM of type hw (nothing is opened to find out), or its card is not there.
HardwareAddress find_hardware(const std::string& name);

// The names (hw:CARD,DEVICE) of all hardware playback devices, in order; also of those that this
// user may not open.
std::vector<std::string> list_playback_devices();

// What a card says of itself: its id ("PCH", "Loopback", ...) and its driver ("HDA-Intel", "USB-Audio", ...);
// empty where it cannot be told.
struct CardInfo {
    std::string id;
    std::string driver;
};
CardInfo card_info(int card);

// Device::identity() of a hardware PCM: by the card's id, or by its number where the id is empty.
std::string hardware_identity(const std::string& card_id, int card, int device, int subdevice);

// Why opening `name` failed with -`error`, and what to do about it: one line.
std::string explain_failure(const std::string& name, const HardwareAddress& address, int error);

} // namespace ringmix::server
