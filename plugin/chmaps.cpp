// SPDX-License-Identifier: LGPL-2.1-or-later
//
// chmaps.cpp: the channel maps that a PCM tells, and takes.

#include "plugin/pcm.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace ringmix::plugin {

// Where channel `channel` of `channels` is heard, unless the program says otherwise. The map names channels of the
// device: set_constraints() has seen to that.
unsigned Pcm::channel_position(unsigned channel, unsigned channels) const noexcept
{
    return settings_.map.empty() ? core::standard_position(channel, channels)
                                 : attachment_->geometry().chmap[settings_.map[channel]];
}

// Of the program's channels.
std::vector<std::uint8_t> Pcm::positions() const
{
    std::vector<std::uint8_t> positions = positions_;
    for (unsigned c = static_cast<unsigned>(positions.size()); c < io_.channels; c++)
        positions.push_back(static_cast<std::uint8_t>(channel_position(c, io_.channels)));
    return positions;
}

snd_pcm_chmap_query_t** Pcm::query_chmaps() const noexcept
{
    const unsigned first = settings_.map.empty() ? 1 : static_cast<unsigned>(settings_.map.size());
    const unsigned last = settings_.map.empty() ? most_channels() : first;
    auto** maps = static_cast<snd_pcm_chmap_query_t**>(std::calloc(last - first + 2, sizeof(snd_pcm_chmap_query_t*)));
    for (unsigned n = first; maps != nullptr && n <= last; n++) {
        auto* map =
            static_cast<snd_pcm_chmap_query_t*>(std::calloc(1, sizeof(snd_pcm_chmap_query_t) + n * sizeof(unsigned)));
        if (map == nullptr) {
            snd_pcm_free_chmaps(maps);
            return nullptr;
        }
        // Those that have positions may come in any order.
        map->type =
            settings_.map.empty() && n > 1 && n <= core::standard_positions ? SND_CHMAP_TYPE_VAR : SND_CHMAP_TYPE_FIXED;
        map->map.channels = n;
        for (unsigned c = 0; c < n; c++)
            map->map.pos[c] = channel_position(c, n);
        maps[n - first] = map;
    }
    return maps;
}

snd_pcm_chmap_t* Pcm::get_chmap() const noexcept
{
    if (io_.channels == 0)
        return nullptr; // not configured
    auto* map =
        static_cast<snd_pcm_chmap_t*>(std::calloc(1, sizeof(snd_pcm_chmap_t) + io_.channels * sizeof(unsigned)));
    if (map == nullptr)
        return nullptr;
    map->channels = io_.channels;
    for (unsigned c = 0; c < io_.channels; c++)
        map->pos[c] = positions_.empty() ? channel_position(c, io_.channels) : positions_[c];
    return map;
}

// Any positions, each at most once, before anything is written. Asks the server for a lane with them.
int Pcm::set_chmap(const snd_pcm_chmap_t& map)
{
    if (io_.state != SND_PCM_STATE_PREPARED || position_of(io_.appl_ptr) != 0)
        return -EBADFD;
    if (!settings_.map.empty() || map.channels != io_.channels)
        return -EINVAL;
    std::vector<std::uint8_t> wanted;
    for (unsigned c = 0; c < map.channels; c++) {
        const unsigned position = map.pos[c]; // with its flags
        const bool named = position > SND_CHMAP_NA;
        if (position > SND_CHMAP_LAST || (named && std::find(wanted.begin(), wanted.end(), position) != wanted.end()))
            return -EINVAL;
        wanted.push_back(static_cast<std::uint8_t>(position));
    }
    core::Routing routing;
    if (!choose_routing(wanted, routing))
        return -EINVAL;
    positions_ = std::move(wanted);
    const int error = configure();
    prepare();
    return error;
}

} // namespace ringmix::plugin
