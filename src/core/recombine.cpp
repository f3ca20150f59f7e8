// SPDX-License-Identifier: LGPL-2.1-or-later
//
// recombine() of post.h: from the lanes of the active slots to the device's ring.
//
// Lanes that are all alike, the usual case, go to the device in one call of a kernel, without sums in
// memory: the batch is cut into spans where lanes begin, end and wrap. Otherwise sets of like
// lanes are added to sums, and those go to the device. With many lanes, what is done for each lane
// and span costs as much as the arithmetic.

#include "core/format.h"
#include "core/pieces.h"
#include "core/post.h"
#include "core/sums.h"
#include "core/test_hooks.h"
#include "kernels/kernels.h"

#include <cstring>

namespace ringmix::core {

namespace {

constexpr std::uint32_t short_span = abi::block_frames / 2;

// Lanes of one plain kind straight to the device. False: there is no kernel for it.
bool mix_directly(const abi::Geometry& device, std::byte* out, Kind kind, const Source* lanes, std::size_t count,
                  std::uint32_t frames) noexcept
{
    const std::size_t samples = std::size_t{frames} * device.channels;
    if (count == 0) {
        std::memset(out, 0, samples * sample_bytes(device.format)); // silence, in all device formats
        return true;
    }
    if (shaped(device))
        return false;
    // S24 is no copy: the device's fourth byte must be the sign, and the lane's may be anything. Nor is
    // FLOAT, which is clamped and rounded to 32 bits.
    if (count == 1 && kind.format() == device.format && kind.format() != abi::format_s24 &&
        kind.format() != abi::format_float) {
        kernels::chosen().copy(out, lanes[0].cells, samples * sample_bytes(device.format));
        return true;
    }
    kernels::Table::Mix* mix = kernels::chosen().mix[kind.format()][device.format];
    if (mix != nullptr)
        mix(out, lanes, count, samples);
    return mix != nullptr;
}

// Sums the frames of `chunk` of the batch that begins at frame `from`, and stores them. Not inlined: it takes
// registers from the direct way.
[[gnu::noinline]] void mix_chunk(const BoardView& view, std::uint64_t from, Span chunk, const Pieces& pieces,
                                 std::byte* out) noexcept
{
    Sums sums(view, chunk);
    sums.add(pieces);
    sums.finalize(out, chunk, from);
}

// Lanes of one plain kind, each of which is in all of the span or not in it at all. False: not so many at
// once (streams and tails), or no kernel. Not inlined: what it has on the stack is not needed with mix_chunk()'s.
[[gnu::noinline]] bool mix_span(const BoardView& view, Span span, const Pieces& pieces, std::byte* out) noexcept
{
    Source lanes[abi::max_slots + 1]; // one too many, at most
    std::size_t count = 0;
    for (std::size_t i = 0; i < pieces.count && count <= abi::max_slots; ++i) {
        lanes[count] = pieces.source(view, i, span.start);
        count += pieces.span[i].start <= span.start && pieces.span[i].end >= span.end ? 1 : 0;
    }
    return count <= abi::max_slots && mix_directly(view.geometry, out, pieces.kind[0], lanes, count, span.frames());
}

void mix_pieces(const BoardView& view, std::uint64_t from, std::uint32_t frames, const Pieces& pieces,
                std::byte* out) noexcept
{
    const std::uint32_t most = chunk_samples / view.geometry.channels;
    for (Span span{0, 0}; span.start < frames; span.start = span.end) {
        span.end = frames;
        for (std::size_t i = 0; i < pieces.cut_count; ++i)
            if (pieces.cuts[i] > span.start)
                span.end = std::min<std::uint32_t>(span.end, pieces.cuts[i]);
        std::byte* at = out + std::size_t{span.start} * view.frame_bytes;
        if (span.frames() < short_span) // not worth it: a block, in which some lanes are summed for themselves
            span.end = std::min(span.start + abi::block_frames, frames);
        else if (pieces.alike && mix_span(view, span, pieces, at))
            continue;
        span.end = std::min(span.end, span.start + most);
        mix_chunk(view, from, span, pieces, at);
    }
}

} // namespace

void recombine(const BoardView& view, std::uint64_t from, std::uint32_t frames) noexcept
{
    // Times and positions come from shared memory: whatever they say, this stays in its buffers.
    const std::uint64_t offset = from % view.geometry.ring_frames;
    frames = static_cast<std::uint32_t>(
        std::min<std::uint64_t>({frames, batch_frames(view), view.geometry.ring_frames - offset}));
    std::byte* out = view.ring + offset * view.frame_bytes;
    const std::uint64_t active = view.board->engine.active.load(std::memory_order_acquire);
    Pieces pieces;
    while (frames > 0) {
        std::uint32_t part = frames;
        while (!gather(view, active, from, part, pieces))
            part = (part + 1) / 2;
        RINGMIX_TEST_HOOK(test_gathered, from, part);
        mix_pieces(view, from, part, pieces, out);
        from += part;
        frames -= part;
        out += std::size_t{part} * view.frame_bytes;
    }
}

} // namespace ringmix::core
