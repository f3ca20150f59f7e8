// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/kernel_pcm.h"

#include "os/error.h"

#include <atomic>
#include <cerrno>
#include <sound/asound.h>
#include <sys/ioctl.h>
#include <system_error>

namespace ringmix::os {
namespace {

using Status = struct snd_pcm_mmap_status;
using SyncPtr = struct snd_pcm_sync_ptr;
using Time = decltype(Status::tstamp);

constexpr int max_reads = 16;

// Empty where status pages cannot be mapped: most architectures other than x86. And in 32-bit programs, where
// the page has the pointer modulo 2^32, which is no boundary of the stream (core/pointer.h).
Mapping map_status(int fd) noexcept
{
    if (sizeof(snd_pcm_uframes_t) == 4)
        return {};
    constexpr auto native = static_cast<std::uint32_t>(SNDRV_PCM_MMAP_OFFSET_STATUS);
    constexpr auto time64 = static_cast<std::uint32_t>(SNDRV_PCM_MMAP_OFFSET_STATUS_NEW);
    // Once a 32-bit process has used this descriptor the kernel refuses the old offset to everybody.
    // Behind the new one lies the same page, and 64-bit processes have the same struct for both.
    for (const std::uint32_t offset : {native, time64}) {
        try {
            return Mapping::shared(fd, sizeof(Status), offset, false, "the PCM's status page");
        } catch (const std::exception&) {
        }
    }
    return {};
}

// The stream's status through the kernel: consistent, for it takes the stream's lock.
// `flags` are added to APPL and AVAIL_MIN, without which it would write the pointers.
bool sync_status(int fd, unsigned flags, Status& status) noexcept
{
    SyncPtr sync{};
    sync.flags = SNDRV_PCM_SYNC_PTR_APPL | SNDRV_PCM_SYNC_PTR_AVAIL_MIN | flags;
    if (::ioctl(fd, SNDRV_PCM_IOCTL_SYNC_PTR, &sync) < 0)
        return false;
    status = sync.s.status;
    return true;
}

std::int64_t nanoseconds(const Time& time) noexcept
{
    return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_nsec};
}

KernelPcm::Position to_position(snd_pcm_state_t state, snd_pcm_uframes_t hw_ptr, std::int64_t time_ns) noexcept
{
    return {hw_ptr, time_ns, state == SNDRV_PCM_STATE_RUNNING, state == SNDRV_PCM_STATE_DISCONNECTED};
}

KernelPcm::Position read_page(const volatile Status& page) noexcept
{
    const auto state = page.state;
    const auto hw_ptr = page.hw_ptr;
    std::atomic_thread_fence(std::memory_order_acquire);
    Time time;
    time.tv_sec = page.tstamp.tv_sec;
    time.tv_nsec = page.tstamp.tv_nsec;
    std::atomic_thread_fence(std::memory_order_acquire);
    return to_position(state, hw_ptr, nanoseconds(time));
}

// The page has no sequence lock, and the kernel stores hw_ptr before its time: a value that repeats
// is taken for a whole one. Readers filter times anyway, so that a rare old time does no harm.
KernelPcm::Position settled_page(const volatile Status& page) noexcept
{
    auto position = read_page(page);
    for (int reads = 1; reads < max_reads; ++reads) {
        const auto again = read_page(page);
        const bool same = again.hw_ptr == position.hw_ptr && again.time_ns == position.time_ns &&
                          again.running == position.running && again.gone == position.gone;
        position = again;
        if (same)
            break;
    }
    return position;
}

} // namespace

KernelPcm::KernelPcm(int pcm_fd, std::size_t ring_bytes) : fd_(pcm_fd)
{
    // Other files could be mapped at these offsets as well, and would kill the reader with SIGBUS.
    int version = 0;
    if (::ioctl(fd_, SNDRV_PCM_IOCTL_PVERSION, &version) < 0)
        fail(errno, "ask the descriptor for its PCM version");
    ring_ = Mapping::shared(fd_, ring_bytes, SNDRV_PCM_MMAP_OFFSET_DATA, true, "the PCM's ring");
    status_ = map_status(fd_);
    Status status;
    if (!status_ && !sync_status(fd_, 0, status))
        fail(errno, "ask the PCM for its position (SYNC_PTR)");
}

KernelPcm::Position KernelPcm::last_position() const noexcept
{
    if (status_)
        return settled_page(*reinterpret_cast<const volatile Status*>(status_.data()));
    Status status;
    if (sync_status(fd_, 0, status))
        return to_position(status.state, status.hw_ptr, nanoseconds(status.tstamp));
    // Without HWSYNC this is refused only when there is no device behind the descriptor any more.
    return {0, 0, false, true};
}

namespace {
int command(int fd, unsigned long request) noexcept { return ::ioctl(fd, request) < 0 ? -errno : 0; }
} // namespace

int KernelPcm::prepare() noexcept { return command(fd_, SNDRV_PCM_IOCTL_PREPARE); }
int KernelPcm::start() noexcept { return command(fd_, SNDRV_PCM_IOCTL_START); }
int KernelPcm::drop() noexcept { return command(fd_, SNDRV_PCM_IOCTL_DROP); }
int KernelPcm::resume() noexcept { return command(fd_, SNDRV_PCM_IOCTL_RESUME); }

int KernelPcm::state() const noexcept
{
    snd_pcm_status status{};
    if (::ioctl(fd_, SNDRV_PCM_IOCTL_STATUS, &status) < 0)
        return errno == ENODEV ? SNDRV_PCM_STATE_DISCONNECTED : SNDRV_PCM_STATE_OPEN;
    return status.state;
}

KernelPcm::Address KernelPcm::address() const
{
    snd_pcm_info info{};
    if (::ioctl(fd_, SNDRV_PCM_IOCTL_INFO, &info) < 0)
        fail(errno, "ask the descriptor which PCM it is");
    return {info.card, static_cast<int>(info.device), static_cast<int>(info.subdevice)};
}

KernelPcm::Position KernelPcm::fresh_position() const noexcept
{
    Status status;
    if (sync_status(fd_, SNDRV_PCM_SYNC_PTR_HWSYNC, status))
        return to_position(status.state, status.hw_ptr, nanoseconds(status.tstamp));
    // Refused for a stopped stream too (EPIPE, ESTRPIPE, EBADFD): its state tells which it is.
    const bool no_device = errno == ENODEV;
    Position position = last_position();
    position.gone = position.gone || no_device;
    position.running = position.running && !position.gone;
    return position;
}

} // namespace ringmix::os
