// SPDX-License-Identifier: LGPL-2.1-or-later
//
// chmaps.cpp: the channel maps that a PCM tells.

#include "plugin/pcm.h"

#include <cstdlib>

namespace ringmix::plugin {

// Where channel `channel` of `channels` is heard. The map names channels of the device: set_constraints() has seen to
// that.
unsigned Pcm::channel_position(unsigned channel, unsigned channels) const noexcept
{
    return settings_.map.empty() ? core::standard_position(channel, channels)
                                 : attachment_->geometry().chmap[settings_.map[channel]];
}

snd_pcm_chmap_query_t** Pcm::query_chmaps() const noexcept
{
    const unsigned first = settings_.map.empty() ? 1 : static_cast<unsigned>(settings_.map.size());
    const unsigned last = settings_.map.empty() ? attachment_->geometry().channels : first;
    auto** maps = static_cast<snd_pcm_chmap_query_t**>(std::calloc(last - first + 2, sizeof(snd_pcm_chmap_query_t*)));
    for (unsigned n = first; maps != nullptr && n <= last; n++) {
        auto* map =
            static_cast<snd_pcm_chmap_query_t*>(std::calloc(1, sizeof(snd_pcm_chmap_query_t) + n * sizeof(unsigned)));
        if (map == nullptr) {
            snd_pcm_free_chmaps(maps);
            return nullptr;
        }
        map->type = SND_CHMAP_TYPE_FIXED;
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
        map->pos[c] = channel_position(c, io_.channels);
    return map;
}

} // namespace ringmix::plugin
