// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernels for SSE2, the baseline of x86-64.

#include "kernels/table.h"
#include "kernels/x86.h"

namespace ringmix::kernels {

extern const Table sse2;
extern const Resampling sse2_resampling;

namespace {

struct Sse2 {
    using Int = __m128i;
    using Float = __m128;
    using Clipped = __m128i;
    using NoGuard = NoGuardX86;
    using FloatGuard = RoundDown;
    template <class Fast, class> using BestFloat = Fast;
    static constexpr std::size_t width = 4;
    static constexpr int scale = 1;

    static Int load(const std::byte* at) noexcept { return _mm_loadu_si128(reinterpret_cast<const Int*>(at)); }
    // Of a lane, which may change under our hands: loaded once, even where it is used twice.
    static Int fetch(const std::byte* at) noexcept
    {
        Int x = load(at);
        asm("" : "+x"(x));
        return x;
    }
    static void store(std::byte* at, Int x) noexcept { _mm_storeu_si128(reinterpret_cast<Int*>(at), x); }
    static Int zero() noexcept { return _mm_setzero_si128(); }
    static Int fill(std::uint32_t x) noexcept { return _mm_set1_epi32(static_cast<int>(x)); }
    static Int fill64(std::int64_t x) noexcept { return _mm_set1_epi64x(x); }

    static Int add(Int a, Int b) noexcept { return _mm_add_epi32(a, b); }
    static Int sub(Int a, Int b) noexcept { return _mm_sub_epi32(a, b); }
    static Int add16(Int a, Int b) noexcept { return _mm_add_epi16(a, b); }
    static Int sub16(Int a, Int b) noexcept { return _mm_sub_epi16(a, b); }
    static Int add64(Int a, Int b) noexcept { return _mm_add_epi64(a, b); }
    static Int bit_and(Int a, Int b) noexcept { return _mm_and_si128(a, b); }
    static Int bit_or(Int a, Int b) noexcept { return _mm_or_si128(a, b); }
    static Int bit_xor(Int a, Int b) noexcept { return _mm_xor_si128(a, b); }
    template <int n> static Int shl(Int x) noexcept { return _mm_slli_epi32(x, n); }
    template <int n> static Int shl16(Int x) noexcept { return _mm_slli_epi16(x, n); }
    template <int n> static Int shl64(Int x) noexcept { return _mm_slli_epi64(x, n); }
    template <int n> static Int srl(Int x) noexcept { return _mm_srli_epi32(x, n); }
    template <int n> static Int srl16(Int x) noexcept { return _mm_srli_epi16(x, n); }
    template <int n> static Int sra(Int x) noexcept { return _mm_srai_epi32(x, n); }
    template <int n> static Int sra16(Int x) noexcept { return _mm_srai_epi16(x, n); }

    static Int select(Int mask, Int a, Int b) noexcept
    {
        return _mm_or_si128(_mm_and_si128(mask, a), _mm_andnot_si128(mask, b));
    }
    static Int if_equal(Int a, Int b, Int x, Int y) noexcept { return select(_mm_cmpeq_epi32(a, b), x, y); }
    static Int if_equal16(Int a, Int b, Int x, Int y) noexcept { return select(_mm_cmpeq_epi16(a, b), x, y); }
    static Int min(Int a, Int b) noexcept { return select(_mm_cmplt_epi32(a, b), a, b); }
    static Int max(Int a, Int b) noexcept { return select(_mm_cmplt_epi32(a, b), b, a); }

    static Int pack16(Int a, Int b) noexcept { return _mm_packs_epi32(a, b); }
    static Int low_s16(Int x) noexcept { return sra<16>(_mm_unpacklo_epi16(x, x)); }
    static Int high_s16(Int x) noexcept { return sra<16>(_mm_unpackhi_epi16(x, x)); }

