// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/device_virtual.h"

#include "core/channel_map.h"
#include "core/format.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace ringmix::server {

namespace {

// `wish` (0: `usual`) as far as the limits allow; a wish that they do not is said.
std::uint32_t within(const char* what, std::uint32_t wish, std::uint32_t usual, std::uint32_t least, std::uint32_t most,
                     Say say)
{
    const std::uint32_t value = std::clamp(wish == 0 ? usual : wish, least, most);
    if (wish != 0 && value != wish && say != nullptr)
        say(fmt::format("virtual: {} {} is not possible ({} ... {}): using {}", what, wish, least, most, value));
    return value;
}

std::uint32_t choose_format(std::uint32_t wish, Say say)
{
    if (wish == 0)
        return abi::format_s16;
    if (core::device_format(wish))
        return wish;
    if (say != nullptr)
        say(fmt::format("virtual: format {} is not possible: using {}", core::format_name(wish),
                        core::format_name(abi::format_s16)));
    return abi::format_s16;
}

DeviceShape choose_shape(const DeviceWishes& wishes, Say say)
{
    DeviceShape shape{};
    shape.kind = abi::device_virtual;
    shape.format = choose_format(wishes.format, say);
    shape.channels = within("channels", wishes.channels, 2, 1, abi::max_channels, say);
    shape.rate = within("rate", wishes.rate, 48000, 4000, 384000, say);
    shape.period_frames = within("period", wishes.period_frames, 512, 32, abi::max_ring / 4, say);
    // Sharing needs room for four periods and 40 ms.
    const std::uint32_t least = std::max(4 * shape.period_frames, (shape.rate + 24) / 25);
    shape.ring_frames = within("buffer", wishes.buffer_frames, 16384, least, abi::max_ring, say);
    for (std::uint32_t c = 0; c < shape.channels; c++)
        shape.chmap[c] = core::standard_position(c, shape.channels);
    return shape;
}
} // namespace

VirtualDevice::VirtualDevice(const DeviceWishes& wishes, Say say, Clock clock)
    : clock_(clock), shape_(choose_shape(wishes, say)),
      frame_bytes_(shape_.channels * core::sample_bytes(shape_.format))
{
    const std::size_t bytes = std::size_t{shape_.ring_frames} * frame_bytes_;
    memory_ = os::make_sealed_memory("ringmix-device", bytes);
    ring_ = os::Mapping::shared(memory_.get(), bytes, 0, true, "the virtual device's ring");
    std::memset(ring_.data(), core::silence_byte(shape_.format), bytes); // and no page fault later
    if (!wishes.output.empty())
        recorder_ = make_recorder(wishes.output, shape_);
}

VirtualDevice::VirtualDevice(DeviceHeirloom heirloom)
    : clock_(os::monotonic_ns), shape_(heirloom.shape),
      frame_bytes_(shape_.channels * core::sample_bytes(shape_.format)), memory_(std::move(heirloom.descriptor)),
      continued_output_(std::move(heirloom.output))
{
    const std::size_t bytes = std::size_t{shape_.ring_frames} * frame_bytes_;
    os::require_sealed_memory(memory_.get(), bytes, "device ring");
    ring_ = os::Mapping::shared(memory_.get(), bytes, 0, true, "the virtual device's ring");
}

DeviceStanding VirtualDevice::standing() const noexcept
{
    const std::int64_t start = start_ns_.load(std::memory_order_acquire);
    return {{played_, played_, start + ns_of_frames(played_, shape_.rate), DevicePosition::running}, start};
}

void VirtualDevice::go_on(const DeviceStanding& standing)
{
    if (!continued_output_.empty())
        recorder_ = make_recorder(continued_output_, shape_, true);
    played_ = standing.position.frame;
    start_ns_.store(standing.start_ns, std::memory_order_release);
}

void VirtualDevice::start() { start_ns_.store(clock_(), std::memory_order_release); }

void VirtualDevice::wait(std::int64_t deadline_ns) noexcept
{
    const std::int64_t start = start_ns_.load(std::memory_order_acquire);
    if (start >= 0) {
        const std::uint64_t next = (played_ / shape_.period_frames + 1) * shape_.period_frames;
        deadline_ns = std::min(deadline_ns, start + ns_of_frames(next, shape_.rate));
    }
    timer_.set(deadline_ns);
    timer_.wait();
}

// Plays `frames` frames (a ring of them at most): out, then silence in their place.
void VirtualDevice::play(std::uint64_t first, std::uint64_t frames) noexcept
{
    while (frames > 0) {
        const std::uint64_t cell = first % shape_.ring_frames;
        const std::uint64_t run = std::min(frames, shape_.ring_frames - cell);
        std::byte* const at = ring_.data() + cell * frame_bytes_;
        if (recorder_)
            recorder_->push(at, run);
        std::memset(at, core::silence_byte(shape_.format), static_cast<std::size_t>(run * frame_bytes_));
        first += run;
        frames -= run;
    }
}

DevicePosition VirtualDevice::update() noexcept
{
    const std::int64_t now = clock_();
    const std::int64_t start = start_ns_.load(std::memory_order_acquire);
    if (start < 0)
        return {0, 0, now, DevicePosition::running};
    const std::uint64_t target = std::max(played_, frames_after(std::max<std::int64_t>(now - start, 0), shape_.rate));
    // What lies in the ring is played once, however late this is.
    const std::uint64_t from_ring = std::min<std::uint64_t>(target - played_, shape_.ring_frames);
    play(played_, from_ring);
    if (recorder_ && target - played_ > from_ring)
        recorder_->push_silence(target - played_ - from_ring);
    played_ = target;
    return {target, target, start + ns_of_frames(target, shape_.rate), DevicePosition::running};
}

std::unique_ptr<Device> take_over_virtual_device(DeviceHeirloom heirloom)
{
    return std::make_unique<VirtualDevice>(std::move(heirloom));
}

std::unique_ptr<Device> open_virtual_device(const DeviceWishes& wishes, Say say)
{
    return std::make_unique<VirtualDevice>(wishes, say);
}

} // namespace ringmix::server
