// SPDX-License-Identifier: LGPL-2.1-or-later
//
// tile.h: the kernels, written once over the vectors V of an instruction set. Included only by
// the files of the instruction sets, each of which gets a copy of its own (everything here is in
// an anonymous namespace).
//
// A *step* is 2 * V::width samples, a *tile* some steps. What lanes add up to in a tile is
//
//   Narrow  two vectors of int32 in 24-bit scale (mix.h)
//   Wide    the same of sums in 32-bit scale, too large for int32: `high` = floor(sum / 2^7) and
//           `low` = sum mod 2^32, which share 25 bits
//   Words   one vector of int16 for S16 lanes: the same with high = floor(sum / 2^7), low = mod 2^16
//
// Splitting a sum so costs three operations for a whole vector of samples (low += x, high += x >> 7)
// where widening takes more: up to 64 lanes the neglected parts x mod 2^7 add up to less than 2^13,
// so that low and the sum of the x >> 7 together tell the sum.

#pragma once

#include "kernels/kernels.h"

namespace ringmix::kernels {
namespace {

template <class V> using Int = typename V::Int;

template <class V> struct Narrow {
    Int<V> sum[2];
};

template <class V> struct Wide {
    Int<V> high[2];
    Int<V> low[2];
};

template <class V> struct Words {
    Int<V> high;
    Int<V> low;
};

// --- Lanes: sums of `steps` steps, in registers ----------------------------------------------

// U8, S24 and S24_3 fit int32.
template <class V, class Load, int steps> struct NarrowSums {
    static constexpr std::size_t bytes = Load::bytes;
    using Guard = typename V::NoGuard;
    Int<V> sum[2 * steps];

    void clear() noexcept
    {
        for (auto& s : sum)
            s = V::zero();
    }
    void add(const std::byte* at, const Source&) noexcept
    {
#pragma GCC unroll 16
        for (int i = 0; i < 2 * steps; ++i)
            sum[i] = V::add(sum[i], Load::narrow(at + static_cast<std::size_t>(i) * V::width * bytes));
    }
    bool sound() const noexcept { return true; }
    Narrow<V> result(int step) const noexcept { return {{sum[2 * step], sum[2 * step + 1]}}; }
};

template <class V, int steps> struct S16Sums {
    static constexpr std::size_t bytes = 2;
    using Guard = typename V::NoGuard;
    Int<V> high[steps];
    Int<V> low[steps];

    void clear() noexcept
    {
        for (int i = 0; i < steps; ++i)
            high[i] = low[i] = V::zero();
    }
    void add(const std::byte* at, const Source&) noexcept
    {
#pragma GCC unroll 16
        for (int i = 0; i < steps; ++i) {
            const Int<V> x = V::fetch(at + static_cast<std::size_t>(i) * 2 * V::width * bytes);
            low[i] = V::add16(low[i], x);
            high[i] = V::add16(high[i], V::template sra16<7>(x));
        }
    }
    bool sound() const noexcept { return true; }
    Words<V> result(int step) const noexcept
    {
        const Int<V> rest = V::sub16(low[step], V::template shl16<7>(high[step]));
        return {V::add16(high[step], V::template srl16<7>(rest)), low[step]};
    }
};

// S32, and FLOAT in general.
template <class V, class Load, int steps> struct WideSums {
    static constexpr std::size_t bytes = 4;
    using Guard = typename Load::Guard;
    Int<V> high[2 * steps];
    Int<V> low[2 * steps];

    void clear() noexcept
    {
        for (int i = 0; i < 2 * steps; ++i)
            high[i] = low[i] = V::zero();
    }
    void add(const std::byte* at, const Source&) noexcept
    {
#pragma GCC unroll 16
        for (int i = 0; i < 2 * steps; ++i) {
            const Int<V> x = Load::wide(at + static_cast<std::size_t>(i) * V::width * bytes);
            low[i] = V::add(low[i], x);
            high[i] = V::add(high[i], V::template sra<7>(x));
        }
    }
    bool sound() const noexcept { return true; }
    Int<V> high_of(int i) const noexcept
    {
        const Int<V> rest = V::sub(low[i], V::template shl<7>(high[i]));
        return V::add(high[i], V::template srl<7>(rest));
    }
    Wide<V> result(int step) const noexcept
    {
        const int i = 2 * step;
        return {{high_of(i), high_of(i + 1)}, {low[i], low[i + 1]}};
    }
};

// S32_HIGH on its way to a device: as WideSums, then in the scale of 32 bits. Of what no device can play (2^35 and
// more: 36 dB above full scale) only that it is too much is kept, so that it fits.
template <class V, class Load, int steps> struct HighSums : WideSums<V, Load, steps> {
    Wide<V> result(int step) const noexcept
    {
        const auto scaled = [this](int i) {
            const Int<V> most = V::min(this->high_of(i), V::fill(1u << 28));
            const Int<V> kept = V::max(most, V::fill(0u - (1u << 28)));
            return V::bit_or(V::template shl<2>(kept), V::bit_and(V::template srl<5>(this->low[i]), V::fill(3)));
        };
        const int i = 2 * step;
        return {{scaled(i), scaled(i + 1)}, {V::template shl<2>(this->low[i]), V::template shl<2>(this->low[i + 1])}};
    }
};

// FLOAT lanes of which no sample clips or is no number (then: not sound, do it with WideSums).
// The high part is a sum of floats: it is exact to some 2^12 of its 2^25 units, and what is missing
// is told by `low`.
template <class V, int steps> struct FloatSums {
    static constexpr std::size_t bytes = 4;
    using Guard = typename V::FloatGuard;
    typename V::Float sum[2 * steps];
    Int<V> low[2 * steps];
    typename V::Clipped clipped;

    void clear() noexcept
    {
        clipped = V::none_clipped();
        for (int i = 0; i < 2 * steps; ++i) {
            sum[i] = V::zero_float();
            low[i] = V::zero();
        }
    }
    void add(const std::byte* at, const Source&) noexcept
    {
#pragma GCC unroll 16
        for (int i = 0; i < 2 * steps; ++i) {
            const auto x = V::load_float(at + static_cast<std::size_t>(i) * V::width * bytes);
            const Int<V> rounded = V::round(x);
            clipped = V::note_clipped(clipped, rounded);
            low[i] = V::add(low[i], rounded);
            sum[i] = V::add_float(sum[i], x);
        }
    }
    bool sound() const noexcept { return !V::any_clipped(clipped); }
    Int<V> high_of(int i) const noexcept
    {
        const Int<V> near = V::truncate_shl24(sum[i]);
        const Int<V> off = V::sub(V::template srl<7>(low[i]), near);
        return V::add(near, V::template sra<7>(V::template shl<7>(off)));
    }
    Wide<V> result(int step) const noexcept
    {
        const int i = 2 * step;
        return {{high_of(i), high_of(i + 1)}, {low[i], low[i + 1]}};
    }
};

// A single FLOAT lane: nothing to sum, so the rounded samples are the sum. Sound as FloatSums is.
template <class V, int steps> struct LoneFloat {
    static constexpr std::size_t bytes = 4;
    using Guard = typename V::FloatGuard;
    Int<V> rounded[2 * steps];
    typename V::Clipped clipped;

    void clear() noexcept { clipped = V::none_clipped(); }
    void add(const std::byte* at, const Source&) noexcept
    {
#pragma GCC unroll 16
        for (int i = 0; i < 2 * steps; ++i) {
            rounded[i] = V::round(V::load_float(at + static_cast<std::size_t>(i) * V::width * bytes));
            clipped = V::note_clipped(clipped, rounded[i]);
        }
    }
    bool sound() const noexcept { return !V::any_clipped(clipped); }
    Wide<V> result(int step) const noexcept
    {
        const int i = 2 * step;
        return {{V::template sra<7>(rounded[i]), V::template sra<7>(rounded[i + 1])}, {rounded[i], rounded[i + 1]}};
    }
};

// What a lane's samples are multiplied with: 22 fractional bits, and for S32_HIGH the two bits of its headroom.
struct LaneGain {
    static std::uint32_t of(const Source& source) noexcept { return source.gain; }
};
struct HighGain {
    static std::uint32_t of(const Source& source) noexcept { return source.gain << 2; }
};
struct HighUnity {
    static std::uint32_t of(const Source&) noexcept { return 1u << 24; }
};

// Any lane with a gain. Only for ToWide.
template <class V, class Load, class Gain, int steps> struct GainSums {
    static constexpr std::size_t bytes = Load::bytes;
    using Guard = typename Load::Guard;
    typename V::Products sum[2 * steps];

    void clear() noexcept
    {
        for (auto& s : sum)
            s = {V::zero(), V::zero()};
    }
    void add(const std::byte* at, const Source& source) noexcept
    {
        const Int<V> gain = V::fill(Gain::of(source));
#pragma GCC unroll 16
        for (int i = 0; i < 2 * steps; ++i) {
            const Int<V> x = Load::wide(at + static_cast<std::size_t>(i) * V::width * bytes);
            const auto product = V::multiply(x, gain);
            sum[i].a = V::add64(sum[i].a, product.a);
            sum[i].b = V::add64(sum[i].b, product.b);
        }
    }
    bool sound() const noexcept { return true; }
    struct Result {
        typename V::Products half[2];
    };
    Result result(int step) const noexcept { return {{V::in_order(sum[2 * step]), V::in_order(sum[2 * step + 1])}}; }
};

// --- Samples of the lane formats, V::width at a time -------------------------------------------

template <class V> struct LoadU8 {
    static constexpr std::size_t bytes = 1;
    using Guard = typename V::NoGuard;
    static Int<V> narrow(const std::byte* at) noexcept
    {
        return V::template shl<16>(V::sub(V::load_u8(at), V::fill(128)));
    }
    static Int<V> wide(const std::byte* at) noexcept { return V::template shl<8>(narrow(at)); }
};

template <class V> struct LoadS16 {
    static constexpr std::size_t bytes = 2;
    using Guard = typename V::NoGuard;
    static Int<V> wide(const std::byte* at) noexcept { return V::template shl<16>(V::load_s16(at)); }
};

template <class V> struct LoadS24 {
    static constexpr std::size_t bytes = 4;
    using Guard = typename V::NoGuard;
    static Int<V> wide(const std::byte* at) noexcept { return V::template shl<8>(V::load(at)); }
    static Int<V> narrow(const std::byte* at) noexcept { return V::template sra<8>(wide(at)); }
};

template <class V> struct LoadS24In3 {
    static constexpr std::size_t bytes = 3;
    using Guard = typename V::NoGuard;
    static Int<V> wide(const std::byte* at) noexcept { return V::load_24_high(at); }
    static Int<V> narrow(const std::byte* at) noexcept { return V::template sra<8>(wide(at)); }
};

template <class V> struct LoadS32 {
    static constexpr std::size_t bytes = 4;
    using Guard = typename V::NoGuard;
    static Int<V> wide(const std::byte* at) noexcept { return V::fetch(at); }
};

template <class V> struct LoadFloat {
    static constexpr std::size_t bytes = 4;
    using Guard = typename V::FloatGuard;
    static Int<V> wide(const std::byte* at) noexcept { return V::round_any(V::load_float(at)); }
};

} // namespace
} // namespace ringmix::kernels
