// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernels for AVX2 with FMA.

#include "kernels/table.h"
#include "kernels/x86.h"

namespace ringmix::kernels {

extern const Table avx2;
extern const Resampling avx2_resampling;

namespace {

struct Avx2 {
    using Int = __m256i;
    using Float = __m256;
    using Clipped = __m256i;
    using NoGuard = NoGuardX86;
    using FloatGuard = RoundDown;
    template <class Fast, class> using BestFloat = Fast;
    static constexpr std::size_t width = 8;
    static constexpr int scale = 1;

    static Int load(const std::byte* at) noexcept { return _mm256_loadu_si256(reinterpret_cast<const Int*>(at)); }
    // Of a lane, which may change under our hands: loaded once, even where it is used twice.
    static Int fetch(const std::byte* at) noexcept
    {
        Int x = load(at);
        asm("" : "+x"(x));
        return x;
    }
    static void store(std::byte* at, Int x) noexcept { _mm256_storeu_si256(reinterpret_cast<Int*>(at), x); }
    static Int zero() noexcept { return _mm256_setzero_si256(); }
    static Int fill(std::uint32_t x) noexcept { return _mm256_set1_epi32(static_cast<int>(x)); }
    static Int fill64(std::int64_t x) noexcept { return _mm256_set1_epi64x(x); }

    static Int add(Int a, Int b) noexcept { return _mm256_add_epi32(a, b); }
    static Int sub(Int a, Int b) noexcept { return _mm256_sub_epi32(a, b); }
    static Int add16(Int a, Int b) noexcept { return _mm256_add_epi16(a, b); }
    static Int sub16(Int a, Int b) noexcept { return _mm256_sub_epi16(a, b); }
    static Int add64(Int a, Int b) noexcept { return _mm256_add_epi64(a, b); }
    static Int bit_and(Int a, Int b) noexcept { return _mm256_and_si256(a, b); }
    static Int bit_or(Int a, Int b) noexcept { return _mm256_or_si256(a, b); }
    static Int bit_xor(Int a, Int b) noexcept { return _mm256_xor_si256(a, b); }
    template <int n> static Int shl(Int x) noexcept { return _mm256_slli_epi32(x, n); }
    template <int n> static Int shl16(Int x) noexcept { return _mm256_slli_epi16(x, n); }
    template <int n> static Int shl64(Int x) noexcept { return _mm256_slli_epi64(x, n); }
    template <int n> static Int srl(Int x) noexcept { return _mm256_srli_epi32(x, n); }
    template <int n> static Int srl16(Int x) noexcept { return _mm256_srli_epi16(x, n); }
    template <int n> static Int sra(Int x) noexcept { return _mm256_srai_epi32(x, n); }
    template <int n> static Int sra16(Int x) noexcept { return _mm256_srai_epi16(x, n); }

    static Int if_equal(Int a, Int b, Int x, Int y) noexcept
    {
        return _mm256_blendv_epi8(y, x, _mm256_cmpeq_epi32(a, b));
    }
    static Int if_equal16(Int a, Int b, Int x, Int y) noexcept
    {
        return _mm256_blendv_epi8(y, x, _mm256_cmpeq_epi16(a, b));
    }
    static Int min(Int a, Int b) noexcept { return _mm256_min_epi32(a, b); }
    static Int max(Int a, Int b) noexcept { return _mm256_max_epi32(a, b); }

    static Int pack16(Int a, Int b) noexcept
    {
        return _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
    }
    static Int low_s16(Int x) noexcept { return _mm256_cvtepi16_epi32(_mm256_castsi256_si128(x)); }
    static Int high_s16(Int x) noexcept { return _mm256_cvtepi16_epi32(_mm256_extracti128_si256(x, 1)); }

    struct Products {
        Int a;
        Int b;
    };
    static Products widen(Int x) noexcept
    {
        return {_mm256_cvtepi32_epi64(_mm256_castsi256_si128(x)),
                _mm256_cvtepi32_epi64(_mm256_extracti128_si256(x, 1))};
    }
    // Of the samples 0, 2, ... and 1, 3, ...
    static Products multiply(Int x, Int gain) noexcept
    {
        return {_mm256_mul_epi32(x, gain), _mm256_mul_epi32(_mm256_srli_epi64(x, 32), gain)};
    }
    static Products in_order(Products p) noexcept
    {
        const Int low = _mm256_unpacklo_epi64(p.a, p.b);
        const Int high = _mm256_unpackhi_epi64(p.a, p.b);
        return {_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)};
    }
    template <int words> static Int pick(Int a, Int b) noexcept
    {
        const __m256 both = _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), words);
        return _mm256_permute4x64_epi64(_mm256_castps_si256(both), _MM_SHUFFLE(3, 1, 2, 0));
    }
    static Int low_words(Int a, Int b) noexcept { return pick<_MM_SHUFFLE(2, 0, 2, 0)>(a, b); }
    static Int high_words(Int a, Int b) noexcept { return pick<_MM_SHUFFLE(3, 1, 3, 1)>(a, b); }

    static __m128i load128(const std::byte* at) noexcept
    {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    }
    static __m128i load64(const std::byte* at) noexcept
    {
        return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    }
    static Int load_u8(const std::byte* at) noexcept { return _mm256_cvtepu8_epi32(load64(at)); }
    static Int load_s16(const std::byte* at) noexcept { return _mm256_cvtepu16_epi32(load128(at)); }
    // 16 bytes and the 8 that follow: bytes 0 ... 11 for the lower half, 12 ... 23 for the upper one.
    static Int load_24_high(const std::byte* at) noexcept
    {
        const Int all = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(at)), load64(at + 16), 1);
        const Int halves = _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0));
        const Int spread =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, 0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11));
        return _mm256_shuffle_epi8(halves, spread);
    }
    static void store_24(std::byte* out, Int x) noexcept
    {
        const Int squeeze =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
        const Int all =
            _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(x, squeeze), _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(all));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16), _mm256_extracti128_si256(all, 1));
    }

    static Float load_float(const std::byte* at) noexcept { return _mm256_castsi256_ps(fetch(at)); }
    static Float zero_float() noexcept { return _mm256_setzero_ps(); }
    static Float add_float(Float a, Float b) noexcept { return _mm256_add_ps(a, b); }
    // Half up: floor(x * 2^31 + 1/2), exact because this thread rounds down. 0x80000000 where it does not fit.
    static Int round(Float x) noexcept
    {
        return _mm256_cvtps_epi32(_mm256_fmadd_ps(x, _mm256_set1_ps(0x1p31f), _mm256_set1_ps(0.5f)));
    }
    static Int round_any(Float x) noexcept
    {
        const Int above = _mm256_castps_si256(_mm256_cmp_ps(x, _mm256_set1_ps(1.0f), _CMP_GE_OQ));
        const Int number = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_ORD_Q));
        return _mm256_and_si256(_mm256_xor_si256(round(x), above), number);
    }
    static Clipped none_clipped() noexcept { return zero(); }
    static Clipped note_clipped(Clipped before, Int rounded) noexcept { return _mm256_min_epi32(before, rounded); }
    static bool any_clipped(Clipped lowest) noexcept
    {
        return _mm256_movemask_epi8(_mm256_cmpeq_epi32(lowest, fill(0x80000000))) != 0;
    }
    static Int truncate_shl24(Float x) noexcept
    {
        return _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(0x1p24f)));
    }
};

} // namespace

constinit const Table avx2 = make_table<Avx2>("avx2", avx2_resampling);

} // namespace ringmix::kernels
