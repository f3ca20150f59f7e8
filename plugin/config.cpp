// SPDX-License-Identifier: LGPL-2.1-or-later

#include "plugin/config.h"

#include "os/paths.h"
#include "os/process.h"

#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>

namespace ringmix::plugin {

namespace {

constexpr double max_gain_db = 12.0;

int text(const char* key, snd_config_t* value, std::string& out)
{
    char* ascii = nullptr; // also numbers: instance 1 is as good as instance "1"
    if (snd_config_get_type(value) == SND_CONFIG_TYPE_COMPOUND || snd_config_get_ascii(value, &ascii) < 0) {
        SNDERR("ringmix: %s must be a string", key);
        return -EINVAL;
    }
    out = ascii == nullptr ? "" : ascii;
    std::free(ascii);
    if (out.empty()) {
        SNDERR("ringmix: %s is empty", key);
        return -EINVAL;
    }
    return 0;
}

int flag(const char* key, snd_config_t* value, bool& out)
{
    const int result = snd_config_get_bool(value);
    if (result < 0) {
        SNDERR("ringmix: %s must be yes or no", key);
        return -EINVAL;
    }
    out = result != 0;
    return 0;
}

int gain(snd_config_t* value, std::uint32_t& out)
{
    double db = 0;
    if (snd_config_get_ireal(value, &db) < 0 || !(db <= max_gain_db)) {
        SNDERR("ringmix: gain_db must be a number of at most %g", max_gain_db);
        return -EINVAL;
    }
    out = static_cast<std::uint32_t>(std::lround(std::pow(10.0, db / 20) * abi::unity_gain));
    return 0;
}

int map_error()
{
    SNDERR("ringmix: map must list one device channel (0 to %u) for each client channel, as in map [ 2 3 ]",
           abi::max_channels - 1);
    return -EINVAL;
}

int channel_map(snd_config_t* value, std::vector<std::uint32_t>& out)
{
    if (snd_config_get_type(value) != SND_CONFIG_TYPE_COMPOUND)
        return map_error();
    snd_config_iterator_t i, next;
    snd_config_for_each(i, next, value)
    {
        snd_config_t* entry = snd_config_iterator_entry(i);
        const char* id = nullptr;
        long target = -1;
        char* end = nullptr;
        if (snd_config_get_id(entry, &id) < 0)
            return map_error();
        const unsigned long channel = std::strtoul(id, &end, 10);
        if (end == id || *end != '\0' || channel != out.size() || out.size() >= abi::max_channels ||
            snd_config_get_integer(entry, &target) < 0 || target < 0 || target >= long{abi::max_channels})
            return map_error();
        out.push_back(static_cast<std::uint32_t>(target));
    }
    return out.empty() ? map_error() : 0;
}

int rates(const char* key, snd_config_t* value, std::vector<RateRange>& out)
{
    std::string list;
    if (const int error = text(key, value, list); error < 0)
        return error;
    if (parse_rates(list, out))
        return 0;
    SNDERR("ringmix: rates must be \"device\" or a list of rates and ranges from %u to %u Hz, as in "
           "\"44100 48000 88200-192000\"",
           lowest_rate, highest_rate);
    return -EINVAL;
}

int downmix(const char* key, snd_config_t* value, core::Downmixing& out)
{
    std::string word;
    if (const int error = text(key, value, word); error < 0)
        return error;
    if (word == "normal" || word == "loud" || word == "off") {
        out = word == "normal" ? core::Downmixing::normal
              : word == "loud" ? core::Downmixing::loud
                               : core::Downmixing::off;
        return 0;
    }
    SNDERR("ringmix: downmix is \"%s\"; it must be normal, loud or off", word.c_str());
    return -EINVAL;
}

int channels_max(snd_config_t* value, std::uint32_t& out)
{
    long number = 0;
    if (snd_config_get_integer(value, &number) < 0 || number < 1 || number > long{abi::max_channels}) {
        SNDERR("ringmix: channels_max must be a number from 1 to %u", abi::max_channels);
        return -EINVAL;
    }
    out = static_cast<std::uint32_t>(number);
    return 0;
}

// Keys that every ALSA node may have.
bool generic_key(std::string_view key) { return key == "comment" || key == "type" || key == "hint"; }

int read_key(std::string_view key, const char* id, snd_config_t* value, Settings& settings)
{
    if (key == "instance")
        return text(id, value, settings.address.instance);
    if (key == "socket")
        return text(id, value, settings.address.socket);
    if (key == "slave")
        return text(id, value, settings.address.slave);
    if (key == "client_name")
        return text(id, value, settings.address.name);
    if (key == "autostart")
        return flag(id, value, settings.address.autostart);
    if (key == "gain_db")
        return gain(value, settings.address.gain);
    if (key == "map")
        return channel_map(value, settings.map);
    if (key == "rates")
        return rates(id, value, settings.rates);
    if (key == "downmix")
        return downmix(id, value, settings.downmix);
    if (key == "channels_max")
        return channels_max(value, settings.channels_max);
    SNDERR("ringmix: unknown key %s; known are instance, socket, autostart, slave, client_name, gain_db, map, rates, "
           "downmix and channels_max",
           id);
    return -EINVAL;
}

} // namespace

int read_settings(snd_config_t* node, Settings& settings)
{
    settings.address.autostart = true;
    settings.address.name = os::program_name();
    snd_config_iterator_t i, next;
    snd_config_for_each(i, next, node)
    {
        snd_config_t* entry = snd_config_iterator_entry(i);
        const char* id = nullptr;
        if (snd_config_get_id(entry, &id) < 0 || generic_key(id))
            continue;
        if (const int error = read_key(id, id, entry, settings); error < 0)
            return error;
    }
    if (!os::valid_instance_name(settings.address.instance)) {
        SNDERR("ringmix: instance \"%s\" is no valid name: use letters, digits, dot, dash and underscore",
               settings.address.instance.c_str());
        return -EINVAL;
    }
    return 0;
}

} // namespace ringmix::plugin
