// SPDX-License-Identifier: LGPL-2.1-or-later
//
// device.h: a playback device that runs for ever, as the engine sees it.
//
// A device owns a ring of frames that it plays round and round, silencing what it has played.
// Two kinds: the kernel's PCM (device_kernel.cpp) and one in software (device_virtual.cpp).
// Frames are numbered from 0 and never wrap; a frame's place in the ring is its number modulo
// shape().ring_frames, also across a reset of the device.

#pragma once

#include "os/descriptor.h"
#include "ringmix/abi.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace ringmix::server {

// What the user asks for; 0: no wish.
struct DeviceWishes {
    std::string device = "auto"; // hw:..., virtual, auto
    std::string output;          // virtual: WAV file, "-": raw to stdout, empty: none
    std::uint32_t format = 0;    // abi::format_*
    std::uint32_t rate = 0;
    std::uint32_t channels = 0;
    std::uint32_t period_frames = 0;
    std::uint32_t buffer_frames = 0;
};

struct DeviceShape {
    std::uint32_t kind; // abi::device_*
    std::uint32_t format;
    std::uint32_t channels;
    std::uint32_t rate;
    std::uint32_t period_frames;
    std::uint32_t ring_frames;
    std::uint32_t latency_frames;                      // beyond the ring, 0 if not known
    std::uint32_t fetch_frames;                        // how far ahead of its pointer the device may already have read
    std::uint64_t boundary;                            // hw_ptr wraps here; 0: never
    std::array<std::uint8_t, abi::max_channels> chmap; // SND_CHMAP_* of each channel
};

struct DevicePosition {
    std::uint64_t frame;  // absolute: all frames before it are played and silenced
    std::uint64_t hw_ptr; // the device's own pointer at that frame
    std::int64_t time_ns; // CLOCK_MONOTONIC at which the device was at `frame`
    std::uint32_t state;  // one of:
    static constexpr std::uint32_t running = abi::device_running;
    static constexpr std::uint32_t stopped = abi::device_stopped; // the butler should call reset()
    static constexpr std::uint32_t gone = abi::device_gone;
};

struct OutputState {
    std::string text;              // what --output does, in words; empty without --output
    std::uint64_t frames = 0;      // written
    std::uint64_t lost_frames = 0; // that it could not take
};

// Where a device stands, for the one in another process that goes on with it.
struct DeviceStanding {
    DevicePosition position;
    std::int64_t start_ns; // virtual: when frame 0 was played, by its clock
};

class Device {
public:
    virtual ~Device() = default;
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    virtual const DeviceShape& shape() const noexcept = 0;
    virtual std::string name() const = 0;     // for people: "hw:0,0 (HDA Intel, ALC887 Analog)", "virtual"
    virtual std::string identity() const = 0; // protocol::Welcome::device

    // The descriptor that clients map (abi.h) and this process' own view of the ring.
    virtual int shared_descriptor() const noexcept = 0;
    virtual std::byte* ring() const noexcept = 0;

    // Control thread: starts it; frame 0 is played now. Throws std::system_error.
    virtual void start() = 0;

    // The engine does not run: where it stands; and, in the process that takes it over and instead of start(), where it
    // stood.
    virtual DeviceStanding standing() const noexcept = 0;
    virtual void go_on(const DeviceStanding& standing) = 0;

    // Engine thread, realtime: no lock, allocation, log or exception.
    // Waits for the device's next period or until `deadline_ns` (CLOCK_MONOTONIC), whichever is first.
    virtual void wait(std::int64_t deadline_ns) noexcept = 0;
    // Looks where the device is; the virtual one plays up to there.
    virtual DevicePosition update() noexcept = 0;

    // Butler thread: sets a stopped device going again. Its frames go on at a multiple of the ring
    // that is not before any frame that update() reported. Returns 0 or -errno; does nothing (0)
    // unless the last update() reported `stopped`.
    virtual int reset() noexcept = 0;
    // Butler thread: writes out what has been played (with --output); to be called several times a
    // second. Returns true if there is more that can be written at once.
    virtual bool write_output() noexcept = 0;
    // The butler has stopped: all is written out that was played, and the file is left as it is, for somebody else
    // to append to.
    virtual void release_output() noexcept = 0;
    // Control thread: what --output has done so far.
    virtual OutputState output_state() const = 0;

    // Control thread: clients still play. The stream shall go on for those who hold its descriptor
    // when this object is destroyed; otherwise destroying it stops the device and frees it.
    virtual void leave_running() noexcept = 0;
};

// Why a device could not be opened, with a positive errno for the client that asked.
struct DeviceError : std::runtime_error {
    DeviceError(int error_number, const std::string& text) : std::runtime_error(text), error(error_number) {}
    int error;
};

// Opens what `wishes` asks for, as near as the device can; `say` is called with one line for each
// wish that could not be met exactly. Throws std::runtime_error with the reason and what to do
// (busy: who holds it; no mmap; SYNC_APPLPTR; NO_REWINDS; no such device; ...).
using Say = void (*)(const std::string& line);
std::unique_ptr<Device> open_device(const DeviceWishes& wishes, Say say);
std::unique_ptr<Device> open_kernel_device(const DeviceWishes& wishes, Say say); // device = an ALSA hardware PCM name
std::unique_ptr<Device> open_virtual_device(const DeviceWishes& wishes, Say say);

// A device that another process has opened and started: its descriptor, as clients have it, and what was told of it.
// Until go_on() it is left alone, also when it is destroyed. Throws std::runtime_error.
struct DeviceHeirloom {
    os::Descriptor descriptor;
    DeviceShape shape;
    std::string name, identity;
    std::string output; // virtual: the WAV file to append to
};
std::unique_ptr<Device> take_over_device(DeviceHeirloom heirloom);
std::unique_ptr<Device> take_over_kernel_device(DeviceHeirloom heirloom);
std::unique_ptr<Device> take_over_virtual_device(DeviceHeirloom heirloom);

// The errno that tells a client of `error`; ENODEV if that has none.
int error_number(const std::exception& error) noexcept;

} // namespace ringmix::server
