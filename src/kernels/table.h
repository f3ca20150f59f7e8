// SPDX-License-Identifier: LGPL-2.1-or-later
//
// table.h: the loops over tiles, and the table of all kernels made of the vectors V of an
// instruction set. Included like tile.h.

#pragma once

#include "kernels/shape.h"
#include "kernels/sinks.h"

namespace ringmix::kernels {
namespace {

// Lanes of one kind: their sums, over how many steps at once (what the registers hold; fewer near the
// end), and what to use where those sums are not sound.
template <class V, class Load> struct NarrowLanes {
    template <int n> using Sums = NarrowSums<V, Load, n>;
    using Exact = NarrowLanes;
    static constexpr bool checked = false;
    static constexpr int steps = 4 * V::scale;
    static constexpr int some_steps = 1;
};
template <class V> struct S16Lanes {
    template <int n> using Sums = S16Sums<V, n>;
    using Exact = S16Lanes;
    static constexpr bool checked = false;
    static constexpr int steps = 4 * V::scale;
    static constexpr int some_steps = 2 * V::scale;
};
template <class V, class Load> struct WideLanes {
    template <int n> using Sums = WideSums<V, Load, n>;
    using Exact = WideLanes;
    static constexpr bool checked = false;
    static constexpr int steps = 2 * V::scale;
    static constexpr int some_steps = V::scale;
};
template <class V> struct FloatLanes {
    template <int n> using Sums = FloatSums<V, n>;
    using Exact = WideLanes<V, LoadFloat<V>>;
    static constexpr bool checked = true;
    static constexpr int steps = 2 * V::scale;
    static constexpr int some_steps = V::scale;
};
template <class V> struct LoneFloatLanes : FloatLanes<V> {
    template <int n> using Sums = LoneFloat<V, n>;
};
template <class V> struct HighLanes {
    template <int n> using Sums = HighSums<V, LoadS32<V>, n>;
    using Exact = HighLanes;
    static constexpr bool checked = false;
    static constexpr int steps = 2 * V::scale;
    static constexpr int some_steps = V::scale;
};
template <class V, class Load, class Gain = LaneGain> struct GainLanes {
    template <int n> using Sums = GainSums<V, Load, Gain, n>;
    using Exact = GainLanes;
    static constexpr bool checked = false;
    static constexpr int steps = V::scale;
    static constexpr int some_steps = 1;
};

template <class V> inline constexpr std::size_t step_samples = 2 * V::width;

// Samples at ... at + steps * step_samples - 1 of the lanes to `out`.
template <class V, class Lanes, class Sink, int steps>
void tile(std::byte* out, const Source* lanes, std::size_t count, std::size_t at) noexcept
{
    using Sums = typename Lanes::template Sums<steps>;
    Sums sums;
    sums.clear();
#pragma GCC unroll 2 // compilers copy all sums once a turn
    for (std::size_t i = 0; i < count; ++i) {
        // Of the next tile: lanes are too many, and each of them too short, for what processors fetch by themselves.
        if constexpr (steps > 1)
            for (std::size_t byte = 0; byte < steps * step_samples<V> * Sums::bytes; byte += 64)
                __builtin_prefetch(lanes[i].cells + (at + steps * step_samples<V>)*Sums::bytes + byte);
        sums.add(lanes[i].cells + at * Sums::bytes, lanes[i]);
    }
    if constexpr (Lanes::checked)
        if (!sums.sound())
            return tile<V, typename Lanes::Exact, Sink, steps>(out, lanes, count, at);
#pragma GCC unroll 16
    for (int i = 0; i < steps; ++i)
        Sink::put(out + static_cast<std::size_t>(i) * step_samples<V> * Sink::bytes, sums.result(i));
}

// The samples from `at` on that are less than a step.
template <class V, class Lanes, class Sink>
[[gnu::noinline]] void rest(std::byte* out, const Source* lanes, std::size_t count, std::size_t at,
                            std::size_t samples) noexcept
{
    alignas(64) std::byte sums[step_samples<V> * Sink::bytes] = {};
    const std::size_t left = samples - at;
    if (at > 0) { // a step that ends with the last sample; its beginning is done already
        tile<V, Lanes, Sink, 1>(sums, lanes, count, samples - step_samples<V>);
        return Sink::merge(out, sums + (step_samples<V> - left) * Sink::bytes, left * Sink::bytes);
    }
    // Fewer than a step in all: the lanes are copied to where whole vectors may be read.
    using Sums = typename Lanes::Exact::template Sums<1>;
    alignas(64) std::byte cells[step_samples<V> * Sums::bytes] = {};
    Sums one;
    one.clear();
    for (std::size_t i = 0; i < count; ++i) {
        __builtin_memcpy(cells, lanes[i].cells, samples * Sums::bytes);
        one.add(cells, lanes[i]);
    }
    Sink::put(sums, one.result(0));
    Sink::merge(out, sums, samples * Sink::bytes);
}

template <class V, class Lanes, class Sink>
void run(std::byte* out, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    [[maybe_unused]] const typename Lanes::template Sums<1>::Guard guard;
    constexpr std::size_t large = Lanes::steps * step_samples<V>;
    constexpr int some = Lanes::some_steps;
    std::size_t at = 0;
    for (; samples - at >= large; at += large)
        tile<V, Lanes, Sink, Lanes::steps>(out + at * Sink::bytes, lanes, count, at);
    if constexpr (some > 1) {
        for (; samples - at >= some * step_samples<V>; at += some * step_samples<V>)
            tile<V, Lanes, Sink, some>(out + at * Sink::bytes, lanes, count, at);
    }
    for (; samples - at >= step_samples<V>; at += step_samples<V>)
        tile<V, Lanes, Sink, 1>(out + at * Sink::bytes, lanes, count, at);
    if (at < samples)
        rest<V, Lanes, Sink>(out + at * Sink::bytes, lanes, count, at, samples);
}

template <class V, class Lanes>
void add_narrow(std::int32_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    run<V, Lanes, ToNarrowSums<V>>(reinterpret_cast<std::byte*>(sums), lanes, count, samples);
}

template <class V, class Lanes>
void add_wide(std::int64_t* sums, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    run<V, Lanes, ToWideSums<V>>(reinterpret_cast<std::byte*>(sums), lanes, count, samples);
}

// V::width sums, narrow and wide together.
template <class V, class Sink> Split<V> split_sums(const std::int32_t* narrow, const std::int64_t* wide) noexcept
{
    const auto half = V::fill64(std::int64_t{1} << Sink::half_bit);
    const auto scaled = V::widen(V::load(reinterpret_cast<const std::byte*>(narrow)));
    const auto* words = reinterpret_cast<const std::byte*>(wide);
    const auto total = [&](Int<V> more, const std::byte* at) {
        return V::add64(V::add64(V::load(at), half), V::template shl64<30>(more));
    };
    const auto a = total(scaled.a, words);
    const auto b = total(scaled.b, words + V::width * 4);
    return {V::high_words(a, b), V::low_words(a, b)};
}

template <class V, class Sink>
void finalize_step(std::byte* out, const std::int32_t* narrow, const std::int64_t* wide) noexcept
{
    if (wide == nullptr) {
        const auto* words = reinterpret_cast<const std::byte*>(narrow);
        return Sink::put(out, Narrow<V>{{V::load(words), V::load(words + V::width * 4)}});
    }
    Sink::put(out, split_sums<V, Sink>(narrow, wide), split_sums<V, Sink>(narrow + V::width, wide + V::width));
}

template <class V, class Sink>
void finalize(std::byte* out, const std::int32_t* narrow, const std::int64_t* wide, std::size_t samples) noexcept
{
    constexpr std::size_t step = step_samples<V>;
    std::size_t at = 0;
    for (; samples - at >= step; at += step)
        finalize_step<V, Sink>(out + at * Sink::bytes, narrow + at, wide == nullptr ? nullptr : wide + at);
    const std::size_t left = samples - at;
    if (left == 0)
        return;
    alignas(64) std::int32_t narrow_left[step] = {};
    alignas(64) std::int64_t wide_left[step] = {};
    alignas(64) std::byte last[step * Sink::bytes];
    __builtin_memcpy(narrow_left, narrow + at, left * sizeof narrow[0]);
    if (wide != nullptr)
        __builtin_memcpy(wide_left, wide + at, left * sizeof wide[0]);
    finalize_step<V, Sink>(last, narrow_left, wide == nullptr ? nullptr : wide_left);
    put_bytes(out + at * Sink::bytes, last, left * Sink::bytes);
}

template <class V> void copy(std::byte* out, const std::byte* lane, std::size_t bytes) noexcept
{
    constexpr std::size_t vector = V::width * 4;
    for (; bytes >= 4 * vector; out += 4 * vector, lane += 4 * vector, bytes -= 4 * vector) {
        const Int<V> a = V::load(lane);
        const Int<V> b = V::load(lane + vector);
        const Int<V> c = V::load(lane + 2 * vector);
        const Int<V> d = V::load(lane + 3 * vector);
        V::store(out, a);
        V::store(out + vector, b);
        V::store(out + 2 * vector, c);
        V::store(out + 3 * vector, d);
    }
    for (; bytes >= vector; out += vector, lane += vector, bytes -= vector)
        V::store(out, V::load(lane));
    put_bytes(out, lane, bytes);
}

// Lanes to the device. One lane alone, as `Lone` of them, which is all the same unless that is a shorter way.
template <class V, class Lanes, class Lone, class Sink>
void mix(std::byte* out, const Source* lanes, std::size_t count, std::size_t samples) noexcept
{
    if (count == 1)
        return run<V, Lone, Sink>(out, lanes, count, samples);
    run<V, Lanes, Sink>(out, lanes, count, samples);
}

// The direct kernels of one lane format. Devices of 24 bits in 3 bytes are too rare for more code.
template <class V, class Lanes, class Lone = Lanes> struct Row {
    static constexpr Table::Mix* s16 = mix<V, Lanes, Lone, ToS16<V>>;
    static constexpr Table::Mix* s24 = mix<V, Lanes, Lone, ToWords<V, S24Format<V>>>;
    static constexpr Table::Mix* s32 = mix<V, Lanes, Lone, ToWords<V, S32Format<V>>>;
};

#define RINGMIX_MIX_ROW(...)                                                                                           \
    {                                                                                                                  \
        nullptr, nullptr, Row<V, __VA_ARGS__>::s16, Row<V, __VA_ARGS__>::s24, nullptr, Row<V, __VA_ARGS__>::s32,       \
            nullptr, nullptr                                                                                           \
    }

template <class V> constexpr Table make_table(const char* name, const Resampling& resampling) noexcept
{
    using U8 = NarrowLanes<V, LoadU8<V>>;
    using S16 = S16Lanes<V>;
    using S24 = NarrowLanes<V, LoadS24<V>>;
    using S24In3 = NarrowLanes<V, LoadS24In3<V>>;
    using S32 = WideLanes<V, LoadS32<V>>;
    using Float = typename V::template BestFloat<FloatLanes<V>, WideLanes<V, LoadFloat<V>>>;
    using OneFloat = typename V::template BestFloat<LoneFloatLanes<V>, WideLanes<V, LoadFloat<V>>>;
    return {
        name,
        {nullptr, add_narrow<V, U8>, add_narrow<V, S16>, add_narrow<V, S24>, add_narrow<V, S24In3>, nullptr, nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr, add_wide<V, S32>, add_wide<V, Float>,
         add_wide<V, GainLanes<V, LoadS32<V>, HighUnity>>},
        {nullptr, add_wide<V, GainLanes<V, LoadU8<V>>>, add_wide<V, GainLanes<V, LoadS16<V>>>,
         add_wide<V, GainLanes<V, LoadS24<V>>>, add_wide<V, GainLanes<V, LoadS24In3<V>>>,
         add_wide<V, GainLanes<V, LoadS32<V>>>, add_wide<V, GainLanes<V, LoadFloat<V>>>,
         add_wide<V, GainLanes<V, LoadS32<V>, HighGain>>},
        {nullptr, nullptr, finalize<V, ToS16<V>>, finalize<V, ToWords<V, S24Format<V>>>,
         finalize<V, ToWords<V, S24In3Format<V>>>, finalize<V, ToWords<V, S32Format<V>>>, finalize_float},
        {{},
         {},
         RINGMIX_MIX_ROW(S16),
         RINGMIX_MIX_ROW(S24),
         {},
         RINGMIX_MIX_ROW(S32),
         RINGMIX_MIX_ROW(Float, OneFloat),
         RINGMIX_MIX_ROW(HighLanes<V>)},
        copy<V>,
        fold_sums,
        soften_sums,
        dither_sums,
        &resampling,
    };
}

#undef RINGMIX_MIX_ROW

} // namespace
} // namespace ringmix::kernels
