// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Only what can be told without a sound card; the rest is tested in a virtual machine (tests/kernel).

#include "server/device.h"
#include "server/device_kernel_find.h"

#include <cerrno>
#include <doctest/doctest.h>
#include <stdexcept>
#include <string>
#include <system_error>

using namespace ringmix;
using namespace ringmix::server;

namespace {
std::string refusal(const std::string& name, const std::string& output = {})
{
    DeviceWishes wishes;
    wishes.device = name;
    wishes.output = output;
    try {
        open_device(wishes, nullptr);
    } catch (const std::exception& error) {
        return error.what();
    }
    return {};
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }
} // namespace

TEST_CASE("a device that is not there is refused by name")
{
    const std::string number = refusal("hw:31,0");
    CHECK_MESSAGE(contains(number, "device hw:31,0: "), number);
    CHECK_MESSAGE(contains(number, "no sound card '31'"), number);
    const std::string name = refusal("hw:CARD=NoSuchCard,DEV=0");
    CHECK_MESSAGE(contains(name, "no sound card 'NoSuchCard'"), name);
    const std::string unknown = refusal("nosuchpcm");
    CHECK_MESSAGE(contains(unknown, "device nosuchpcm: there is no PCM of this name"), unknown);
}

TEST_CASE("a device is named by its card's id")
{
    CHECK(hardware_identity("PCH", 0, 3, 1) == "hw-PCH-3-1");
    CHECK(hardware_identity("", 2, 0, 0) == "hw-2-0-0");
}

TEST_CASE("what a client is told of a failure has an errno")
{
    CHECK(error_number(DeviceError(EBUSY, "busy")) == EBUSY);
    CHECK(error_number(std::system_error(EACCES, std::generic_category(), "open")) == EACCES);
    CHECK(error_number(std::runtime_error("something else")) == ENODEV);
}

TEST_CASE("a PCM that is not the hardware is refused unopened")
{
    const std::string plug = refusal("plughw:0,0");
    CHECK_MESSAGE(contains(plug, "of type 'plug', not 'hw'"), plug);
    const std::string null = refusal("null");
    CHECK_MESSAGE(contains(null, "of type 'null', not 'hw'"), null);
}

TEST_CASE("an output needs the virtual device")
{
    const std::string text = refusal("hw:0,0", "/tmp/x.wav");
    CHECK_MESSAGE(contains(text, "--output /tmp/x.wav"), text);
    CHECK_MESSAGE(contains(text, "--device virtual"), text);
}

TEST_CASE("auto is the first hardware device, or else virtual")
{
    if (!list_playback_devices().empty())
        return;
    DeviceWishes wishes;
    const auto device = open_device(wishes, nullptr);
    CHECK(device->shape().kind == abi::device_virtual);
    CHECK(device->name() == "virtual");
}
