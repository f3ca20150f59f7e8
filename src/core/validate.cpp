// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/validate.h"

#include "core/format.h"

#include <bit>
#include <cstring>

namespace ringmix::core {

namespace {

constexpr std::uint32_t blocks_of(std::uint32_t ring_frames) noexcept
{
    return (ring_frames + abi::block_frames - 1) / abi::block_frames;
}

const char* validate_geometry(const abi::Geometry& g) noexcept
{
    if (g.device_kind != abi::device_kernel && g.device_kind != abi::device_virtual)
        return "unknown kind of device";
    if (!device_format(g.format))
        return "unknown sample format";
    if (g.clip > abi::clip_soft)
        return "unknown kind of clipping";
    if (g.dither > abi::dither_tpdf)
        return "unknown kind of dither";
    if (g.dither != abi::dither_none && g.format == abi::format_float)
        return "FLOAT samples cannot be dithered";
    if (g.channels < 1 || g.channels > abi::max_channels)
        return "impossible number of channels";
    if (g.rate < 1000 || g.rate > 1'000'000)
        return "impossible rate";
    if (g.ring_frames < 2 * abi::block_frames || g.ring_frames > abi::max_blocks * abi::block_frames)
        return "impossible ring size";
    if (g.blocks != blocks_of(g.ring_frames))
        return "ring size and number of blocks disagree";
    if (g.ring_bytes != std::uint64_t{g.ring_frames} * g.channels * sample_bytes(g.format))
        return "ring size in frames and in bytes disagree";
    if (g.period_frames < 1 || g.period_frames > g.ring_frames)
        return "impossible period";
    if (g.reach_frames > g.ring_frames || g.margin_frames >= g.reach_frames)
        return "impossible margin or reach";
    if (g.device_kind == abi::device_kernel &&
        (g.boundary % g.ring_frames != 0 || !std::has_single_bit(g.boundary / g.ring_frames)))
        return "impossible boundary";
    if (g.arena_bytes < 4096 || g.arena_bytes > (std::uint64_t{1} << 31))
        return "impossible arena size";
    return nullptr;
}

} // namespace

std::size_t board_bytes(const abi::Geometry& g) noexcept
{
    constexpr std::size_t line = alignof(abi::Board);
    return sizeof(abi::Board) + (sizeof(abi::BlockVersion) * g.blocks + line - 1) / line * line;
}

std::size_t max_board_bytes() noexcept { return sizeof(abi::Board) + sizeof(abi::BlockVersion) * abi::max_blocks; }

const char* validate_board(std::byte* mapped, std::size_t mapped_bytes, BoardView& view) noexcept
{
    if (mapped == nullptr || mapped_bytes < sizeof(abi::Board))
        return "the board is too small";
    auto* board = reinterpret_cast<abi::Board*>(mapped);
    if (board->identity.ready.load(std::memory_order_acquire) != 1)
        return "the server has not finished setting up";
    if (board->identity.magic != abi::magic)
        return "this is no ringmix board";
    if (board->identity.major != abi::major_version)
        return "the board has another version";

    abi::Geometry geometry;
    std::memcpy(&geometry, &board->geometry, sizeof geometry);
    if (const char* fault = validate_geometry(geometry))
        return fault;
    if (mapped_bytes < board_bytes(geometry))
        return "the board is smaller than its geometry says";

    view.board = board;
    view.versions = reinterpret_cast<abi::BlockVersion*>(mapped + sizeof(abi::Board));
    view.geometry = geometry;
    view.frame_bytes = geometry.channels * sample_bytes(geometry.format);
    return nullptr;
}

} // namespace ringmix::core
