// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every variant of the kernels that this processor can run, against sums in 128 bits.
#include "core/format.h"
#include "core/gain.h"
#include "kernels/kernels.h"
#include "kernels/mix.h"
#include "tests/kernels/dice.h"
#include "tests/kernels/guarded.h"
#include "tests/kernels/sums.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cfenv>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

using namespace ringmix;
using namespace ringmix::core;
using namespace ringmix::kernels;
using ringmix::test::Dice;

namespace {

using test::Exact;

constexpr std::uint32_t formats[] = {abi::format_u8,  abi::format_s16,   abi::format_s24,     abi::format_s24_3,
                                     abi::format_s32, abi::format_float, abi::format_s32_high};
constexpr std::uint32_t device_formats[] = {abi::format_s16, abi::format_s24, abi::format_s24_3, abi::format_s32,
                                            abi::format_float};

template <class Check> void each_variant(Check check)
{
    for (const Table* const* variant = usable(); *variant != nullptr; ++variant) {
        CAPTURE((*variant)->name);
        check(**variant);
    }
}

// What a set of samples is like.
enum class Content { any, extremes, loud, quiet, broken };
constexpr Content contents[] = {Content::any, Content::extremes, Content::loud, Content::quiet, Content::broken};

std::uint32_t float_bits(Dice& dice, Content content)
{
    static constexpr float edges[] = {1.0f, -1.0f, 0.99999994f, -0.99999994f, 1.0000001f, -1.0000001f, 0.0f, -0.0f};
    static constexpr std::uint32_t faults[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
                                               0xff800001, 0x7fffffff, 0xffffffff, 0x00000001, 0x807fffff};
    // Halves of a unit of 2^-31 and their neighbours, where it is rounded.
    const auto half = static_cast<float>(static_cast<int>(dice.below(4001)) - 2000) * 0x1p-32f;
    switch (content) {
    case Content::any:
        return std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(dice.word())) * 0x1p-31f);
    case Content::extremes:
        return std::bit_cast<std::uint32_t>(edges[dice.below(std::size(edges))]);
    case Content::loud:
        return std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(dice.word())) * 0x1p-29f);
    case Content::quiet:
        return std::bit_cast<std::uint32_t>(half) + dice.below(3) - 1;
    default:
        return dice.once_in(2) ? faults[dice.below(std::size(faults))] : static_cast<std::uint32_t>(dice.word());
    }
}

void fill(Dice& dice, std::byte* at, std::uint32_t format, std::size_t samples, Content content)
{
    const std::size_t bytes = sample_bytes(format);
    const std::uint64_t top = std::uint64_t{1} << (format == abi::format_s24 ? 23 : 8 * bytes - 1);
    for (std::size_t i = 0; i < samples; ++i, at += bytes) {
        std::uint64_t bits = dice.word();
        if (format == abi::format_float)
            bits = float_bits(dice, content);
        else if (content == Content::extremes || content == Content::loud)
            bits = dice.once_in(2) ? top : top - 1;
        else if (content == Content::quiet)
            bits = (bits & 3) - 1;
        for (std::size_t k = 0; k < bytes; ++k)
            at[k] = static_cast<std::byte>(bits >> (8 * k));
    }
}

// Some lanes of one format, each at any address, ending (or beginning) at a page that cannot be read.
class Lanes {
public:
    Lanes(Dice& dice, std::uint32_t format, std::size_t count, std::size_t samples, Content content) : format_(format)
    {
        memory_.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t bytes = samples * sample_bytes(format);
            const std::size_t shift = dice.once_in(2) ? 0 : dice.below(65);
            const bool at_start = dice.once_in(2);
            memory_.push_back(std::make_unique<test::Guarded>(std::max<std::size_t>(bytes + shift, 1), at_start));
            std::byte* cells = memory_.back()->data() + (at_start ? shift : 0);
            fill(dice, cells, format, samples, content);
            const std::uint32_t gains[] = {0, 1, abi::unity_gain, max_gain, dice.below(max_gain)};
            sources_.push_back({cells, gains[dice.below(std::size(gains))]});
        }
    }
    const Source* data() const { return sources_.data(); }
    std::size_t count() const { return sources_.size(); }
    // In 2^53 scale.
    Exact sum(std::size_t i, bool with_gain) const
    {
        Exact sum = 0;
        for (const Source& source : sources_)
            sum += Exact{test::sample32(source.cells + i * sample_bytes(format_), format_)} *
                   (with_gain ? source.gain : abi::unity_gain);
        return sum;
    }

