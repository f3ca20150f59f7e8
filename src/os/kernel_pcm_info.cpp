// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/kernel_pcm_info.h"

#include <cstdint>
#include <cstring>
#include <sound/asound.h>
#include <sys/ioctl.h>

// Newer than the headers of some distributions; values of the kernel's binary interface.
#ifndef SNDRV_PCM_INFO_SYNC_APPLPTR
#define SNDRV_PCM_INFO_SYNC_APPLPTR 0x00000020
#endif
#ifndef SNDRV_PCM_INFO_NO_REWINDS
#define SNDRV_PCM_INFO_NO_REWINDS 0x20000000
#endif

namespace ringmix::os {

KernelPcmInfo kernel_pcm_info(int fd) noexcept
{
    // "Anything goes": what comes back is what the device can do.
    snd_pcm_hw_params params;
    std::memset(&params, 0, sizeof params);
    std::memset(params.masks, 0xff, sizeof params.masks);
    for (auto& interval : params.intervals)
        interval.max = UINT32_MAX;
    params.rmask = UINT32_MAX;
    if (::ioctl(fd, SNDRV_PCM_IOCTL_HW_REFINE, &params) < 0)
        return {};
    return {true, (params.info & SNDRV_PCM_INFO_SYNC_APPLPTR) != 0, (params.info & SNDRV_PCM_INFO_NO_REWINDS) != 0};
}

} // namespace ringmix::os
