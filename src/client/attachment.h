// SPDX-License-Identifier: LGPL-2.1-or-later
//
// attachment.h: a player's hold on an instance: its connection, its slot, and everything mapped.
//
// Constructed at snd_pcm_open, destroyed at close; set-up paths, may block, throws ClientError.

#pragma once

#include "client/connection.h"
#include "client/timeline.h"
#include "core/validate.h"
#include "os/kernel_pcm.h"
#include "os/memory.h"

#include <memory>

namespace ringmix::client {

class Attachment {
public:
    explicit Attachment(const Address& address);
    ~Attachment();
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    Connection& connection() noexcept { return connection_; }
    const core::BoardView& view() const noexcept { return view_; }
    const abi::Geometry& geometry() const noexcept { return view_.geometry; }
    const Timeline& timeline() const noexcept { return *timeline_; }
    std::uint32_t slot_number() const noexcept { return slot_; }
    abi::Slot& slot() const noexcept { return view_.board->slots[slot_]; }
    // False in a child after fork(): the slot is its parent's, nothing here may be used.
    bool ours() const noexcept { return *reinterpret_cast<const volatile char*>(fork_mark_.data()) != 0; }

private:
    void map_board();
    void map_device();

    Connection connection_;
    std::uint32_t slot_;
    os::Mapping board_, arena_, ring_, fork_mark_;
    os::Descriptor device_;
    os::KernelPcm pcm_;
    core::BoardView view_;
    std::unique_ptr<Timeline> timeline_;
};

} // namespace ringmix::client