private:
    std::uint32_t format_;
    std::vector<std::unique_ptr<test::Guarded>> memory_;
    std::vector<Source> sources_;
};

// Where a device's samples go: at any address, between canaries.
class Output {
public:
    Output(Dice& dice, std::uint32_t format, std::size_t samples)
        : format_(format), samples_(samples), start_(16 + dice.below(65)),
          bytes_(start_ + samples * sample_bytes(format) + 128, canary)
    {
    }
    std::byte* data() { return bytes_.data() + start_; }
    template <class Expected> bool holds(Expected expected) const
    {
        const std::size_t bytes = sample_bytes(format_);
        bool right = true;
        for (std::size_t i = 0; i < samples_; ++i)
            right &= test::number(&bytes_[start_ + i * bytes], bytes) == expected(i);
        for (std::size_t i = 0; i < bytes_.size(); ++i)
            right &= (i >= start_ && i < start_ + samples_ * bytes) || bytes_[i] == canary;
        return right;
    }

private:
    static constexpr std::byte canary{0xa5};
    std::uint32_t format_;
    std::size_t samples_;
    std::size_t start_;
    std::vector<std::byte> bytes_;
};

// Whether a kernel adds the sums of the lanes to what is there, and to nothing around it.
template <class Number, class Add>
bool adds_rightly(Dice& dice, Add* add, const Lanes& lanes, std::size_t samples, int scale, bool with_gain)
{
    constexpr std::size_t room = 3; // also shifts the address
    std::vector<Number> sums(samples + 2 * room);
    for (Number& sum : sums)
        sum = static_cast<Number>(dice.below(1000)) - 500;
    const std::vector<Number> before = sums;
    add(sums.data() + room, lanes.data(), lanes.count(), samples);
    bool right = true;
    for (std::size_t i = 0; i < sums.size(); ++i) {
        const bool inside = i >= room && i < room + samples;
        right &= sums[i] == before[i] + (inside ? lanes.sum(i - room, with_gain) >> scale : 0);
    }
    return right;
}

void check_lanes(Dice& dice, const Table& k, std::uint32_t format, const Lanes& lanes, std::size_t samples)
{
    if (k.add_narrow[format] != nullptr)
        REQUIRE(adds_rightly<std::int32_t>(dice, k.add_narrow[format], lanes, samples, 30, false));
    if (k.add_wide[format] != nullptr)
        REQUIRE(adds_rightly<std::int64_t>(dice, k.add_wide[format], lanes, samples, 0, false));
    REQUIRE(adds_rightly<std::int64_t>(dice, k.add_gain[format], lanes, samples, 0, true));
    for (const std::uint32_t device : device_formats) {
        if (k.mix[format][device] == nullptr)
            continue;
        CAPTURE(device);
        Output out(dice, device, samples);
        k.mix[format][device](out.data(), lanes.data(), lanes.count(), samples);
        REQUIRE(out.holds([&](std::size_t i) { return test::device_sample(lanes.sum(i, false), device); }));
    }
}

} // namespace

TEST_CASE("kernels: there is plain C++, and what is used can be used")
{
    const Table* const* variant = usable();
    bool found = false;
    std::string_view last;
    for (; *variant != nullptr; ++variant) {
        found |= *variant == &chosen();
        last = (*variant)->name;
    }
    CHECK(last == "plain");
    CHECK(found);
    const char* wanted = std::getenv("RINGMIX_SIMD");
    if (wanted == nullptr) {
        CHECK(&chosen() == usable()[0]);
        return;
    }
    for (variant = usable(); *variant != nullptr; ++variant)
        if (std::string_view{(*variant)->name} == wanted)
            CHECK(&chosen() == *variant);
}

