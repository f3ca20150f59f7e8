// SPDX-License-Identifier: LGPL-2.1-or-later
//
// heard.cpp: what is to be heard of a signal, at the device's rate and converted to it.

#include "support.h"

#include "client/conversion.h"
#include "ringmix/abi.h"

#include <algorithm>
#include <cstdlib>

namespace ringmix::test {

namespace {

const core::RateMap& rate_map()
{
    static const core::RateMap map =
        client::Conversion(abi::format_s32, 1, client_rate(), device_rate, 1).map(); // only asked for while converting
    return map;
}

core::ClientFrame client_frame(std::uint64_t frame) { return {static_cast<std::int64_t>(frame)}; }

std::uint64_t frame_number(core::StreamFrame frame)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(frame.number, 0));
}

// Lanes of converted sound have 12 dB above full scale.
std::int32_t device_sample(std::int32_t high)
{
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(std::int64_t{high} * 4, INT32_MIN, INT32_MAX));
}

} // namespace

unsigned client_rate()
{
    const char* rate = std::getenv("RINGMIX_TEST_RATE");
    return rate == nullptr ? device_rate : static_cast<unsigned>(std::atoi(rate));
}

std::uint64_t heard_frames(std::uint64_t count)
{
    return converting() ? static_cast<std::uint64_t>(rate_map().end_without(client_frame(count)).number) : count;
}

std::vector<std::int32_t> heard(const Signal& signal, std::uint64_t from, std::uint64_t count, std::uint64_t position)
{
    const unsigned channels = signal.channels();
    std::vector<std::int32_t> samples(heard_frames(position + count) * channels);
    if (!converting()) {
        for (std::size_t i = position * channels; i < samples.size(); i++)
            samples[i] = signal.expected(from + i / channels - position, static_cast<unsigned>(i % channels));
        return samples;
    }
    const std::vector<std::byte> bytes = signal.frames(from, count);
    std::vector<client::ChannelArea> areas;
    for (unsigned c = 0; c < channels; c++)
        areas.push_back({bytes.data() + c * signal.sample_bytes(), channels * signal.sample_bytes()});
    const auto begin = static_cast<std::int64_t>(position), end = static_cast<std::int64_t>(position + count);
    client::Conversion conversion(signal.ringmix_format(), channels, client_rate(), device_rate, position + count);
    conversion.clear();
    conversion.silence(0, begin);
    conversion.put(begin, areas, 0, count);
    conversion.silence(end, end + conversion.map().taps());
    conversion.begin_with({0});
    conversion.copy(reinterpret_cast<std::byte*>(samples.data()), 0, samples.size() / channels);
    std::transform(samples.begin(), samples.end(), samples.begin(), device_sample);
    return samples;
}

std::uint64_t Recording::Stream::played() const
{
    if (!converting())
        return frames();
    const std::int64_t clear = rate_map().first_tap({static_cast<std::int64_t>(frames())}).number;
    const std::int64_t step = client_rate() / device_rate + 1;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(clear - step, 0));
}

const Recording::Stream* Recording::stream_at(std::uint64_t at) const
{
    const Stream* found = nullptr;
    for (const Stream& stream : streams)
        if (stream.first <= at && (found == nullptr || stream.first > found->first))
            found = &stream;
    return found;
}

std::int64_t Recording::differs(std::uint64_t at, const Signal& signal, std::uint64_t from, std::uint64_t count) const
{
    const Stream* stream = stream_at(at);
    REQUIRE(stream != nullptr);
    const std::uint64_t position = at - stream->first;
    const std::vector<std::int32_t> expected = heard(signal, from, count, position);
    // What has been there before, and what comes behind, is of no concern.
    const std::uint64_t first = position == 0 ? 0 : heard_frames(position);
    const std::uint64_t end =
        converting() ? frame_number(rate_map().first_with(client_frame(position + count))) : position + count;
    for (std::uint64_t i = first; i < end; i++)
        for (unsigned c = 0; c < channels; c++) {
            const std::uint64_t frame = stream->first + i;
            if (frame >= frames() || (!fading(frame) && samples[frame * channels + c] != expected[i * channels + c]))
                return static_cast<std::int64_t>(i - first);
        }
    return -1;
}

std::int64_t Recording::sounds(std::uint64_t at, std::uint64_t end) const
{
    if (converting()) {
        if (const Stream* stream = stream_at(end); stream != nullptr && !is_edge(end))
            end = stream->first + frame_number(rate_map().first_with(client_frame(end - stream->first)));
        if (const Stream* stream = stream_at(at); stream != nullptr && !is_edge(at))
            at = stream->first + heard_frames(at - stream->first);
    }
    for (; at < end && at < frames(); at++)
        for (unsigned c = 0; c < channels; c++)
            if (!fading(at) && samples[at * channels + c] != 0)
                return static_cast<std::int64_t>(at);
    return -1;
}

// Where the recording or a stream begins or ends: no number of a program's frames is meant.
bool Recording::is_edge(std::uint64_t at) const
{
    return at >= frames() || std::any_of(streams.begin(), streams.end(), [&](const Stream& stream) {
               const auto full = static_cast<std::uint64_t>(stream.last + 1);
               return at == stream.first || at == full || at == full + stream.fade;
           });
}

} // namespace ringmix::test
