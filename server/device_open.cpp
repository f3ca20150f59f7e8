// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which kind of device a wish is for.

#include "server/device.h"
#include "server/device_kernel_find.h"

#include <cerrno>
#include <fmt/format.h>
#include <stdexcept>
#include <system_error>

namespace ringmix::server {

std::unique_ptr<Device> open_device(const DeviceWishes& wishes, Say say)
{
    DeviceWishes found = wishes;
    if (wishes.device == "auto") {
        const std::vector<std::string> names = list_playback_devices();
        found.device = names.empty() ? "virtual" : names.front();
    }
    if (found.device == "virtual")
        return open_virtual_device(found, say);
    if (!wishes.output.empty())
        throw std::runtime_error(fmt::format("--output {} records a virtual device only, and the device is {}: add "
                                             "--device virtual, or leave --output out",
                                             wishes.output, found.device));
    return open_kernel_device(found, say);
}

std::unique_ptr<Device> take_over_device(DeviceHeirloom heirloom)
{
    return heirloom.shape.kind == abi::device_virtual ? take_over_virtual_device(std::move(heirloom))
                                                      : take_over_kernel_device(std::move(heirloom));
}

int error_number(const std::exception& error) noexcept
{
    if (const auto* of_device = dynamic_cast<const DeviceError*>(&error))
        return of_device->error;
    if (const auto* of_system = dynamic_cast<const std::system_error*>(&error))
        return of_system->code().value();
    return ENODEV;
}

} // namespace ringmix::server
