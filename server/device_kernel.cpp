// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernel's PCM as a device: opened with libasound, run for ever, read through its descriptor.

#include "server/device.h"

#include "core/format.h"
#include "core/frames.h"
#include "core/pointer.h"
#include "os/kernel_pcm.h"
#include "os/kernel_pcm_info.h"
#include "os/timer.h"
#include "server/device_kernel_find.h"
#include "server/device_kernel_params.h"
#include "server/device_kernel_timer.h"

#include <algorithm>
#include <alsa/asoundlib.h>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace ringmix::server {

namespace {

struct PcmClose {
    void operator()(snd_pcm_t* pcm) const noexcept { snd_pcm_close(pcm); }
};
using Pcm = std::unique_ptr<snd_pcm_t, PcmClose>;

// What a program gets for a device that cannot be opened.
int told_errno(int error)
{
    switch (error) {
    case EBUSY:
    case EAGAIN:
        return EBUSY;
    case EACCES:
    case EPERM:
        return EACCES;
    default:
        return ENODEV;
    }
}

Pcm open_pcm(const std::string& name, const HardwareAddress& address)
{
    snd_pcm_t* raw = nullptr;
    const int error = snd_pcm_open(&raw, name.c_str(), SND_PCM_STREAM_PLAYBACK, SND_PCM_NONBLOCK);
    if (error < 0)
        throw DeviceError(told_errno(-error), explain_failure(name, address, -error));
    Pcm pcm(raw);
    if (snd_pcm_type(raw) != SND_PCM_TYPE_HW)
        throw std::runtime_error(fmt::format("device {}: it is of type '{}', not the hardware itself", name,
                                             snd_pcm_type_name(snd_pcm_type(raw))));
    return pcm;
}

int descriptor_of(snd_pcm_t* pcm, const std::string& name)
{
    pollfd entry{-1, 0, 0};
    if (snd_pcm_poll_descriptors_count(pcm) != 1 || snd_pcm_poll_descriptors(pcm, &entry, 1) != 1)
        throw std::runtime_error(fmt::format("device {}: it does not have one descriptor of its own", name));
    return entry.fd;
}

// Refuses devices that play only what they are told was written, or read it far ahead. USB devices
// say so too (since Linux 5.16, for their low-latency mode), but their driver does without when the
// stream runs freely: when its stop threshold is above the buffer size.
void require_free_running(int fd, const std::string& name, const std::string& driver)
{
    const os::KernelPcmInfo info = os::kernel_pcm_info(fd);
    const char* why = nullptr;
    if (info.no_rewinds)
        why = "may fetch frames as soon as they are written (NO_REWINDS)";
    else if (info.sync_applptr && driver != "USB-Audio")
        why = "must be told of each frame written (SYNC_APPLPTR)";
    if (why != nullptr)
        throw std::runtime_error(fmt::format("device {} cannot be shared by direct mixing: it {}", name, why));
}

std::uint64_t boundary_of(snd_pcm_t* pcm, const std::string& name)
{
    snd_pcm_sw_params_t* params = nullptr;
    snd_pcm_sw_params_alloca(&params);
    snd_pcm_uframes_t boundary = 0;
    if (snd_pcm_sw_params_current(pcm, params) < 0 || snd_pcm_sw_params_get_boundary(params, &boundary) < 0 ||
        boundary == 0)
        throw std::runtime_error(fmt::format("device {}: it does not tell where its pointer wraps", name));
    return boundary;
}

class KernelDevice final : public Device {
public:
    KernelDevice(const DeviceWishes& wishes, Say say);
    explicit KernelDevice(DeviceHeirloom heirloom);
    ~KernelDevice() override;

    const DeviceShape& shape() const noexcept override { return shape_; }
    std::string name() const override { return name_; }
    std::string identity() const override { return identity_; }
    int shared_descriptor() const noexcept override { return fd_; }
    std::byte* ring() const noexcept override { return kernel_.ring(); }
    void start() override;
    DeviceStanding standing() const noexcept override
    {
        return {position_, started_ns_.load(std::memory_order_relaxed)};
    }
    void go_on(const DeviceStanding& standing) override;
    void wait(std::int64_t deadline_ns) noexcept override;
    DevicePosition update() noexcept override;
    int reset() noexcept override;
    bool write_output() noexcept override { return false; }
    void release_output() noexcept override {}
    OutputState output_state() const override { return {}; }
    void leave_running() noexcept override { leave_running_ = true; }

private:
    std::size_t ring_bytes() const noexcept;
    int restart() noexcept;
    DevicePosition halt(std::uint32_t phase) noexcept;