TEST_CASE("kernels: any number of lanes of any length at any address add up to the reference")
{
    Dice dice(31);
    each_variant([&](const Table& k) {
        for (const std::uint32_t format : formats)
            for (int round = 0; round < 60; ++round) {
                const std::size_t count = dice.once_in(4) ? 64 : dice.below(6);
                const std::size_t samples = dice.once_in(3) ? dice.below(700) : dice.below(70);
                const Content content = contents[dice.below(std::size(contents))];
                INFO("format ", format, " lanes ", count, " samples ", samples, " content ", static_cast<int>(content));
                const Lanes lanes(dice, format, count, samples, content);
                check_lanes(dice, k, format, lanes, samples);
            }
    });
}

TEST_CASE("kernels: every length up to a few tiles")
{
    Dice dice(32);
    each_variant([&](const Table& k) {
        for (const std::uint32_t format : formats)
            for (std::size_t samples = 0; samples < 300; samples += samples < 140 ? 1 : 7) {
                INFO("format ", format, " samples ", samples);
                const Lanes lanes(dice, format, 2, samples, Content::any);
                check_lanes(dice, k, format, lanes, samples);
            }
    });
}

TEST_CASE("kernels: 64 lanes of the extremes, all alike, do not overflow")
{
    Dice dice(33);
    each_variant([&](const Table& k) {
        for (const std::uint32_t format : formats)
            for (const int edge : {0x00, 0x7f, 0x80, 0xff}) {
                INFO("format ", format, " edge ", edge);
                constexpr std::size_t samples = 67;
                std::vector<std::byte> cells(samples * sample_bytes(format),
                                             static_cast<std::byte>(edge == 0x7f   ? 0xff
                                                                    : edge == 0x80 ? 0
                                                                                   : edge));
                for (std::size_t i = sample_bytes(format); i <= cells.size(); i += sample_bytes(format))
                    cells[i - 1] = static_cast<std::byte>(format == abi::format_float ? edge & 0xbf : edge);
                const std::vector<Source> sources(64, {cells.data(), max_gain});
                Exact one = test::sample32(cells.data(), format);
                for (const std::uint32_t device : device_formats) {
                    std::vector<std::int64_t> wide(samples);
                    const std::vector<std::int32_t> narrow(samples);
                    k.add_gain[format](wide.data(), sources.data(), 64, samples);
                    Output sum(dice, device, samples);
                    k.finalize[device](sum.data(), narrow.data(), wide.data(), samples);
                    CHECK(sum.holds([&](std::size_t) { return test::device_sample(one * 64 * max_gain, device); }));
                    if (k.mix[format][device] == nullptr)
                        continue;
                    Output out(dice, device, samples);
                    k.mix[format][device](out.data(), sources.data(), 64, samples);
                    CHECK(out.holds(
                        [&](std::size_t) { return test::device_sample(one * 64 * abi::unity_gain, device); }));
                }
            }
    });
}