    struct Products {
        Int a;
        Int b;
    };
    static Products widen(Int x) noexcept
    {
        const Int sign = sra<31>(x);
        return {_mm_unpacklo_epi32(x, sign), _mm_unpackhi_epi32(x, sign)};
    }
    // Signed times unsigned, of the samples 0, 2 and 1, 3: an unsigned product, corrected.
    static Products multiply(Int x, Int gain) noexcept
    {
        const Int correction = _mm_and_si128(sra<31>(x), gain);
        return {_mm_sub_epi64(_mm_mul_epu32(x, gain), shl64<32>(correction)),
                _mm_sub_epi64(_mm_mul_epu32(_mm_srli_epi64(x, 32), gain), shl64<32>(_mm_srli_epi64(correction, 32)))};
    }
    static Products in_order(Products p) noexcept
    {
        return {_mm_unpacklo_epi64(p.a, p.b), _mm_unpackhi_epi64(p.a, p.b)};
    }
    template <int words> static Int pick(Int a, Int b) noexcept
    {
        return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), words));
    }
    static Int low_words(Int a, Int b) noexcept { return pick<_MM_SHUFFLE(2, 0, 2, 0)>(a, b); }
    static Int high_words(Int a, Int b) noexcept { return pick<_MM_SHUFFLE(3, 1, 3, 1)>(a, b); }

    static std::uint32_t word(const std::byte* at) noexcept
    {
        std::uint32_t x;
        __builtin_memcpy(&x, at, sizeof x);
        return x;
    }
    static Int load_u8(const std::byte* at) noexcept
    {
        const Int bytes = _mm_cvtsi32_si128(static_cast<int>(word(at)));
        return _mm_unpacklo_epi16(_mm_unpacklo_epi8(bytes, zero()), zero());
    }
    static Int load_s16(const std::byte* at) noexcept
    {
        const Int words = _mm_loadl_epi64(reinterpret_cast<const Int*>(at));
        return _mm_unpacklo_epi16(words, zero());
    }
    // Four samples are three words; each comes out in the high bytes.
    static Int load_24_high(const std::byte* at) noexcept
    {
        const std::uint32_t a = word(at);
        const std::uint32_t b = word(at + 4);
        const std::uint32_t c = word(at + 8);
        const std::uint32_t x[4] = {a << 8, (a >> 24 | b << 8) << 8, (b >> 16 | c << 16) << 8, c};
        const Int high = load(reinterpret_cast<const std::byte*>(x));
        return _mm_andnot_si128(fill(0xff), high);
    }
    static void store_24(std::byte* out, Int samples) noexcept
    {
        alignas(16) std::uint32_t x[4];
        store(reinterpret_cast<std::byte*>(x), _mm_and_si128(samples, fill(0xffffff)));
        const std::uint32_t words[3] = {x[0] | x[1] << 24, x[1] >> 8 | x[2] << 16, x[2] >> 16 | x[3] << 8};
        __builtin_memcpy(out, words, sizeof words);
    }

    static Float load_float(const std::byte* at) noexcept { return _mm_castsi128_ps(fetch(at)); }
    static Float zero_float() noexcept { return _mm_setzero_ps(); }
    static Float add_float(Float a, Float b) noexcept { return _mm_add_ps(a, b); }
    // Half up: floor(x * 2^31 + 1/2), exact because this thread rounds down. 0x80000000 where it does not fit.
    static Int round(Float x) noexcept
    {
        return _mm_cvtps_epi32(_mm_add_ps(_mm_mul_ps(x, _mm_set1_ps(0x1p31f)), _mm_set1_ps(0.5f)));
    }
    static Int round_any(Float x) noexcept
    {
        const Int above = _mm_castps_si128(_mm_cmpge_ps(x, _mm_set1_ps(1.0f)));
        const Int number = _mm_castps_si128(_mm_cmpord_ps(x, x));
        return _mm_and_si128(_mm_xor_si128(round(x), above), number);
    }
    static Clipped none_clipped() noexcept { return zero(); }
    static Clipped note_clipped(Clipped before, Int rounded) noexcept
    {
        return _mm_or_si128(before, _mm_cmpeq_epi32(rounded, fill(0x80000000)));
    }
    static bool any_clipped(Clipped clipped) noexcept { return _mm_movemask_epi8(clipped) != 0; }
    static Int truncate_shl24(Float x) noexcept { return _mm_cvtps_epi32(_mm_mul_ps(x, _mm_set1_ps(0x1p24f))); }
};

} // namespace

constinit const Table sse2 = make_table<Sse2>("sse2", sse2_resampling);

} // namespace ringmix::kernels