    // phase_: DevicePosition's states and two more.
    //
    //   not_started --start()--> running <--update()-- restarted
    //                            |  |                      ^
    //                  update(), engine                    |
    //                            |  '---> stopped --reset(), butler
    //                            '------> gone
    static constexpr std::uint32_t not_started = 3;
    static constexpr std::uint32_t restarted = 4;

    Pcm pcm_;              // null: another process has opened it, and
    os::Descriptor taken_; // this is its descriptor
    int fd_ = -1;          // pcm_'s, or that
    DeviceShape shape_{};
    std::string name_, identity_;
    os::KernelPcm kernel_;
    std::unique_ptr<PeriodTimer> timer_;
    bool leave_running_ = false;

    std::atomic<std::uint32_t> phase_{not_started};
    std::atomic<std::int64_t> started_ns_{0}; // control, then butler; before phase_
    std::atomic<std::uint64_t> epoch_{0};     // stopped: the last frame, engine; restarted: the new first one, butler
    DevicePosition position_{0, 0, 0, DevicePosition::running}; // engine
    bool ticked_ = false; // engine: an interrupt has just updated the kernel's position
};

std::string describe(const std::string& name, const snd_pcm_info_t* info)
{
    std::string text = name;
    char* card = nullptr;
    if (snd_card_get_name(snd_pcm_info_get_card(info), &card) == 0) {
        text += fmt::format(" ({}, {})", card, snd_pcm_info_get_name(info));
        std::free(card);
    }
    return text;
}

KernelDevice::KernelDevice(const DeviceWishes& wishes, Say say)
    : pcm_(open_pcm(wishes.device, find_hardware(wishes.device))), fd_(descriptor_of(pcm_.get(), wishes.device))
{
    snd_pcm_info_t* info = nullptr;
    snd_pcm_info_alloca(&info);
    if (const int error = snd_pcm_info(pcm_.get(), info); error < 0)
        throw std::system_error(-error, std::generic_category(), "cannot ask device " + wishes.device);
    const int card = snd_pcm_info_get_card(info);
    name_ = describe(wishes.device, info);
    const auto device = static_cast<int>(snd_pcm_info_get_device(info));
    const auto subdevice = static_cast<int>(snd_pcm_info_get_subdevice(info));
    const CardInfo about = card_info(card);
    identity_ = hardware_identity(about.id, card, device, subdevice);
    require_free_running(fd_, wishes.device, about.driver);

    shape_ = settle_hw_params(pcm_.get(), wishes, say);
    settle_sw_params(pcm_.get(), wishes);
    shape_.boundary = boundary_of(pcm_.get(), wishes.device);
    if (const int error = snd_pcm_prepare(pcm_.get()); error < 0)
        throw std::system_error(-error, std::generic_category(), "cannot prepare device " + wishes.device);
    kernel_ = os::KernelPcm(fd_, ring_bytes());

    timer_ = std::make_unique<PeriodTimer>(card, device, subdevice);
    if (!timer_->exists() && say != nullptr)
        say(fmt::format("{}: it has no period timer: waking by the clock", wishes.device));
}

KernelDevice::KernelDevice(DeviceHeirloom heirloom)
    : taken_(std::move(heirloom.descriptor)), fd_(taken_.get()), shape_(heirloom.shape),
      name_(std::move(heirloom.name)), identity_(std::move(heirloom.identity)), leave_running_(true)
{
    kernel_ = os::KernelPcm(fd_, ring_bytes());
    const os::KernelPcm::Address address = kernel_.address();
    timer_ = std::make_unique<PeriodTimer>(address.card, address.device, address.subdevice);
}

void KernelDevice::go_on(const DeviceStanding& standing)
{
    leave_running_ = false;
    position_ = standing.position;
    started_ns_.store(standing.start_ns, std::memory_order_relaxed);
    epoch_.store(position_.frame, std::memory_order_relaxed);
    phase_.store(position_.state, std::memory_order_release);
}

KernelDevice::~KernelDevice()
{
    if (taken_ && !leave_running_)
        kernel_.drop(); // as libasound does
    if (!leave_running_ || !pcm_)
        return;
    // libasound's close would stop the stream. Its memory is kept until the process ends, which
    // closes this process' descriptor and no other.
    static std::vector<snd_pcm_t*> left;
    left.push_back(pcm_.release());
}

std::size_t KernelDevice::ring_bytes() const noexcept
{
    return std::size_t{shape_.ring_frames} * shape_.channels * core::sample_bytes(shape_.format);
}

void KernelDevice::start()
{
    if (const int error = restart(); error < 0)
        throw std::system_error(-error, std::generic_category(), "cannot start device " + name_);
    phase_.store(DevicePosition::running, std::memory_order_release);
}

void KernelDevice::wait(std::int64_t deadline_ns) noexcept
{
    if (!timer_->exists() && phase_.load(std::memory_order_relaxed) == DevicePosition::running) {
        const std::int64_t period_ns = std::int64_t{shape_.period_frames} * 1'000'000'000 / shape_.rate;
        deadline_ns = std::min(deadline_ns, os::monotonic_ns() + period_ns);
    }
    ticked_ = timer_->wait(deadline_ns);
}

DevicePosition KernelDevice::halt(std::uint32_t phase) noexcept
{
    position_.state = phase;
    epoch_.store(position_.frame, std::memory_order_relaxed);
    phase_.store(phase, std::memory_order_release);
    return position_;
}

DevicePosition KernelDevice::update() noexcept
{
    const std::uint32_t phase = phase_.load(std::memory_order_acquire);
    switch (phase) {
    case not_started:
        position_.time_ns = os::monotonic_ns();
        return position_;
    case restarted:
        position_ = {epoch_.load(std::memory_order_relaxed), 0, 0, DevicePosition::running};
        phase_.store(DevicePosition::running, std::memory_order_relaxed);
        ticked_ = false;
        break;
    case DevicePosition::running:
        break;
    default:
        position_.state = phase;
        return position_;
    }
    const os::KernelPcm::Position now = ticked_ ? kernel_.last_position() : kernel_.fresh_position();
    ticked_ = false;
    if (now.gone)
        return halt(DevicePosition::gone);
    // The kernel stamps the pointer when it moves: until then the stamp is from before the start.
    const std::int64_t time_ns = std::max(now.time_ns, started_ns_.load(std::memory_order_relaxed));
    core::SyncSnapshot last;
    last.frame = position_.frame;
    last.hw_ptr = position_.hw_ptr;
    last.time_ns = std::max(position_.time_ns, started_ns_.load(std::memory_order_relaxed));
    last.frame_ns = core::frame_duration(shape_.rate);
    const core::PointerStep step = core::frame_after(last, now.hw_ptr, time_ns, shape_.boundary);
    if (!now.running || step.prepared_anew) // by somebody else
        return halt(DevicePosition::stopped);
    position_ = {step.frame, now.hw_ptr, time_ns, DevicePosition::running};
    return position_;
}

// Whatever state the stream is in: silent, at hw_ptr 0, running. Returns 0 or -errno.
int KernelDevice::restart() noexcept
{
    int state = kernel_.state();
    if (state == SND_PCM_STATE_SUSPENDED) {
        // Devices that cannot resume (ENOSYS) are prepared anew; so are the others, to be in step,
        // after a drop for the sake of drivers that start resumed streams.
        constexpr int tries = 100;
        for (int i = 0; i < tries && kernel_.resume() == -EAGAIN; i++)
            ::poll(nullptr, 0, 10);
        state = kernel_.state();
    }
    if (state == SND_PCM_STATE_DISCONNECTED)
        return -ENODEV;
    if (state != SND_PCM_STATE_PREPARED)
        kernel_.drop();
    if (const int error = kernel_.prepare(); error < 0)
        return error;
    std::memset(kernel_.ring(), 0, ring_bytes());
    const int error = kernel_.start();
    started_ns_.store(os::monotonic_ns(), std::memory_order_relaxed);
    return error;
}

int KernelDevice::reset() noexcept
{
    if (phase_.load(std::memory_order_acquire) != DevicePosition::stopped)
        return 0;
    if (const int error = restart(); error < 0) {
        if (error == -ENODEV)
            phase_.store(DevicePosition::gone, std::memory_order_release);
        return error;
    }
    const std::uint64_t last = epoch_.load(std::memory_order_relaxed);
    epoch_.store(core::next_turn(0, last, shape_.ring_frames), std::memory_order_relaxed);
    phase_.store(restarted, std::memory_order_release);
    return 0;
}

} // namespace

std::unique_ptr<Device> take_over_kernel_device(DeviceHeirloom heirloom)
{
    return std::make_unique<KernelDevice>(std::move(heirloom));
}

std::unique_ptr<Device> open_kernel_device(const DeviceWishes& wishes, Say say)
{
    return std::make_unique<KernelDevice>(wishes, say);
}

} // namespace ringmix::server