TEST_CASE("kernels: sums are rounded and saturated alike by all")
{
    Dice dice(34);
    std::vector<std::int32_t> edges;
    for (const std::int32_t edge : {0, 127, 128, 0x7fffff, 0x800000, -0x800000, -0x800080, -0x7fff80, 0x7fff80})
        for (std::int32_t d = -2; d <= 2; ++d)
            edges.push_back(edge + d);
    // Near halves of a float's last bit, and near full scale.
    const auto wide_edge = [&] {
        const std::int64_t odd = static_cast<std::int64_t>(dice.below(1 << 25)) - (1 << 24);
        const std::int64_t full = (dice.once_in(2) ? 1 : -1) * (std::int64_t{1} << 53);
        const std::int64_t near = static_cast<std::int64_t>(dice.below(5)) - 2;
        return (dice.once_in(3) ? full - (near << dice.below(30)) : odd << dice.below(29)) + near;
    };
    each_variant([&](const Table& k) {
        for (const std::uint32_t device : device_formats)
            for (int round = 0; round < 300; ++round) {
                const std::size_t samples = dice.below(round < 150 ? 150 : 20);
                std::vector<std::int32_t> narrow(samples);
                std::vector<std::int64_t> wide(samples);
                for (std::size_t i = 0; i < samples; ++i) {
                    narrow[i] = dice.once_in(2) ? edges[dice.below(edges.size())]
                                                : (static_cast<std::int32_t>(dice.word()) >> (1 + dice.below(24)));
                    wide[i] = static_cast<std::int64_t>(dice.word()) >> (1 + dice.below(62));
                    if (dice.once_in(3)) {
                        narrow[i] = 0;
                        wide[i] = wide_edge();
                    }
                }
                INFO("device ", device, " samples ", samples);
                Output alone(dice, device, samples);
                k.finalize[device](alone.data(), narrow.data(), nullptr, samples);
                REQUIRE(
                    alone.holds([&](std::size_t i) { return test::device_sample(Exact{narrow[i]} << 30, device); }));
                Output both(dice, device, samples);
                k.finalize[device](both.data(), narrow.data(), wide.data(), samples);
                REQUIRE(both.holds(
                    [&](std::size_t i) { return test::device_sample((Exact{narrow[i]} << 30) + wide[i], device); }));
            }
    });
}

TEST_CASE("kernels: a copy is a copy")
{
    Dice dice(35);
    each_variant([&](const Table& k) {
        for (std::size_t bytes = 0; bytes < 1200; bytes += bytes < 300 ? 1 : 37) {
            const Lanes lanes(dice, abi::format_u8, 1, bytes, Content::any);
            const std::byte* cells = lanes.data()[0].cells;
            Output out(dice, abi::format_s16, (bytes + 1) / 2);
            std::byte* end = out.data() + bytes;
            const std::byte after = *end;
            k.copy(out.data(), cells, bytes);
            CAPTURE(bytes);
            REQUIRE(std::equal(cells, cells + bytes, out.data()));
            REQUIRE(*end == after);
        }
    });
}

// The programs that the plugin is loaded into set such things.
TEST_CASE("kernels: the program's rounding mode and traps change nothing, and stay as they are")
{
    Dice dice(36);
    for (const int mode : {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO})
        each_variant([&](const Table& k) {
            for (int round = 0; round < 20; ++round) {
                const std::size_t samples = dice.below(200);
                const Lanes lanes(dice, abi::format_float, 1 + dice.below(5), samples, contents[dice.below(5)]);
                for (const std::uint32_t device : device_formats) {
                    if (k.mix[abi::format_float][device] == nullptr)
                        continue;
                    Output out(dice, device, samples);
                    std::fesetround(mode);
#if defined(__SSE__)
                    const unsigned before = _mm_getcsr();
                    constexpr unsigned flush_denormals = 0x8040;
                    constexpr unsigned invalid_masked_and_flags = 0xbf;
                    _mm_setcsr((before | flush_denormals) & ~invalid_masked_and_flags);
                    const unsigned during = _mm_getcsr();
#endif
                    k.mix[abi::format_float][device](out.data(), lanes.data(), lanes.count(), samples);
#if defined(__SSE__)
                    const bool kept = _mm_getcsr() == during;
                    _mm_setcsr(before);
                    REQUIRE(kept);
#endif
                    REQUIRE(std::fegetround() == mode);
                    std::fesetround(FE_TONEAREST);
                    REQUIRE(out.holds([&](std::size_t i) { return test::device_sample(lanes.sum(i, false), device); }));
                }
            }
        });
    std::fesetround(FE_TONEAREST);
}
