// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/instance.h"

#include "core/format.h"

#include <algorithm>
#include <new>

namespace ringmix::server {

namespace {
constexpr std::uint32_t cycle_ms = 10;

// How far ahead of the extrapolated playback position nothing can be changed any more. The virtual
// device runs by the very clock that clients read; a kernel's device is known from its last
// interrupt, and may have fetched ahead.
std::uint32_t margin_frames(const DeviceShape& shape) noexcept
{
    const std::uint32_t ms = shape.kind == abi::device_virtual ? 1 : 2;
    return std::max(shape.rate * ms / 1000, 16u) + shape.fetch_frames;
}

// Counted from the published position: a whole ring, less what the engine scrubs behind the device:
// two cycles, so that each frame is scrubbed once more after everybody has seen that it is played,
// and 1 ms for silence that still sits in a write buffer.
std::uint32_t reach_frames(const DeviceShape& shape) noexcept
{
    const std::uint32_t scrubbed = shape.rate * (2 * cycle_ms + 1) / 1000;
    return shape.ring_frames - std::min(scrubbed, shape.ring_frames / 4);
}
} // namespace

Instance::Instance(const Options& options, Say say, ClientNames& names, Retired& retired)
    : device_(open_device(options.wishes, say)), arena_(options.arena_bytes)
{
    lay_out_board(options.arena_bytes);
    butler_ = std::make_unique<Butler>(*device_, names, retired, options.wishes.output);
    engine_ = std::make_unique<Engine>(*device_, view_, butler_->trace(), butler_->semaphore(),
                                       !options.wishes.output.empty());
    device_->start();
    engine_->start();
    butler_->start(*engine_);
}

Instance::~Instance()
{
    engine_->stop();
    butler_->stop();
}

void Instance::lay_out_board(std::uint64_t arena_bytes)
{
    const DeviceShape& shape = device_->shape();
    const std::size_t bytes = core::board_bytes(shape.ring_frames);
    board_fd_ = sys::make_sealed_memory("ringmix-board", bytes);
    arena_fd_ = sys::make_sealed_memory("ringmix-arena", arena_bytes);
    board_memory_ = sys::Mapping::shared(board_fd_.get(), bytes, 0, true, "board");
    arena_memory_ = sys::Mapping::shared(arena_fd_.get(), arena_bytes, 0, true, "arena");

    auto* board = new (board_memory_.data()) abi::Board{};
    new (board_memory_.data() + sizeof(abi::Board))
        abi::BlockVersion[bytes / sizeof(abi::BlockVersion) - sizeof(abi::Board) / sizeof(abi::BlockVersion)]{};
    abi::Geometry& geometry = board->geometry;
    geometry.device_kind = shape.kind;
    geometry.format = shape.format;
    geometry.channels = shape.channels;
    geometry.rate = shape.rate;
    geometry.period_frames = shape.period_frames;
    geometry.ring_frames = shape.ring_frames;
    geometry.margin_frames = margin_frames(shape);
    geometry.reach_frames = reach_frames(shape);
    geometry.blocks = (shape.ring_frames + abi::block_frames - 1) / abi::block_frames;
    geometry.latency_frames = shape.latency_frames;
    geometry.cycle_ns = cycle_ms * 1'000'000;
    geometry.ring_bytes = std::uint64_t{shape.ring_frames} * shape.channels * core::sample_bytes(shape.format);
    geometry.arena_bytes = arena_bytes;
    geometry.boundary = shape.boundary;
    std::copy(shape.chmap.begin(), shape.chmap.end(), geometry.chmap);

    board->identity.magic = abi::magic;
    board->identity.major = abi::major_version;
    board->identity.minor = abi::minor_version;
    board->identity.board_bytes = bytes;
    board->identity.ready.store(1, std::memory_order_release);

    if (const char* fault = core::validate_board(board_memory_.data(), bytes, view_))
        throw std::runtime_error(device_->name() + " cannot be shared: " + fault);
    view_.arena = arena_memory_.data();
    view_.ring = device_->ring();
}

std::array<int, 3> Instance::descriptors() const noexcept
{
    return {board_fd_.get(), arena_fd_.get(), device_->shared_descriptor()};
}

} // namespace ringmix::server
