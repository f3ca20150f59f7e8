// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/bench/converters.h"

#include "core/rate_filter.h"
#include "kernels/variants.h"
#include "ringmix/abi.h"

#include <algorithm>
#include <random>

namespace ringmix::bench {

namespace {

class Ours : public Converter {
public:
    Ours(const kernels::Resampling& kernels, unsigned client_rate, unsigned device_rate)
        : kernels_(kernels), shape_(core::filter_shape(client_rate, device_rate)), numbers_(shape_.numbers())
    {
        core::design_filter(shape_, numbers_);
    }

    std::vector<double> convert(const std::vector<float>& sound) override
    {
        std::vector<float> plane(sound.size());
        kernels_.load[abi::format_float](plane.data(), reinterpret_cast<const std::byte*>(sound.data()), 4,
                                         sound.size());
        const core::RateMap map(shape_.ratio, shape_.taps, {{}, {{shape_.taps / 2 - 1}, 0}});
        const std::int64_t frames = map.first_with({static_cast<std::int64_t>(sound.size())}).number;
        std::vector<std::int32_t> out(static_cast<std::size_t>(std::max<std::int64_t>(frames, 0)));
        kernels_.resample(out.data(), 1, plane.data(), plane.size(), core::filter_rows(shape_, numbers_.data()),
                          core::resample_walk(shape_, 0, 0), out.size());
        std::vector<double> result;
        for (const std::int32_t sample : out)
            result.push_back(sample * 0x1p-29);
        return result;
    }

    // From S16, as a client writes it.
    std::function<void()> stereo(std::size_t frames) override
    {
        const core::RateMap map(shape_.ratio, shape_.taps, {});
        in_frames_ = static_cast<std::size_t>(map.moment({static_cast<std::int64_t>(frames)}).frame.number);
        plane_ = in_frames_ + shape_.taps + 1;
        planes_ = noise(2 * plane_);
        for (const float x : noise(2 * in_frames_))
            words_.push_back(static_cast<std::int16_t>(x * 32767));
        out_.resize(2 * frames);
        return [this, frames] {
            kernels_.load_pair[abi::format_s16](planes_.data() + shape_.taps, planes_.data() + plane_ + shape_.taps,
                                                reinterpret_cast<const std::byte*>(words_.data()), in_frames_);
            kernels_.resample(out_.data(), 2, planes_.data(), plane_, core::filter_rows(shape_, numbers_.data()),
                              core::resample_walk(shape_, 0, 0), frames);
        };
    }

    double latency_frames() override
    {
        return static_cast<double>(shape_.taps) / 2 * shape_.ratio.phases / shape_.ratio.step;
    }

private:
    const kernels::Resampling& kernels_;
    core::FilterShape shape_;
    std::vector<float> numbers_;
    std::size_t in_frames_ = 0;
    std::size_t plane_ = 0;
    std::vector<float> planes_;
    std::vector<std::int16_t> words_;
    std::vector<std::int32_t> out_;
};

} // namespace

std::vector<float> noise(std::size_t samples)
{
    std::mt19937 engine(1);
    std::uniform_real_distribution<float> any(-0.5f, 0.5f);
    std::vector<float> result(samples);
    for (float& x : result)
        x = any(engine);
    return result;
}

std::vector<Kind> kinds()
{
    std::vector<Kind> all;
    for (const kernels::Table* const* variant = kernels::usable(); *variant != nullptr; ++variant)
        all.push_back(
            {std::string("ringmix ") + (*variant)->name, true, [table = *variant](unsigned client, unsigned device) {
                 return std::make_unique<Ours>(*table->resampling, client, device);
             }});
    for (const auto& more : {library_kinds(), alsa_kinds()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

} // namespace ringmix::bench
