// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/attachment.h"

#include "os/socket.h"
#include "os/timer.h"

#include <cerrno>
#include <limits>
#include <system_error>

namespace ringmix::client {

namespace {
[[noreturn]] void reject(const std::string& path, const std::string& why)
{
    throw ClientError(EPROTO, "the server at " + path + " gave something unusable: " + why);
}
} // namespace

namespace {
// Sizes are of 64 bits, addresses perhaps not.
std::size_t mappable(std::uint64_t bytes, const std::string& path)
{
    if (bytes > std::numeric_limits<std::size_t>::max())
        reject(path, "memory that is larger than this program's addresses");
    return static_cast<std::size_t>(bytes);
}
} // namespace

Attachment::Attachment(const Address& address) : connection_(address), slot_(connection_.welcome().slot)
{
    if (slot_ >= abi::max_slots)
        reject(connection_.path(), "a slot that does not exist");
    try {
        map_board();
        map_device();
        fork_mark_ = os::Mapping::wiped_on_fork();
    } catch (const std::system_error& error) {
        throw ClientError(error.code().value(),
                          "cannot attach to the server at " + connection_.path() + ": " + error.what());
    }
    *reinterpret_cast<volatile char*>(fork_mark_.data()) = 1;
    os::touch(board_.data(), board_.size());
    os::touch(view_.ring, static_cast<std::size_t>(view_.geometry.ring_bytes));
    os::touch_own_code();
    timeline_.emplace(view_, static_cast<const Surroundings&>(*this));
    connection_.descriptors().clear();
}

// A forked child may hold the connection open: the slot is free all the same. When the child itself
// gets here, it leaves its parent's connection alone.
Attachment::~Attachment()
{
    if (!ours()) {
        if (keeper_)
            keeper_->forget();
        return;
    }
    keeper_.reset(); // before the slot is free
    os::hang_up(connection_.socket());
}

std::int64_t Attachment::clock_ns() const noexcept { return os::monotonic_ns(); }

protocol::Configured Attachment::claim_lane(const protocol::Configure& wish)
{
    const auto lane = connection_.ask<protocol::Configured>(wish);
    if (!keeper_)
        keeper_.emplace(*this, silence_.get());
    return lane;
}

void Attachment::give_lane_back() noexcept
{
    try {
        connection_.ask<protocol::Done>(core::make_message<protocol::Release>());
    } catch (const std::exception&) {
        // The server is gone; its board goes with the last client.
    }
}

void Attachment::map_board()
{
    auto& descriptors = connection_.descriptors();
    const std::size_t bytes = mappable(connection_.welcome().board_bytes, connection_.path());
    if (bytes < sizeof(abi::Board) || bytes > core::max_board_bytes())
        reject(connection_.path(), "a board of impossible size");
    os::require_sealed_memory(descriptors[0].get(), bytes, "board");
    board_ = os::Mapping::shared(descriptors[0].get(), bytes, 0, true, "board");
    if (const char* fault = core::validate_board(board_.data(), bytes, view_))
        reject(connection_.path(), fault);

    const std::size_t arena_bytes = mappable(view_.geometry.arena_bytes, connection_.path());
    os::require_sealed_memory(descriptors[1].get(), arena_bytes, "arena");
    arena_ = os::Mapping::sparse(descriptors[1].get(), arena_bytes, "arena");
    view_.arena = arena_.data();
}

void Attachment::map_device()
{
    device_ = std::move(connection_.descriptors()[2]);
    silence_ = std::move(connection_.descriptors()[3]);
    const std::size_t bytes = mappable(view_.geometry.ring_bytes, connection_.path());
    if (view_.geometry.device_kind == abi::device_kernel) {
        pcm_ = os::KernelPcm(device_.get(), bytes);
        view_.ring = pcm_.ring();
        return;
    }
    os::require_sealed_memory(device_.get(), bytes, "device ring");
    ring_ = os::Mapping::shared(device_.get(), bytes, 0, true, "device ring");
    view_.ring = ring_.data();
}

} // namespace ringmix::client
