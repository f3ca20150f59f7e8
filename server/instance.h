// SPDX-License-Identifier: LGPL-2.1-or-later
//
// instance.h: one open device with everything that belongs to it: the board and the arena that
// clients map, the engine that runs on it and the butler that serves the engine.
// Lives from the opening of the device to its closing; control thread only.

#pragma once

#include "core/validate.h"
#include "os/memory.h"
#include "os/timer.h"
#include "ringmix/protocol.h"
#include "server/arena.h"
#include "server/butler.h"
#include "server/device.h"
#include "server/engine.h"
#include "server/options.h"

#include <array>
#include <memory>
#include <string>

namespace ringmix::server {

class Instance {
public:
    // Lays out the shared memory for `device`. Nothing runs yet: start() does that, or a simulator, by
    // device().start() and then engine().cycle() and butler().serve(). `control` is rung when the engine has
    // something for the control thread. Throws std::runtime_error (std::system_error included) with the reason.
    Instance(std::unique_ptr<Device> device, const Options& options, Say say, ClientNames& names, Doorbell& control);
    // One that another process has laid out and runs: its memory, and a device that has been taken over. Does not touch
    // the board; go_on() comes when that process has stopped, instead of start().
    struct Estate {
        std::unique_ptr<Device> device;
        abi::Geometry geometry;
        os::Descriptor board, arena, silence;
        std::uint64_t board_bytes;
    };
    Instance(Estate estate, const std::string& output, ClientNames& names, Doorbell& control);
    void go_on(const DeviceStanding& device, const Engine::Knowledge& engine); // throws as the constructors do
    ~Instance();
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    Device& device() noexcept { return *device_; }
    Engine& engine() noexcept { return *engine_; }
    Butler& butler() noexcept { return *butler_; }
    // Starts the device and the threads. Throws as the constructor does.
    void start();
    Arena& arena() noexcept { return arena_; }
    const core::BoardView& view() const noexcept { return view_; }
    std::size_t board_bytes() const noexcept { return board_memory_.size(); }
    // What a player is given: see protocol.h.
    std::array<int, protocol::welcome_descriptors> descriptors() const noexcept;
    abi::Slot& slot(std::uint32_t number) noexcept { return view_.board->slots[number]; }

private:
    void lay_out_board(const Options& options, Say say);
    void staff(const std::string& output, bool append, ClientNames& names, Doorbell& control);

    std::unique_ptr<Device> device_;
    os::Descriptor board_fd_;
    os::Mapping board_memory_, arena_memory_;
    core::BoardView view_;
    Arena arena_;
    os::Timer silence_; // expires when the engine does not push it ahead any more
    std::unique_ptr<Butler> butler_;
    std::unique_ptr<Engine> engine_;
};

} // namespace ringmix::server
