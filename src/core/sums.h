// SPDX-License-Identifier: LGPL-2.1-or-later
//
// sums.h: what lanes add up to over a few hundred samples, in memory. Part of recombine().

#pragma once

#include "core/pieces.h"

#include <cstddef>
#include <cstdint>

namespace ringmix::core {

inline constexpr std::uint32_t chunk_samples = 512;    // summed in memory at once
inline constexpr std::uint32_t unmapped_samples = 128; // of lanes, before they are mapped to the device's channels
static_assert(chunk_samples % abi::max_channels == 0 && unmapped_samples % abi::max_channels == 0);

constexpr Span intersection(Span a, Span b) noexcept { return {std::max(a.start, b.start), std::min(a.end, b.end)}; }

// Whether something is done to the sums before they go to the device.
constexpr bool shaped(const abi::Geometry& device) noexcept
{
    return (device.clip | device.dither) != 0; // clip_hard, dither_none
}

// Frames `chunk` of a batch in the device's channels: narrow and wide sums (mix.h), to be added up. Lanes
// that must be mapped to the device's channels are summed apart first. Of at most max_slots lanes.
class Sums {
public:
    // `view` must outlive it; `chunk` is at most chunk_samples.
    Sums(const BoardView& view, Span chunk) noexcept;

    // What the pieces (of the whole batch) have in the chunk.
    void add(const Pieces& pieces) noexcept;

    // `part` of the chunk, softened, dithered, rounded once and saturated as the device wants it, to its
    // ring at `out`. The batch begins at absolute frame `from`. Once only for each part.
    void finalize(std::byte* out, Span part, std::uint64_t from) noexcept;

private:
    void shape(std::size_t at, std::size_t samples, std::uint64_t first_sample) noexcept;
    void use_narrow() noexcept;
    void use_wide() noexcept;
    // Puts all that was added into the wide sums.
    void unite() noexcept;
    // Lanes of a kind, all with the map of `config`, over a part of the chunk. Moves `lanes` on.
    void add_lanes(Kind kind, const abi::SlotConfig& config, Source* lanes, std::size_t count, Span part) noexcept;
    void add_mapped(Kind kind, const abi::SlotConfig& config, const Source* lanes, std::size_t count,
                    Span part) noexcept;
    void add_fading(Kind kind, const abi::SlotConfig& config, const std::byte* cells, const GainLine& gain,
                    Span part) noexcept;

    const BoardView& view_;
    Span chunk_;
    std::size_t channels_;
    std::size_t samples_;
    bool narrow_used_ = false;
    bool wide_used_ = false;
    alignas(64) std::int32_t narrow_[chunk_samples];
    alignas(64) std::int64_t wide_[chunk_samples];
    alignas(64) std::byte unmapped_[unmapped_samples * sizeof(std::int64_t)]; // narrow or wide sums
};

} // namespace ringmix::core
