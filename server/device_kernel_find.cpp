// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/device_kernel_find.h"

#include "os/process.h"

#include <algorithm>
#include <alsa/asoundlib.h>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <unistd.h>

namespace ringmix::server {

namespace fs = std::filesystem;

namespace {

// From here on libasound's own messages stay off stderr: its errors are reported once, by those who
// know what was tried. For the whole process, as the handler for one thread has no C++ declaration
// that links (its header lacks extern "C").
void drop_message(const char*, int, const char*, int, const char*, ...) {}
void quiet_alsa()
{
    static const int done = snd_lib_error_set_handler(drop_message);
    static_cast<void>(done);
}

struct ConfigDelete {
    void operator()(snd_config_t* node) const noexcept { snd_config_delete(node); }
};
using Config = std::unique_ptr<snd_config_t, ConfigDelete>;

struct ConfigTop {
    ConfigTop()
    {
        if (const int error = snd_config_update_ref(&top); error < 0)
            throw std::runtime_error(fmt::format("cannot read ALSA's configuration: {}", snd_strerror(error)));
    }
    ~ConfigTop() { snd_config_unref(top); }
    ConfigTop(const ConfigTop&) = delete;
    ConfigTop& operator=(const ConfigTop&) = delete;
    snd_config_t* top = nullptr;
};

std::string text_of(snd_config_t* node, const char* key, const char* otherwise)
{
    snd_config_t* field = nullptr;
    char* text = nullptr;
    if (snd_config_search(node, key, &field) < 0 || snd_config_get_ascii(field, &text) < 0)
        return otherwise;
    const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
    return text;
}

std::string existing_devices()
{
    const std::vector<std::string> names = list_playback_devices();
    return names.empty() ? "this machine has no hardware playback device; 'virtual' needs none"
                         : fmt::format("there are: {}", fmt::join(names, ", "));
}

// The definition of PCM `name`; one that is only another name for something is followed.
Config find_definition(snd_config_t* top, std::string name)
{
    constexpr int most_hops = 16;
    const std::string asked = name;
    for (int hop = 0; hop < most_hops; hop++) {
        snd_config_t* node = nullptr;
        if (const int error = snd_config_search_definition(top, "pcm", name.c_str(), &node); error < 0)
            throw std::runtime_error(fmt::format("device {}: there is no PCM of this name ({}); {}", asked,
                                                 snd_strerror(error), existing_devices()));
        Config definition(node);
        const char* target = nullptr;
        if (snd_config_get_string(node, &target) < 0)
            return definition;
        name = target;
    }
    throw std::runtime_error(fmt::format("device {}: its definition goes round in circles", asked));
}

bool forbidden(const std::string& node) { return ::access(node.c_str(), R_OK | W_OK) < 0 && errno == EACCES; }

// The first device file of a sound card that this user may not use; empty if there is none.
std::string forbidden_node()
{
    std::set<std::string> nodes;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator("/dev/snd", ignored)) {
        const std::string file = entry.path().filename();
        const bool playback = file.starts_with("pcm") && file.ends_with('p');
        if ((playback || file.starts_with("controlC")) && forbidden(entry.path()))
            nodes.insert(entry.path());
    }
    return nodes.empty() ? std::string() : *nodes.begin();
}

std::string permission_advice(const std::string& node)
{
    return fmt::format(
        "no permission for {}: add the user to the group that owns it (usually 'audio'), or run ringmixd "
        "as one who may",
        node);
}

// The process that thread `id` belongs to, 0 if it is gone.
pid_t process_of(pid_t id)
{
    std::ifstream status(fmt::format("/proc/{}/status", id));
    for (std::string word; status >> word;)
        if (pid_t process = 0; word == "Tgid:" && status >> process)
            return process;
    return 0;
}

// Who opened the subdevices of a PCM.
std::set<pid_t> openers(const HardwareAddress& address)
{
    std::set<pid_t> found;
    std::error_code ignored;
    const std::string pcm = fmt::format("/proc/asound/card{}/pcm{}p", address.card, address.device);
    for (const fs::directory_entry& entry : fs::directory_iterator(pcm, ignored)) {
        const std::string sub = entry.path().filename();
        if (!sub.starts_with("sub") || (address.subdevice >= 0 && sub != fmt::format("sub{}", address.subdevice)))
            continue;
        std::ifstream status(entry.path() / "status");
        for (std::string word; status >> word;)
            if (pid_t thread = 0; word == "owner_pid" && status >> word >> thread)
                if (const pid_t process = process_of(thread); process > 0)
                    found.insert(process);
    }
    return found;
}

// Who has the PCM's device file open now: more than its openers, since descriptors can be passed on,
// but only processes that this user may look into.
std::set<pid_t> descriptor_holders(const HardwareAddress& address)
{
    std::set<pid_t> found;
    std::error_code ignored;
    const std::string node = fmt::format("/dev/snd/pcmC{}D{}p", address.card, address.device);
    for (const fs::directory_entry& process : fs::directory_iterator("/proc", ignored)) {
        const pid_t pid = std::atoi(process.path().filename().c_str());
        if (pid <= 0 || pid == ::getpid())
            continue;
        std::error_code unreadable;
        for (fs::directory_iterator fd(process.path() / "fd", unreadable), end; !unreadable && fd != end;
             fd.increment(unreadable)) {
            std::error_code gone;
            if (fs::read_symlink(fd->path(), gone) == node)
                found.insert(pid);
        }
    }
    return found;
}

std::string holders(const HardwareAddress& address)
{
    std::set<pid_t> pids = openers(address);
    if (pids.empty())
        pids = descriptor_holders(address);
    std::vector<std::string> names;
    for (const pid_t pid : pids) {
        const std::string name = os::process_name(pid);
        names.push_back(fmt::format("{} (process {})", name.empty() ? "?" : name, pid));
    }
    return names.empty() ? "a process that cannot be seen from here" : fmt::format("{}", fmt::join(names, ", "));
}

} // namespace

