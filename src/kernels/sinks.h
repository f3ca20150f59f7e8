// SPDX-License-Identifier: LGPL-2.1-or-later
//
// sinks.h: where the sums of a tile (tile.h) go: to the device, rounded once and
// saturated, or onto sums in memory. Included like tile.h.

#pragma once

#include "kernels/tile.h"

namespace ringmix::kernels {
namespace {

// The highest number, or the lowest where `sign` is negative.
template <class V> Int<V> limit(Int<V> sign) noexcept
{
    return V::bit_xor(V::template sra<31>(sign), V::fill(0x7fffffff));
}

// `value` where the bits of `sum` from bit `bit` up are all the sign, the limit elsewhere.
template <class V, int bit> Int<V> limited(Int<V> sum, Int<V> value, Int<V> top) noexcept
{
    return V::if_equal(V::template sra<bit>(sum), V::template sra<31>(sum), value, top);
}

template <class V> Int<V> clamp24(Int<V> x) noexcept
{
    return V::max(V::min(x, V::fill(0x7fffff)), V::fill(0xff800000));
}

// A sum of S16 samples as Narrow.
template <class V> Narrow<V> narrow_of(const Words<V>& w) noexcept
{
    const auto part = [&](Int<V> high, Int<V> low) {
        return V::bit_or(V::template shl<15>(high), V::template shl<8>(V::bit_and(low, V::fill(0x7f))));
    };
    return {{part(V::low_s16(w.high), V::low_s16(w.low)), part(V::high_s16(w.high), V::high_s16(w.low))}};
}

// Each byte once, in ascending order. Short counts.
inline void put_bytes(std::byte* out, const std::byte* from, std::size_t count) noexcept
{
    for (; count >= 16; out += 16, from += 16, count -= 16)
        __builtin_memcpy(out, from, 16);
    for (; count >= 2; out += 2, from += 2, count -= 2)
        __builtin_memcpy(out, from, 2);
    if (count > 0)
        *out = *from;
}

// The halves of 64-bit sums in 2^53 scale, half of the device's last bit added, in order.
template <class V> struct Split {
    Int<V> high;
    Int<V> low;
};

// A sink's merge() does for the first `count` samples at `from`, which put() wrote onto zeros, what
// put() would have done at `out`.
struct Device {
    static void merge(std::byte* out, const std::byte* from, std::size_t bytes) noexcept
    {
        put_bytes(out, from, bytes);
    }
};

template <class Number> struct Memory {
    static void merge(std::byte* out, const std::byte* from, std::size_t bytes) noexcept
    {
        for (std::size_t i = 0; i < bytes; i += sizeof(Number)) {
            Number sum;
            Number more;
            __builtin_memcpy(&sum, out + i, sizeof sum);
            __builtin_memcpy(&more, from + i, sizeof more);
            sum += more;
            __builtin_memcpy(out + i, &sum, sizeof sum);
        }
    }
};

template <class V> struct ToS16 : Device {
    static constexpr std::size_t bytes = 2;
    static void put(std::byte* out, const Words<V>& w) noexcept
    {
        const Int<V> sign = V::template sra16<15>(w.high);
        const Int<V> top = V::bit_xor(sign, V::fill(0x7fff7fff));
        V::store(out, V::if_equal16(V::template sra16<8>(w.high), sign, w.low, top));
    }
    static void put(std::byte* out, const Narrow<V>& n) noexcept
    {
        const auto rounded = [](Int<V> x) { return V::template sra<8>(V::add(x, V::fill(0x80))); };
        V::store(out, V::pack16(rounded(n.sum[0]), rounded(n.sum[1])));
    }
    static void put(std::byte* out, const Wide<V>& w) noexcept
    {
        const auto rounded = [](Int<V> x) { return V::template sra<9>(V::add(x, V::fill(0x100))); };
        V::store(out, V::pack16(rounded(w.high[0]), rounded(w.high[1])));
    }
    static constexpr int half_bit = 37;
    static void put(std::byte* out, const Split<V>& a, const Split<V>& b) noexcept
    {
        V::store(out, V::pack16(V::template sra<6>(a.high), V::template sra<6>(b.high)));
    }
};

// Devices of 24 bits in 4 bytes, in 3 bytes, and of 32 bits take one vector at a time.
template <class V, class Format> struct ToWords : Device {
    static constexpr std::size_t bytes = Format::bytes;
    static constexpr std::size_t half = V::width * bytes;
    static void put(std::byte* out, const Words<V>& w) noexcept { put(out, narrow_of<V>(w)); }
    static void put(std::byte* out, const Narrow<V>& n) noexcept
    {
        Format::store(out, Format::from_narrow(n.sum[0]));
        Format::store(out + half, Format::from_narrow(n.sum[1]));
    }
    static void put(std::byte* out, const Wide<V>& w) noexcept
    {
        Format::store(out, Format::from_wide(w.high[0], w.low[0]));
        Format::store(out + half, Format::from_wide(w.high[1], w.low[1]));
    }
    static constexpr int half_bit = Format::shift - 1;
    static Int<V> from_split(const Split<V>& s) noexcept
    {
        const Int<V> value =
            V::bit_or(V::template shl<32 - Format::shift>(s.high), V::template srl<Format::shift>(s.low));
        return limited<V, 21>(s.high, value, Format::top(s.high));
    }
    static void put(std::byte* out, const Split<V>& a, const Split<V>& b) noexcept
    {
        Format::store(out, from_split(a));
        Format::store(out + half, from_split(b));
    }
};

template <class V> struct S24Format {
    static constexpr std::size_t bytes = 4;
    static constexpr int shift = 30;
    static Int<V> top(Int<V> sign) noexcept { return V::template sra<8>(limit<V>(sign)); }
    static Int<V> from_narrow(Int<V> sum) noexcept { return clamp24<V>(sum); }
    static Int<V> from_wide(Int<V> high, Int<V>) noexcept
    {
        return clamp24<V>(V::template sra<1>(V::add(high, V::fill(1))));
    }
    static void store(std::byte* out, Int<V> x) noexcept { V::store(out, x); }
};

template <class V> struct S24In3Format : S24Format<V> {
    static constexpr std::size_t bytes = 3;
    static void store(std::byte* out, Int<V> x) noexcept { V::store_24(out, x); }
};

template <class V> struct S32Format {
    static constexpr std::size_t bytes = 4;
    static constexpr int shift = 22;
    static Int<V> top(Int<V> sign) noexcept { return limit<V>(sign); }
    static Int<V> from_narrow(Int<V> sum) noexcept { return limited<V, 23>(sum, V::template shl<8>(sum), top(sum)); }
    static Int<V> from_wide(Int<V> high, Int<V> low) noexcept { return limited<V, 24>(high, low, top(high)); }
    static void store(std::byte* out, Int<V> x) noexcept { V::store(out, x); }
};

// Sums in memory. They are ours: read, added to, written.
template <class V> struct ToNarrowSums : Memory<std::uint32_t> {
    static constexpr std::size_t bytes = 4;
    static void put(std::byte* out, const Words<V>& w) noexcept { put(out, narrow_of<V>(w)); }
    static void put(std::byte* out, const Narrow<V>& n) noexcept
    {
        std::byte* second = out + V::width * bytes;
        V::store(out, V::add(V::load(out), n.sum[0]));
        V::store(second, V::add(V::load(second), n.sum[1]));
    }
};

template <class V> struct ToWideSums : Memory<std::uint64_t> {
    static constexpr std::size_t bytes = 8;
    static constexpr std::size_t vector = V::width * 4;
    static void add(std::byte* out, Int<V> sum) noexcept { V::store(out, V::add64(V::load(out), sum)); }
    static void put(std::byte* out, const Wide<V>& w) noexcept
    {
        for (int i = 0; i < 2; ++i) {
            const auto high = V::widen(w.high[i]);
            const auto low = V::widen(V::bit_and(w.low[i], V::fill(0x7f)));
            add(out, V::add64(V::template shl64<29>(high.a), V::template shl64<22>(low.a)));
            add(out + vector, V::add64(V::template shl64<29>(high.b), V::template shl64<22>(low.b)));
            out += 2 * vector;
        }
    }
    template <class Result> static void put(std::byte* out, const Result& result) noexcept
    {
        for (int i = 0; i < 2; ++i) {
            add(out, result.half[i].a);
            add(out + vector, result.half[i].b);
            out += 2 * vector;
        }
    }
};

} // namespace
} // namespace ringmix::kernels
