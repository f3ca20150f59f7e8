// SPDX-License-Identifier: LGPL-2.1-or-later
//
// kernel_pcm_info.h: what the kernel says about a PCM and libasound does not pass on. Set-up only.

#pragma once

namespace ringmix::os {

struct KernelPcmInfo {
    bool known = false; // the kernel answered
    bool sync_applptr = false;
    bool no_rewinds = false;
};

// Asks the PCM behind `fd`, in any state; changes nothing.
KernelPcmInfo kernel_pcm_info(int fd) noexcept;

} // namespace ringmix::os
