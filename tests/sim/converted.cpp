// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/converted.h"

#include "kernels/kernels.h"

#include <algorithm>

namespace ringmix::sim {

namespace {

// The arithmetic is the product's (tests/kernels/test_resample.cpp, tests/plugin/test_rates.cpp compare it with double
// precision): what is looked at here is of what, and where.
const kernels::Resampling& arithmetic() { return *kernels::chosen().resampling; }

} // namespace

Converted::Converted(const Voice& voice, std::uint32_t rate, std::uint32_t device_rate)
    : voice_(voice), filter_(client::rate_filter(rate, device_rate)),
      map_(core::RateMap::from_start(filter_->shape().ratio, filter_->shape().taps)),
      plane_(static_cast<std::size_t>(window) + map_.taps()), samples_(plane_ * voice.channels), versions_(plane_)
{
}

void Converted::write(std::uint32_t version, std::int64_t begin, std::int64_t end)
{
    if (version >= writings_.size())
        writings_.resize(std::size_t{version} + 1);
    writings_[version] = {begin, end, false};
    loaded_version_ = 0;
}

void Converted::put(std::uint32_t version, std::int64_t position) const
{
    const auto cell = static_cast<std::size_t>(position - base_);
    if (versions_[cell] == version)
        return;
    versions_[cell] = version;
    std::byte bytes[abi::max_channels * 4 + 4];
    if (version != 0)
        speak(voice_, version, static_cast<std::uint64_t>(position), bytes);
    const std::uint32_t step = bytes_of_sample(voice_.format);
    for (std::uint32_t c = 0; c < voice_.channels; c++) {
        float& sample = samples_[c * plane_ + cell];
        sample = 0;
        if (version != 0)
            arithmetic().load[voice_.format](&sample, bytes + std::size_t{c} * step, step, 1);
    }
}

// The last writing that begins there or before says what a frame is.
void Converted::load(std::uint32_t version, std::int64_t first, std::int64_t end) const
{
    const std::uint32_t newest = version;
    for (std::int64_t position = end - 1; position >= first; position--) {
        while (version > 0 && (writings_[version].begin > position || (writings_[version].last && version != newest)))
            version--;
        put(version > 0 && position < writings_[version].end ? version : 0, position);
    }
}

void Converted::values(std::uint32_t version, std::uint64_t frame, std::int64_t* out) const
{
    const core::StreamFrame wanted{static_cast<std::int64_t>(frame)};
    const std::int64_t first = map_.first_tap(wanted).number, end = first + map_.taps();
    if (first < base_ || end > base_ + static_cast<std::int64_t>(plane_)) { // elsewhere
        base_ = first;
        loaded_version_ = 0;
        std::fill(versions_.begin(), versions_.end(), 0);
        std::fill(samples_.begin(), samples_.end(), 0.0f);
    }
    if (version != loaded_version_ || first < from_ || first > loaded_) {
        load(version, first, end);
        from_ = first;
        loaded_ = end;
        loaded_version_ = version;
    } else if (end > loaded_) {
        load(version, loaded_, end);
        loaded_ = end;
    }
    std::int32_t samples[abi::max_channels];
    arithmetic().resample(
        samples, voice_.channels, samples_.data(), plane_, filter_->rows(),
        core::resample_walk(filter_->shape(), map_.moment(wanted).phase, static_cast<std::size_t>(first - base_)), 1);
    for (std::uint32_t c = 0; c < voice_.channels; c++)
        out[c] = std::int64_t{samples[c]} * 4; // the lane's samples have 12 dB above full scale
}

} // namespace ringmix::sim
