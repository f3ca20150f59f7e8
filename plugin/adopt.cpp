// SPDX-License-Identifier: LGPL-2.1-or-later
//
// adopt.cpp: a program that opens its PCM and becomes a daemon afterwards goes on in a child of the process
// that the server knows. When that one has ended, the child takes its place with a slot of its own.

#include "os/process.h"
#include "plugin/guarded.h"
#include "plugin/pcm.h"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace ringmix::plugin {

namespace {

constexpr int end_of_opener_ms = 250; // daemon(): it ends about now

bool has_ended(pid_t pid)
{
    const os::Descriptor life = os::watch_process(pid);
    pollfd end{life.get(), POLLIN, 0};
    return !life || ::poll(&end, 1, end_of_opener_ms) > 0;
}

bool same_shape(const abi::Geometry& a, const abi::Geometry& b) noexcept
{
    return a.rate == b.rate && a.channels == b.channels;
}

} // namespace

// In a child of the process that opened it: blocks, also in the calls that never do otherwise. What was
// queued has gone with the opener: a stream that played is in an underrun now, one that was prepared begins
// with silence. Asked again only after it has become somebody's again.
bool Pcm::adopt() noexcept
{
    const auto take_over = [this] {
        if (!has_ended(opener_)) {
            SNDERR("ringmix: this process is a child of process %d, which has opened the PCM and still has it; open "
                   "it after fork()",
                   static_cast<int>(opener_));
            return -ENODEV;
        }
        auto attachment = std::make_unique<client::Attachment>(settings_.address);
        if (!same_shape(attachment->geometry(), attachment_->geometry()))
            throw client::ClientError(ENODEV, "the server plays in another format now");
        auto track = std::make_unique<client::Track>(*attachment);
        track_ = std::move(track); // before what it stands on
        attachment_ = std::move(attachment);
        opener_ = ::getpid();
        if (io_.state != SND_PCM_STATE_OPEN && io_.buffer_size != 0) {
            if (const int error = configure(); error < 0)
                return error;
            track_->prepare();
        }
        if (io_.state == SND_PCM_STATE_RUNNING || io_.state == SND_PCM_STATE_DRAINING ||
            io_.state == SND_PCM_STATE_PAUSED)
            io_.state = SND_PCM_STATE_XRUN;
        return 0;
    };
    return guarded("open after fork()", take_over) == 0;
}

} // namespace ringmix::plugin
