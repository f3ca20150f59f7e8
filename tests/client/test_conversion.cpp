// SPDX-License-Identifier: LGPL-2.1-or-later
#include "client/conversion.h"
#include "ringmix/abi.h"
#include "tests/kernels/dice.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

using namespace ringmix;
using client::ChannelArea;
using client::Conversion;
using test::Dice;

namespace {

constexpr std::uint64_t buffer = 700;

// Stream frames first ... first + frames - 1.
std::vector<std::int32_t> made(Conversion& conversion, std::int64_t first, std::uint64_t frames)
{
    std::vector<std::int32_t> out(frames * conversion.channels());
    conversion.begin_with({first});
    conversion.copy(reinterpret_cast<std::byte*>(out.data()), 0, frames);
    return out;
}

} // namespace

TEST_CASE("conversion: sound in any portions, side by side or apart, round and round its memory")
{
    Dice dice(5);
    for (const std::uint32_t rate : {44100u, 96000u, 8000u, 44099u})
        for (const std::uint32_t channels : {1u, 2u, 3u}) {
            Conversion conversion(abi::format_s16, channels, rate, 48000, buffer);
            conversion.clear();
            constexpr std::uint64_t length = 5000;
            Conversion whole(abi::format_s16, channels, rate, 48000, length);
            whole.clear();
            std::vector<std::int16_t> together(length * channels);
            std::vector<std::int16_t> apart(length * channels);
            for (std::uint64_t i = 0; i < length; i++)
                for (std::uint32_t c = 0; c < channels; c++)
                    together[i * channels + c] = apart[c * length + i] = static_cast<std::int16_t>(dice.word());
            const auto areas = [&](bool side_by_side) {
                std::vector<ChannelArea> list;
                for (std::uint32_t c = 0; c < channels; c++)
                    list.push_back(side_by_side
                                       ? ChannelArea{reinterpret_cast<const std::byte*>(&together[c]), 2 * channels}
                                       : ChannelArea{reinterpret_cast<const std::byte*>(&apart[c * length]), 2});
                return list;
            };
            whole.put(0, areas(false), 0, length);
            std::int64_t next = 0; // the first stream frame that has not been compared
            for (std::uint64_t at = 0; at < length;) {
                const std::uint64_t frames =
                    std::min<std::uint64_t>(length - at, dice.between(1, dice.once_in(3) ? 600 : 20));
                conversion.put(static_cast<std::int64_t>(at), areas(dice.once_in(2)), at, frames);
                at += frames;
                const std::int64_t can = conversion.map().first_with({static_cast<std::int64_t>(at)}).number;
                if (can <= next)
                    continue;
                const auto count = static_cast<std::uint64_t>(can - next);
                REQUIRE(made(conversion, next, count) == made(whole, next, count));
                next = can;
            }
            CHECK(next > 700);
        }
}

TEST_CASE("conversion: before the beginning and in a gap there is silence")
{
    Conversion conversion(abi::format_s16, 1, 44100, 48000, buffer);
    conversion.clear();
    CHECK(made(conversion, 0, 50) == std::vector<std::int32_t>(50));
    const std::vector<std::int16_t> loud(buffer, 30000);
    const std::vector<ChannelArea> area{{reinterpret_cast<const std::byte*>(loud.data()), 2}};
    for (std::int64_t at = 0; at < 4000; at += buffer)
        conversion.put(at, area, 0, buffer);
    conversion.silence(4200, 1'000'000); // more than it holds
    const std::int64_t first = conversion.map().end_without({1'000'000 - 500}).number;
    CHECK(made(conversion, first, 300) == std::vector<std::int32_t>(300));
}

TEST_CASE("conversion: a steady level stays what it is")
{
    for (const std::uint32_t rate : {44100u, 192000u, 8000u}) {
        Conversion conversion(abi::format_float, 1, rate, 48000, 4000);
        conversion.clear();
        const std::vector<float> half(4000, 0.5f);
        const std::vector<ChannelArea> area{{reinterpret_cast<const std::byte*>(half.data()), 4}};
        conversion.put(0, area, 0, half.size());
        const std::int64_t first = conversion.map().end_without({0}).number;
        const std::int64_t end = conversion.map().first_with({4000}).number;
        REQUIRE(end > first);
        for (const std::int32_t x : made(conversion, first, static_cast<std::uint64_t>(end - first)))
            REQUIRE(std::abs(x - (1 << 28)) < 200); // 3 units of 24 bits
    }
}