HardwareAddress find_hardware(const std::string& name)
{
    quiet_alsa();
    const ConfigTop config;
    const Config definition = find_definition(config.top, name);
    const std::string type = text_of(definition.get(), "type", "?");
    if (type != "hw")
        throw std::runtime_error(fmt::format("device {}: it is of type '{}', not 'hw'; ringmix needs the hardware "
                                             "itself: {}",
                                             name, type, existing_devices()));
    const std::string card = text_of(definition.get(), "card", "0");
    HardwareAddress address;
    address.card = snd_card_get_index(card.c_str());
    address.device = std::atoi(text_of(definition.get(), "device", "0").c_str());
    address.subdevice = std::atoi(text_of(definition.get(), "subdevice", "-1").c_str());
    if (address.card < 0) {
        const std::string node = forbidden_node();
        throw std::runtime_error(
            node.empty() ? fmt::format("device {}: there is no sound card '{}'; {}", name, card, existing_devices())
                         : fmt::format("device {}: {}", name, permission_advice(node)));
    }
    return address;
}

std::vector<std::string> list_playback_devices()
{
    quiet_alsa();
    std::set<std::pair<int, int>> found;
    for (int card = -1; snd_card_next(&card) == 0 && card >= 0;) {
        snd_ctl_t* ctl = nullptr;
        if (snd_ctl_open(&ctl, fmt::format("hw:{}", card).c_str(), SND_CTL_NONBLOCK | SND_CTL_READONLY) < 0)
            continue;
        snd_pcm_info_t* info = nullptr;
        snd_pcm_info_alloca(&info);
        for (int device = -1; snd_ctl_pcm_next_device(ctl, &device) == 0 && device >= 0;) {
            snd_pcm_info_set_device(info, static_cast<unsigned>(device));
            snd_pcm_info_set_subdevice(info, 0);
            snd_pcm_info_set_stream(info, SND_PCM_STREAM_PLAYBACK);
            if (snd_ctl_pcm_info(ctl, info) == 0)
                found.insert({card, device});
        }
        snd_ctl_close(ctl);
    }
    // Cards that this user may not open look to libasound as if they were not there.
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator("/dev/snd", ignored)) {
        int card = 0, device = 0;
        char direction = 0;
        if (std::sscanf(entry.path().filename().c_str(), "pcmC%dD%d%c", &card, &device, &direction) == 3 &&
            direction == 'p')
            found.insert({card, device});
    }
    std::vector<std::string> names;
    for (const auto& [card, device] : found)
        names.push_back(fmt::format("hw:{},{}", card, device));
    return names;
}

CardInfo card_info(int card)
{
    snd_ctl_t* ctl = nullptr;
    if (snd_ctl_open(&ctl, fmt::format("hw:{}", card).c_str(), SND_CTL_NONBLOCK | SND_CTL_READONLY) < 0)
        return {};
    snd_ctl_card_info_t* info = nullptr;
    snd_ctl_card_info_alloca(&info);
    CardInfo told;
    if (snd_ctl_card_info(ctl, info) == 0)
        told = {snd_ctl_card_info_get_id(info), snd_ctl_card_info_get_driver(info)};
    snd_ctl_close(ctl);
    return told;
}

std::string hardware_identity(const std::string& card_id, int card, int device, int subdevice)
{
    return fmt::format("hw-{}-{}-{}", card_id.empty() ? std::to_string(card) : card_id, device, subdevice);
}

std::string explain_failure(const std::string& name, const HardwareAddress& address, int error)
{
    switch (error) {
    case EBUSY:
    case EAGAIN:
        return fmt::format(
            "device {} is busy: held by {}; end it, or choose another --device (a program that played through a "
            "ringmixd that has ended keeps the device until it closes)",
            name, holders(address));
    case EACCES:
    case EPERM: {
        const std::string node = fmt::format("/dev/snd/pcmC{}D{}p", address.card, address.device);
        const std::string control = fmt::format("/dev/snd/controlC{}", address.card);
        return fmt::format("device {}: {}", name, permission_advice(forbidden(control) ? control : node));
    }
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return fmt::format("device {}: there is no such playback device; {}", name, existing_devices());
    default:
        return fmt::format("device {} cannot be opened: {}", name, snd_strerror(-error));
    }
}

} // namespace ringmix::server
