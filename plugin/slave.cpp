// SPDX-License-Identifier: LGPL-2.1-or-later

#include "plugin/slave.h"

#include <alsa/asoundlib.h>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

namespace ringmix::plugin {

namespace {

struct Hardware {
    std::string card; // number or id
    long device = 0;
    long subdevice = -1; // -1: any
};

std::string text_of(snd_config_t* node, const char* key)
{
    snd_config_t* value = nullptr;
    char* text = nullptr;
    if (snd_config_search(node, key, &value) < 0 || snd_config_get_ascii(value, &text) < 0)
        return {};
    const std::unique_ptr<char, decltype(&std::free)> owner(text, std::free);
    return text;
}

long number_of(snd_config_t* node, const char* key, long otherwise)
{
    const std::string text = text_of(node, key);
    return text.empty() ? otherwise : std::strtol(text.c_str(), nullptr, 10);
}

// What the name means, with all arguments put in.
std::optional<Hardware> hardware_named(const std::string& name)
{
    snd_config_t *top = nullptr, *node = nullptr;
    if (snd_config_update_ref(&top) < 0)
        return {};
    std::optional<Hardware> found;
    if (snd_config_search_definition(top, "pcm", name.c_str(), &node) >= 0) {
        if (text_of(node, "type") == "hw")
            found = Hardware{text_of(node, "card"), number_of(node, "device", 0), number_of(node, "subdevice", -1)};
        snd_config_delete(node);
    }
    snd_config_unref(top);
    return found;
}

// "hw-CARD-DEVICE-SUBDEVICE"
std::optional<Hardware> hardware_told(const std::string& device)
{
    constexpr std::string_view start = "hw-";
    const std::size_t last = device.rfind('-');
    const std::size_t middle = last == std::string::npos || last == 0 ? last : device.rfind('-', last - 1);
    if (!device.starts_with(start) || middle == std::string::npos || middle <= start.size())
        return {};
    return Hardware{device.substr(start.size(), middle - start.size()),
                    std::strtol(device.c_str() + middle + 1, nullptr, 10),
                    std::strtol(device.c_str() + last + 1, nullptr, 10)};
}

bool same_card(const std::string& a, const std::string& b)
{
    const int index = snd_card_get_index(a.c_str());
    return a == b || (index >= 0 && index == snd_card_get_index(b.c_str()));
}

} // namespace

bool plays_to(const std::string& slave, const std::string& device)
{
    if (slave == "auto" || slave == device || device.empty())
        return true;
    if (slave == "virtual" || device == "virtual")
        return false;
    const auto wanted = hardware_named(slave), told = hardware_told(device);
    return wanted && told && same_card(wanted->card, told->card) && wanted->device == told->device &&
           (wanted->subdevice < 0 || told->subdevice < 0 || wanted->subdevice == told->subdevice);
}

} // namespace ringmix::plugin
