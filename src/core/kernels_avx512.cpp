// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernels for AVX-512 (F, BW, VL, DQ).

#include "core/kernels_table.h"
#include "core/kernels_x86.h"

namespace ringmix::core {

extern const Kernels kernels_avx512;

namespace {

struct Avx512 {
    using Int = __m512i;
    using Float = __m512;
    using Clipped = __m512i;
    using NoGuard = NoGuardX86;
    using FloatGuard = RoundDown; // for denormals: rounding is part of the instructions here
    template <class Fast, class> using BestFloat = Fast;
    static constexpr std::size_t width = 16;
    static constexpr int scale = 2;

    static Int load(const std::byte* at) noexcept { return _mm512_loadu_si512(at); }
    // Of a lane, which may change under our hands: loaded once, even where it is used twice.
    static Int fetch(const std::byte* at) noexcept
    {
        Int x = load(at);
        asm("" : "+v"(x));
        return x;
    }
    static void store(std::byte* at, Int x) noexcept { _mm512_storeu_si512(at, x); }
    static Int zero() noexcept { return _mm512_setzero_si512(); }
    static Int fill(std::uint32_t x) noexcept { return _mm512_set1_epi32(static_cast<int>(x)); }
    static Int fill64(std::int64_t x) noexcept { return _mm512_set1_epi64(x); }

    static Int add(Int a, Int b) noexcept { return _mm512_add_epi32(a, b); }
    static Int sub(Int a, Int b) noexcept { return _mm512_sub_epi32(a, b); }
    static Int add16(Int a, Int b) noexcept { return _mm512_add_epi16(a, b); }
    static Int sub16(Int a, Int b) noexcept { return _mm512_sub_epi16(a, b); }
    static Int add64(Int a, Int b) noexcept { return _mm512_add_epi64(a, b); }
    static Int bit_and(Int a, Int b) noexcept { return _mm512_and_si512(a, b); }
    static Int bit_or(Int a, Int b) noexcept { return _mm512_or_si512(a, b); }
    static Int bit_xor(Int a, Int b) noexcept { return _mm512_xor_si512(a, b); }
    template <int n> static Int shl(Int x) noexcept { return _mm512_slli_epi32(x, n); }
    template <int n> static Int shl16(Int x) noexcept { return _mm512_slli_epi16(x, n); }
    template <int n> static Int shl64(Int x) noexcept { return _mm512_slli_epi64(x, n); }
    template <int n> static Int srl(Int x) noexcept { return _mm512_srli_epi32(x, n); }
    template <int n> static Int srl16(Int x) noexcept { return _mm512_srli_epi16(x, n); }
    template <int n> static Int sra(Int x) noexcept { return _mm512_srai_epi32(x, n); }
    template <int n> static Int sra16(Int x) noexcept { return _mm512_srai_epi16(x, n); }

    static Int if_equal(Int a, Int b, Int x, Int y) noexcept
    {
        return _mm512_mask_mov_epi32(y, _mm512_cmpeq_epi32_mask(a, b), x);
    }
    static Int if_equal16(Int a, Int b, Int x, Int y) noexcept
    {
        return _mm512_mask_mov_epi16(y, _mm512_cmpeq_epi16_mask(a, b), x);
    }
    static Int min(Int a, Int b) noexcept { return _mm512_min_epi32(a, b); }
    static Int max(Int a, Int b) noexcept { return _mm512_max_epi32(a, b); }

    static __m256i half(Int x, bool upper) noexcept
    {
        return upper ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x);
    }
    static Int pack16(Int a, Int b) noexcept
    {
        const Int order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        return _mm512_permutexvar_epi64(order, _mm512_packs_epi32(a, b));
    }
    static Int low_s16(Int x) noexcept { return _mm512_cvtepi16_epi32(half(x, false)); }
    static Int high_s16(Int x) noexcept { return _mm512_cvtepi16_epi32(half(x, true)); }