TEST_CASE("conversion: of fewer channels than the client has, the same however it is put")
{
    Dice dice(7);
    constexpr std::uint32_t channels = 6;
    constexpr std::uint64_t length = 2000;
    core::Routing routing;
    const std::uint8_t positions[] = {3, 4, 5, 6, 7, 8}; // 5.1
    REQUIRE(core::route(positions, std::span(positions).first(2), core::Downmixing::loud, routing));
    std::vector<std::int16_t> samples(length * channels);
    for (std::int16_t& x : samples)
        x = static_cast<std::int16_t>(dice.word());
    std::vector<ChannelArea> areas;
    for (std::uint32_t c = 0; c < channels; c++)
        areas.push_back({reinterpret_cast<const std::byte*>(&samples[c]), 2 * channels});
    for (const std::uint32_t rate : {44100u, 96000u, 8000u}) {
        Conversion summed(abi::format_s16, channels, rate, 48000, length, &routing.downmix);
        Conversion portions(abi::format_s16, channels, rate, 48000, length, &routing.downmix);
        Conversion apart(abi::format_s16, channels, rate, 48000, length);
        for (Conversion* conversion : {&summed, &portions, &apart})
            conversion->clear();
        REQUIRE(summed.channels() == 2);
        summed.put(0, areas, 0, length);
        apart.put(0, areas, 0, length);
        for (std::uint64_t at = 0, count = 0; at < length; at += count) {
            count = std::min<std::uint64_t>(length - at, dice.between(1, 200));
            portions.put(static_cast<std::int64_t>(at), areas, at, count);
        }
        const auto frames = static_cast<std::uint64_t>(summed.map().first_with({length}).number);
        const std::vector<std::int32_t> heard = made(summed, 0, frames), each = made(apart, 0, frames);
        CHECK(made(portions, 0, frames) == heard);
        double worst = 0;
        for (std::uint64_t i = 0; i < frames; i++)
            for (std::uint32_t to = 0; to < 2; to++) {
                double sum = 0;
                for (std::uint32_t c = 0; c < channels; c++)
                    sum += static_cast<double>(routing.downmix.weights[to][c]) * each[i * channels + c];
                worst = std::max(worst, std::abs(sum - heard[i * 2 + to]));
            }
        CHECK(worst < 8 * 64); // units of 24 bits at 12 dB above full scale
    }
}

TEST_CASE("mixed frames: the sums of channels, the same in any portions, cut at 12 dB above full scale")
{
    Dice dice(8);
    constexpr std::uint32_t channels = 4;
    constexpr std::uint64_t length = 1000;
    core::Downmix downmix;
    downmix.from = channels;
    downmix.to = 2;
    downmix.weights[0] = {1, 0.5f, 0, 0.25f};
    downmix.weights[1] = {0, 1, 0, 4};
    std::vector<float> samples(length * channels);
    for (float& x : samples)
        x = static_cast<float>(static_cast<std::int32_t>(dice.word())) * 0x1p-31f;
    samples[4 * 10 + 2] = std::numeric_limits<float>::quiet_NaN(); // of a channel that nobody hears
    samples[4 * 20 + 3] = 3.0f;
    samples[4 * 21 + 3] = -3.0f;
    std::vector<ChannelArea> areas;
    for (std::uint32_t c = 0; c < channels; c++)
        areas.push_back({reinterpret_cast<const std::byte*>(&samples[c]), 4 * channels});
    client::MixedFrames mixed(areas, abi::format_float, downmix);
    std::vector<std::int32_t> whole(length * 2), parts(length * 2);
    mixed.copy(reinterpret_cast<std::byte*>(whole.data()), 0, length);
    for (std::uint64_t at = 0, count = 0; at < length; at += count) {
        count = std::min<std::uint64_t>(length - at, dice.between(1, 150));
        mixed.copy(reinterpret_cast<std::byte*>(&parts[at * 2]), at, count);
    }
    CHECK(whole == parts);
    for (std::uint64_t i = 0; i < length; i++)
        for (std::uint32_t to = 0; to < 2; to++) {
            double sum = 0;
            for (std::uint32_t c = 0; c < channels; c++)
                if (c != 2)
                    sum += static_cast<double>(downmix.weights[to][c]) * static_cast<double>(samples[i * channels + c]);
            const double wanted = std::clamp(sum * 0x1p29, -0x1p31, 0x1p31 - 1);
            REQUIRE(std::abs(whole[i * 2 + to] - wanted) < 4 * 64);
        }
}

TEST_CASE("rate filters: made once, shared by all who use them at a time, in any thread")
{
    std::vector<std::shared_ptr<const client::RateFilter>> filters(8);
    std::vector<std::thread> threads;
    for (auto& filter : filters)
        threads.emplace_back([&filter] { filter = client::rate_filter(44100, 48000); });
    for (auto& thread : threads)
        thread.join();
    for (const auto& filter : filters)
        CHECK(filter == filters[0]);
    CHECK(client::rate_filter(48000, 44100) != filters[0]);
    CHECK(reinterpret_cast<std::uintptr_t>(filters[0]->rows().rows) % 64 == 0);
    for (std::uint32_t rate = 30000; rate < 30020; rate++)
        CHECK(client::rate_filter(rate, 48000)->shape() == core::filter_shape(rate, 48000));
    CHECK(client::rate_filter(44100, 48000) == filters[0]); // in use: not forgotten
}
