// SPDX-License-Identifier: LGPL-2.1-or-later
//
// device_virtual.h: a playback device in software. It runs on CLOCK_MONOTONIC at exactly its nominal
// rate, for machines without a sound card, tests and offline work. Threads: see device.h.

#pragma once

#include "os/memory.h"
#include "os/timer.h"
#include "server/device.h"
#include "server/recorder.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace ringmix::server {

// Frames that a clock of `rate` Hz has completed after `ns` nanoseconds: floor(ns * rate / 10^9),
// exact for any ns >= 0 and rate < 2^33.
constexpr std::uint64_t frames_after(std::int64_t ns, std::uint32_t rate) noexcept
{
    constexpr std::uint64_t second = 1'000'000'000;
    const auto t = static_cast<std::uint64_t>(ns);
    return t / second * rate + t % second * rate / second;
}

// The first nanosecond at which `frames` frames are complete: the inverse.
constexpr std::int64_t ns_of_frames(std::uint64_t frames, std::uint32_t rate) noexcept
{
    constexpr std::uint64_t second = 1'000'000'000;
    return static_cast<std::int64_t>(frames / rate * second + (frames % rate * second + rate - 1) / rate);
}

class VirtualDevice final : public Device {
public:
    using Clock = std::int64_t (*)() noexcept; // ns, never backwards

    VirtualDevice(const DeviceWishes& wishes, Say say, Clock clock = os::monotonic_ns);
    explicit VirtualDevice(DeviceHeirloom heirloom);

    const DeviceShape& shape() const noexcept override { return shape_; }
    std::string name() const override { return "virtual"; }
    std::string identity() const override { return "virtual"; }
    int shared_descriptor() const noexcept override { return memory_.get(); }
    std::byte* ring() const noexcept override { return ring_.data(); }
    void start() override;
    DeviceStanding standing() const noexcept override;
    void go_on(const DeviceStanding& standing) override;
    void wait(std::int64_t deadline_ns) noexcept override;
    DevicePosition update() noexcept override;
    int reset() noexcept override { return 0; }
    bool write_output() noexcept override { return recorder_ && recorder_->write(); }
    void release_output() noexcept override { recorder_.reset(); }
    OutputState output_state() const override { return recorder_ ? recorder_->state() : OutputState{}; }
    // Nothing runs it when the server is gone; the memory stays with those who hold it.
    void leave_running() noexcept override {}

private:
    void play(std::uint64_t first, std::uint64_t frames) noexcept;

    const Clock clock_;
    const DeviceShape shape_;
    const std::uint32_t frame_bytes_;
    os::Descriptor memory_;
    std::string continued_output_; // with go_on()
    os::Mapping ring_;
    std::unique_ptr<Recorder> recorder_;
    os::Timer timer_;
    std::atomic<std::int64_t> start_ns_{-1}; // when frame 0 was played; -1: not yet. Control
    std::uint64_t played_ = 0;               // engine
};

} // namespace ringmix::server
