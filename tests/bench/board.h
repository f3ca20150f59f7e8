// SPDX-License-Identifier: LGPL-2.1-or-later
//
// board.h: an instance without a server in memory that forked processes share, with lanes full of
// noise, and clients that post to it.

#pragma once

#include "core/format.h"
#include "core/post.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

namespace ringmix::bench {

inline constexpr std::uint32_t channels = 2;
inline constexpr std::uint32_t ring_frames = 16384; // of the device and of each lane: 341 ms at 48 kHz

// Zeroed memory that stays shared after fork().
class Shared {
public:
    explicit Shared(std::size_t bytes) : bytes_(bytes)
    {
        void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (mapped == MAP_FAILED)
            throw std::bad_alloc();
        data_ = static_cast<std::byte*>(mapped);
    }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() { munmap(data_, bytes_); }
    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return bytes_; }

private:
    std::size_t bytes_;
    std::byte* data_;
};

// Samples at a quarter of full scale: noise that clips no more than music does.
inline void fill_with_noise(std::byte* at, std::uint32_t format, std::size_t samples, unsigned seed)
{
    std::minstd_rand random(seed);
    for (std::size_t i = 0; i < samples; ++i) {
        const auto value = static_cast<std::int32_t>(random() << 1) >> 2;
        const float real = static_cast<float>(value) * 0x1p-31f;
        const auto s16 = static_cast<std::int16_t>(value >> 16);
        const std::int32_t s24 = value >> 8;
        const std::int32_t high = value >> 2;
        const void* from = &value;
        if (format == abi::format_float)
            from = &real;
        else if (format == abi::format_s16)
            from = &s16;
        else if (format == abi::format_s24)
            from = &s24;
        else if (format == abi::format_s32_high)
            from = &high;
        std::memcpy(at + i * core::sample_bytes(format), from, core::sample_bytes(format));
    }
}

class Board {
public:
    Board(std::uint32_t device_format, std::uint32_t lane_format, std::uint32_t clients,
          std::uint32_t clip = abi::clip_hard, std::uint32_t dither = abi::dither_none)
        : arena_(clients * lane_bytes(lane_format)), ring_(lane_bytes(device_format)),
          memory_(core::board_bytes(geometry(device_format)))
    {
        auto* board = new (memory_.data()) abi::Board;
        board->identity.magic = abi::magic;
        board->identity.major = abi::major_version;
        board->geometry = geometry(device_format);
        board->geometry.clip = clip;
        board->geometry.dither = dither;
        board->identity.ready.store(1);
        if (core::validate_board(memory_.data(), memory_.size(), view_) != nullptr)
            std::abort();
        view_.arena = arena_.data();
        view_.ring = ring_.data();
        for (std::uint32_t i = 0; i < clients; ++i)
            add_client(i, lane_format);
        board->engine.active.store(clients == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << clients) - 1);
    }

    const core::BoardView& view() const noexcept { return view_; }
    abi::Slot& slot(std::uint32_t i) const noexcept { return view_.board->slots[i]; }

private:
    abi::Geometry geometry(std::uint32_t device_format) const
    {
        abi::Geometry g{};
        g.device_kind = abi::device_virtual;
        g.format = device_format;
        g.channels = channels;
        g.rate = 48000;
        g.period_frames = 256;
        g.ring_frames = ring_frames;
        g.margin_frames = 64;
        g.reach_frames = ring_frames - 1024;
        g.blocks = ring_frames / abi::block_frames;
        g.ring_bytes = ring_.size();
        g.arena_bytes = arena_.size();
        return g;
    }
    static std::size_t lane_bytes(std::uint32_t format)
    {
        return std::size_t{ring_frames} * channels * core::sample_bytes(format);
    }
    void add_client(std::uint32_t i, std::uint32_t format)
    {
        abi::Slot& slot = view_.board->slots[i];
        slot.config.format.store(format);
        slot.config.channels.store(channels);
        slot.config.gain.store(abi::gain_flat | abi::unity_gain);
        slot.config.lane_offset.store(i * lane_bytes(format));
        slot.config.lane_frames.store(ring_frames);
        slot.config.map[0].store(0x0100);
        // Streams start when they like: the same frame lies elsewhere in each lane.
        slot.stream.phase.store(std::uint64_t{i} * 7919 % ring_frames);
        fill_with_noise(view_.arena + i * lane_bytes(format), format, std::size_t{ring_frames} * channels, i + 1);
    }

    Shared arena_;
    Shared ring_;
    Shared memory_;
    core::BoardView view_;
};

// One client's whole way of some frames into the device's ring.
class Client {
public:
    Client(const Board& board, std::uint32_t slot)
        : view_(&board.view()), slot_(&board.slot(slot)), poster_(board.view(), slot_->stream.posting, playhead())
    {
        frame_bytes_ = channels * core::sample_bytes(slot_->config.format.load());
    }

    // Copies `frames` frames into the lane, publishes them up to frame `end`, and posts them.
    void write(const std::byte* samples, std::uint64_t from, std::uint32_t frames, std::uint64_t end) noexcept
    {
        std::byte* lane = view_->arena + slot_->config.lane_offset.load(std::memory_order_relaxed);
        const std::uint64_t cell = (from + slot_->stream.phase.load(std::memory_order_relaxed)) % ring_frames;
        const std::uint64_t first = std::min<std::uint64_t>(frames, ring_frames - cell);
        std::memcpy(lane + cell * frame_bytes_, samples, first * frame_bytes_);
        std::memcpy(lane, samples + first * frame_bytes_, (frames - first) * frame_bytes_);
        const std::uint64_t start = end < ring_frames ? 0 : end - ring_frames;
        slot_->stream.range.store(core::pack({start, end}), std::memory_order_release);
        poster_.post({from, from + frames});
    }

private:
    static core::Playhead playhead() noexcept
    {
        const auto standing = [](const void*) noexcept { return std::uint64_t{0}; };
        return {standing, standing, nullptr};
    }

    const core::BoardView* view_;
    abi::Slot* slot_;
    std::size_t frame_bytes_;
    core::Poster poster_;
};

} // namespace ringmix::bench
