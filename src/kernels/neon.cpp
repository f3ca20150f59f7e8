// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernels for NEON (Advanced SIMD) of 64-bit ARM, where every processor has it.

#include "kernels/table.h"

#include <arm_neon.h>

namespace ringmix::kernels {

extern const Table neon;
extern const Resampling neon_resampling;

namespace {

struct Neon {
    using Int = int32x4_t;
    using Float = float32x4_t;
    struct NoGuard {};
    using FloatGuard = NoGuard;
    // Conversion that saturates, and makes 0 of NaN, is part of the instruction set: nothing to be
    // gained by leaving it out.
    template <class, class Exact> using BestFloat = Exact;
    static constexpr std::size_t width = 4;
    static constexpr int scale = 2;

    static int16x8_t words(Int x) noexcept { return vreinterpretq_s16_s32(x); }
    static int64x2_t longs(Int x) noexcept { return vreinterpretq_s64_s32(x); }
    static Int from(int16x8_t x) noexcept { return vreinterpretq_s32_s16(x); }
    static Int from(int64x2_t x) noexcept { return vreinterpretq_s32_s64(x); }
    static Int from(uint32x4_t x) noexcept { return vreinterpretq_s32_u32(x); }
    static Int from(uint8x16_t x) noexcept { return vreinterpretq_s32_u8(x); }

    static Int load(const std::byte* at) noexcept { return from(vld1q_u8(bytes_at(at))); }
    // Of a lane, which may change under our hands: loaded once, even where it is used twice.
    static Int fetch(const std::byte* at) noexcept
    {
        Int x = load(at);
        asm("" : "+w"(x));
        return x;
    }
    static void store(std::byte* at, Int x) noexcept
    {
        vst1q_u8(reinterpret_cast<std::uint8_t*>(at), vreinterpretq_u8_s32(x));
    }
    static Int zero() noexcept { return vdupq_n_s32(0); }
    static Int fill(std::uint32_t x) noexcept { return vdupq_n_s32(static_cast<std::int32_t>(x)); }
    static Int fill64(std::int64_t x) noexcept { return from(vdupq_n_s64(x)); }

    static Int add(Int a, Int b) noexcept { return vaddq_s32(a, b); }
    static Int sub(Int a, Int b) noexcept { return vsubq_s32(a, b); }
    static Int add16(Int a, Int b) noexcept { return from(vaddq_s16(words(a), words(b))); }
    static Int sub16(Int a, Int b) noexcept { return from(vsubq_s16(words(a), words(b))); }
    static Int add64(Int a, Int b) noexcept { return from(vaddq_s64(longs(a), longs(b))); }
    static Int bit_and(Int a, Int b) noexcept { return vandq_s32(a, b); }
    static Int bit_or(Int a, Int b) noexcept { return vorrq_s32(a, b); }
    static Int bit_xor(Int a, Int b) noexcept { return veorq_s32(a, b); }
    template <int n> static Int shl(Int x) noexcept { return vshlq_n_s32(x, n); }
    template <int n> static Int shl16(Int x) noexcept { return from(vshlq_n_s16(words(x), n)); }
    template <int n> static Int shl64(Int x) noexcept { return from(vshlq_n_s64(longs(x), n)); }
    template <int n> static Int srl(Int x) noexcept { return from(vshrq_n_u32(vreinterpretq_u32_s32(x), n)); }
    template <int n> static Int srl16(Int x) noexcept
    {
        return from(vreinterpretq_s16_u16(vshrq_n_u16(vreinterpretq_u16_s32(x), n)));
    }
    template <int n> static Int sra(Int x) noexcept { return vshrq_n_s32(x, n); }
    template <int n> static Int sra16(Int x) noexcept { return from(vshrq_n_s16(words(x), n)); }

    static Int if_equal(Int a, Int b, Int x, Int y) noexcept { return vbslq_s32(vceqq_s32(a, b), x, y); }
    static Int if_equal16(Int a, Int b, Int x, Int y) noexcept
    {
        return from(vbslq_s16(vceqq_s16(words(a), words(b)), words(x), words(y)));
    }
    static Int min(Int a, Int b) noexcept { return vminq_s32(a, b); }
    static Int max(Int a, Int b) noexcept { return vmaxq_s32(a, b); }

    static Int pack16(Int a, Int b) noexcept { return from(vqmovn_high_s32(vqmovn_s32(a), b)); }
    static Int low_s16(Int x) noexcept { return vmovl_s16(vget_low_s16(words(x))); }
    static Int high_s16(Int x) noexcept { return vmovl_high_s16(words(x)); }

    struct Products {
        Int a;
        Int b;
    };
    static Products widen(Int x) noexcept { return {from(vmovl_s32(vget_low_s32(x))), from(vmovl_high_s32(x))}; }
    static Products multiply(Int x, Int gain) noexcept
    {
        return {from(vmull_s32(vget_low_s32(x), vget_low_s32(gain))), from(vmull_high_s32(x, gain))};
    }
    static Products in_order(Products p) noexcept { return p; }
    static Int low_words(Int a, Int b) noexcept { return vuzp1q_s32(a, b); }
    static Int high_words(Int a, Int b) noexcept { return vuzp2q_s32(a, b); }

    static const std::uint8_t* bytes_at(const std::byte* at) noexcept
    {
        return reinterpret_cast<const std::uint8_t*>(at);
    }
    static Int load_u8(const std::byte* at) noexcept
    {
        std::uint32_t word;
        __builtin_memcpy(&word, at, sizeof word);
        const uint8x8_t four = vreinterpret_u8_u32(vdup_n_u32(word));
        return from(vmovl_u16(vget_low_u16(vmovl_u8(four))));
    }
    static Int load_s16(const std::byte* at) noexcept
    {
        return from(vmovl_u16(vreinterpret_u16_u8(vld1_u8(bytes_at(at)))));
    }
    // Indices beyond the table give 0.
    static Int load_24_high(const std::byte* at) noexcept
    {
        static constexpr std::uint8_t spread[16] = {255, 0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11};
        std::uint32_t last;
        __builtin_memcpy(&last, at + 8, sizeof last);
        const uint8x8_t end = vreinterpret_u8_u32(vdup_n_u32(last));
        return from(vqtbl1q_u8(vcombine_u8(vld1_u8(bytes_at(at)), end), vld1q_u8(spread)));
    }
    static void store_24(std::byte* out, Int x) noexcept
    {
        static constexpr std::uint8_t squeeze[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 255, 255, 255, 255};
        const uint8x16_t all = vqtbl1q_u8(vreinterpretq_u8_s32(x), vld1q_u8(squeeze));
        vst1_u8(reinterpret_cast<std::uint8_t*>(out), vget_low_u8(all));
        const std::uint32_t last = vgetq_lane_u32(vreinterpretq_u32_u8(all), 2);
        __builtin_memcpy(out + 8, &last, sizeof last);
    }

    static Float load_float(const std::byte* at) noexcept { return vreinterpretq_f32_s32(fetch(at)); }
    // Half up, in any rounding mode: the part beyond the floor is exact where it is near a half.
    static Int round_any(Float x) noexcept
    {
        const Float scaled = vmulq_n_f32(x, 0x1p31f);
        const Int floor = vcvtmq_s32_f32(scaled);
        const Float beyond = vsubq_f32(scaled, vcvtq_f32_s32(floor));
        return vqsubq_s32(floor, from(vcgeq_f32(beyond, vdupq_n_f32(0.5f))));
    }
};

} // namespace

constinit const Table neon = make_table<Neon>("neon", neon_resampling);

} // namespace ringmix::kernels
