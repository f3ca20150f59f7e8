// SPDX-License-Identifier: LGPL-2.1-or-later
//
// attachment.h: a player's hold on an instance: its connection, its slot, and everything mapped.
//
// Constructed at snd_pcm_open, destroyed at close; set-up paths, may block, throws ClientError. The slot is
// this process' until the connection is closed, which is the last thing that happens: the server gives it to
// nobody else before.

#pragma once

#include "client/connection.h"
#include "client/keeper.h"
#include "client/seat.h"
#include "client/timeline.h"
#include "core/validate.h"
#include "os/kernel_pcm.h"
#include "os/memory.h"

#include <optional>

namespace ringmix::client {

class Attachment final : public Seat, private Surroundings {
public:
    explicit Attachment(const Address& address);
    ~Attachment() override;

    Connection& connection() noexcept { return connection_; }
    const core::BoardView& view() const noexcept override { return view_; }
    const Timeline& timeline() const noexcept override { return *timeline_; }
    std::uint32_t slot_number() const noexcept override { return slot_; }
    // False in a child after fork(), whose slot is its parent's: nothing here may be used; and once the server
    // has given no usable answer.
    bool held() const noexcept override { return ours() && !connection_.failed(); }
    // False only in a child after fork().
    bool ours() const noexcept { return *reinterpret_cast<const volatile char*>(fork_mark_.data()) != 0; }
    protocol::Configured claim_lane(const protocol::Configure& wish) override;
    void give_lane_back() noexcept override;

private:
    void map_board();
    void map_device();

    std::int64_t clock_ns() const noexcept override;
    bool server_gone() const noexcept override { return connection_.server_gone(); }
    bool has_kernel_pcm() const noexcept override { return static_cast<bool>(pcm_); }
    os::KernelPcm::Position last_position() const noexcept override { return pcm_.last_position(); }
    os::KernelPcm::Position fresh_position() const noexcept override { return pcm_.fresh_position(); }

    Connection connection_;
    std::uint32_t slot_;
    os::Mapping board_, arena_, ring_, fork_mark_;
    os::Descriptor device_, silence_;
    os::KernelPcm pcm_;
    core::BoardView view_;
    std::optional<Timeline> timeline_; // once there is a board
    std::optional<Keeper> keeper_;     // once there is a lane
};

} // namespace ringmix::client
