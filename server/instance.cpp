// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/instance.h"

#include "core/format.h"
#include "os/process.h"

#include <algorithm>
#include <fmt/format.h>
#include <new>

namespace ringmix::server {

namespace {
constexpr std::uint32_t longest_cycle_ms = 10;

// The engine's cycle: 10 ms, or an eighth of a short ring.
std::uint32_t cycle_frames(const DeviceShape& shape) noexcept
{
    return std::min(shape.rate * longest_cycle_ms / 1000, shape.ring_frames / 8);
}

// How far ahead of the extrapolated playback position nothing can be changed any more. The virtual
// device runs by the very clock that clients read; a kernel's device is known from its last
// interrupt, and may have fetched ahead.
std::uint32_t margin_frames(const DeviceShape& shape) noexcept
{
    const std::uint32_t ms = shape.kind == abi::device_virtual ? 1 : 2;
    return std::max(shape.rate * ms / 1000, 16u) + shape.fetch_frames;
}

// Counted from the published position: a whole ring, less two cycles, so that a place is mixed for its next turn only
// when everybody has seen that the one before is played, and 1 ms for silence that still sits in a write buffer.
std::uint32_t reach_frames(const DeviceShape& shape) noexcept
{
    const std::uint32_t left_alone = 2 * cycle_frames(shape) + shape.rate / 1000;
    return shape.ring_frames - std::min(left_alone, shape.ring_frames / 2);
}

// Room for all programs' largest buffers: at 48 kHz one MiB each, of which only what is used needs memory.
std::uint64_t arena_bytes(const DeviceShape& shape, const Options& options) noexcept
{
    if (options.arena_bytes != 0)
        return options.arena_bytes;
    constexpr std::uint64_t mebibyte = 1 << 20, usual_rate = 48000;
    const std::uint64_t bytes =
        abi::max_slots * mebibyte * std::max<std::uint64_t>((shape.rate + usual_rate - 1) / usual_rate, 1);
    return std::min(bytes, std::max(os::file_size_limit() / mebibyte, std::uint64_t{1}) * mebibyte);
}

abi::Geometry geometry_of(const DeviceShape& shape, const Options& options) noexcept
{
    abi::Geometry geometry{};
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
    geometry.cycle_ns = static_cast<std::uint32_t>(std::uint64_t{cycle_frames(shape)} * 1'000'000'000 / shape.rate);
    geometry.clip = options.clip;
    geometry.dither = options.dither;
    geometry.ring_bytes = std::uint64_t{shape.ring_frames} * shape.channels * core::sample_bytes(shape.format);
    geometry.arena_bytes = arena_bytes(shape, options);
    geometry.boundary = shape.boundary;
    std::copy(shape.chmap.begin(), shape.chmap.end(), geometry.chmap);
    return geometry;
}
} // namespace

Instance::Instance(std::unique_ptr<Device> device, const Options& options, Say say, ClientNames& names,
                   Doorbell& control)
    : device_(std::move(device)), arena_(arena_bytes(device_->shape(), options))
{
    lay_out_board(options, say);
    staff(options.wishes.output, false, names, control);
}

Instance::Instance(Estate estate, const std::string& output, ClientNames& names, Doorbell& control)
    : device_(std::move(estate.device)), board_fd_(std::move(estate.board)),
      arena_(std::move(estate.arena), estate.geometry.arena_bytes), silence_(std::move(estate.silence))
{
    const auto bytes = static_cast<std::size_t>(estate.board_bytes);
    if (estate.board_bytes != core::board_bytes(estate.geometry))
        throw std::runtime_error("the server that is to be replaced has a board of another size");
    os::require_sealed_memory(board_fd_.get(), bytes, "board");
    board_memory_ = os::Mapping::shared(board_fd_.get(), bytes, 0, true, "board");
    arena_memory_ = os::Mapping::sparse(arena_.fd(), static_cast<std::size_t>(arena_.bytes()), "arena");
    if (const char* fault = core::validate_board(board_memory_.data(), bytes, view_))
        throw std::runtime_error(fmt::format("the server that is to be replaced cannot be: {}", fault));
    view_.geometry = estate.geometry; // the server's own copy: clients could have written into the board's
    view_.arena = arena_memory_.data();
    view_.ring = device_->ring();
    staff(output, true, names, control);
}

void Instance::staff(const std::string& output, bool append, ClientNames& names, Doorbell& control)
{
    butler_ = std::make_unique<Butler>(*device_, names, control, output, append);
    engine_ =
        std::make_unique<Engine>(*device_, view_, butler_->trace(), butler_->semaphore(), silence_, !output.empty());
    butler_->serve_for(*engine_);
}

void Instance::go_on(const DeviceStanding& device, const Engine::Knowledge& engine)
{
    device_->go_on(device);
    engine_->learn(engine);
    engine_->start();
    butler_->start();
}

void Instance::start()
{
    device_->start();
    engine_->start();
    butler_->start();
}

Instance::~Instance()
{
    engine_->stop();
    butler_->stop();
}

void Instance::lay_out_board(const Options& options, Say say)
{
    const DeviceShape& shape = device_->shape();
    abi::Geometry geometry = geometry_of(shape, options);
    if (geometry.format == abi::format_float && geometry.dither != abi::dither_none) {
        if (say != nullptr)
            say(fmt::format("{}: --dither {} is left out: its samples are {}, which need none", device_->name(),
                            core::dither_name(geometry.dither), core::format_name(geometry.format)));
        geometry.dither = abi::dither_none;
    }
    const std::size_t bytes = core::board_bytes(geometry);
    board_fd_ = os::make_sealed_memory("ringmix-board", bytes);
    board_memory_ = os::Mapping::shared(board_fd_.get(), bytes, 0, true, "board");
    arena_memory_ = os::Mapping::sparse(arena_.fd(), static_cast<std::size_t>(arena_.bytes()), "arena");

    // All zeros, as new memory is, but for what follows.
    auto* board = new (board_memory_.data()) abi::Board{};
    board->geometry = geometry;
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

std::array<int, protocol::welcome_descriptors> Instance::descriptors() const noexcept
{
    return {board_fd_.get(), arena_.fd(), device_->shared_descriptor(), silence_.fd()};
}

} // namespace ringmix::server