    struct Products {
        Int a;
        Int b;
    };
    static Products widen(Int x) noexcept
    {
        return {_mm512_cvtepi32_epi64(half(x, false)), _mm512_cvtepi32_epi64(half(x, true))};
    }
    // Of the samples 0, 2, ... and 1, 3, ...
    static Products multiply(Int x, Int gain) noexcept
    {
        return {_mm512_mul_epi32(x, gain), _mm512_mul_epi32(_mm512_srli_epi64(x, 32), gain)};
    }
    static Products in_order(Products p) noexcept
    {
        return {_mm512_permutex2var_epi64(p.a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), p.b),
                _mm512_permutex2var_epi64(p.a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), p.b)};
    }
    static Int low_words(Int a, Int b) noexcept
    {
        const Int even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        return _mm512_permutex2var_epi32(a, even, b);
    }
    static Int high_words(Int a, Int b) noexcept
    {
        const Int odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        return _mm512_permutex2var_epi32(a, odd, b);
    }

    static __m256i load256(const std::byte* at) noexcept
    {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    }
    static __m128i load128(const std::byte* at) noexcept
    {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    }
    static Int load_u8(const std::byte* at) noexcept { return _mm512_cvtepu8_epi32(load128(at)); }
    static Int load_s16(const std::byte* at) noexcept { return _mm512_cvtepu16_epi32(load256(at)); }
    // 32 bytes and the 16 that follow: 12 bytes for each quarter.
    static Int load_24_high(const std::byte* at) noexcept
    {
        const __m512i lower = _mm512_zextsi256_si512(load256(at));
        const __m512i all = _mm512_inserti32x4(lower, load128(at + 32), 2);
        const Int order = _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0);
        const Int spread = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11));
        return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(order, all), spread);
    }
    static void store_24(std::byte* out, Int x) noexcept
    {
        const Int squeeze =
            _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
        const Int order = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
        const Int all = _mm512_permutexvar_epi32(order, _mm512_shuffle_epi8(x, squeeze));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(all));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 32), _mm512_extracti32x4_epi32(all, 2));
    }

    static constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    static Float load_float(const std::byte* at) noexcept { return _mm512_castsi512_ps(fetch(at)); }
    static Float zero_float() noexcept { return _mm512_setzero_ps(); }
    static Float add_float(Float a, Float b) noexcept { return _mm512_add_round_ps(a, b, down); }
    // Half up: floor(x * 2^31 + 1/2), exact because it rounds down. 0x80000000 where it does not fit.
    static Int round(Float x) noexcept
    {
        const Float scaled = _mm512_fmadd_round_ps(x, _mm512_set1_ps(0x1p31f), _mm512_set1_ps(0.5f), down);
        return _mm512_cvt_roundps_epi32(scaled, down);
    }
    static Int round_any(Float x) noexcept
    {
        // Compared as integers: compilers forget that comparisons of floats may trap.
        const Int bits = _mm512_castps_si512(x);
        const __mmask16 above = _mm512_cmpge_epi32_mask(bits, fill(0x3f800000));
        const __mmask16 number = _mm512_cmple_epi32_mask(bit_and(bits, fill(0x7fffffff)), fill(0x7f800000));
        return _mm512_maskz_mov_epi32(number, _mm512_mask_mov_epi32(round(x), above, fill(0x7fffffff)));
    }
    static Clipped none_clipped() noexcept { return zero(); }
    static Clipped note_clipped(Clipped before, Int rounded) noexcept { return _mm512_min_epi32(before, rounded); }
    static bool any_clipped(Clipped lowest) noexcept { return _mm512_cmpeq_epi32_mask(lowest, fill(0x80000000)) != 0; }
    static Int truncate_shl24(Float x) noexcept
    {
        return _mm512_cvt_roundps_epi32(_mm512_mul_round_ps(x, _mm512_set1_ps(0x1p24f), down), down);
    }
};

} // namespace

constinit const Kernels kernels_avx512 = make_kernels<Avx512>("avx512");

} // namespace ringmix::core
