// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The libraries that were found when this was built.

#include "tests/bench/converters.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#ifdef RINGMIX_BENCH_SAMPLERATE
#include <samplerate.h>
#endif
#ifdef RINGMIX_BENCH_SOXR
#include <soxr.h>
#endif
#ifdef RINGMIX_BENCH_SPEEX
#include <speex/speex_resampler.h>
#endif

namespace ringmix::bench {

namespace {

// A library's converter in one number of channels. In pieces, as a program plays.
class Engine {
public:
    virtual ~Engine() = default;
    struct Done {
        std::size_t taken;
        std::size_t made;
    };
    virtual Done run(const float* in, std::size_t frames, float* out, std::size_t room) = 0;
};

class Library : public Converter {
public:
    using Make = std::function<std::unique_ptr<Engine>(unsigned channels)>;
    Library(Make make, double ratio) : make_(std::move(make)), ratio_(ratio) {}

    std::vector<double> convert(const std::vector<float>& sound) override
    {
        const auto engine = make_(1);
        std::vector<double> result;
        std::vector<float> out(static_cast<std::size_t>(4096 * ratio_) + 64);
        for (std::size_t at = 0; at < sound.size();) {
            const auto done =
                engine->run(sound.data() + at, std::min<std::size_t>(sound.size() - at, 1024), out.data(), out.size());
            result.insert(result.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(done.made));
            if (done.taken == 0 && done.made == 0)
                break;
            at += done.taken;
        }
        return result;
    }

    std::function<void()> stereo(std::size_t frames) override
    {
        engine_ = make_(2);
        const auto in_frames = static_cast<std::size_t>(static_cast<double>(frames) / ratio_);
        in_ = noise(2 * in_frames);
        out_.resize(2 * frames + 512);
        return [this, in_frames] {
            for (std::size_t at = 0; at < in_frames;)
                at += std::max<std::size_t>(
                    engine_->run(in_.data() + 2 * at, in_frames - at, out_.data(), out_.size() / 2).taken, 1);
        };
    }

    // What it holds back, and by how much an impulse comes later in what it gives.
    double latency_frames() override
    {
        constexpr std::size_t impulse = 20000;
        const auto engine = make_(1);
        std::vector<float> in(2 * impulse);
        in[impulse] = 0.5f;
        std::vector<float> out(static_cast<std::size_t>(4096 * ratio_) + 64);
        std::vector<float> made;
        std::size_t taken = 0;
        while (taken + 64 <= in.size()) {
            const auto done = engine->run(in.data() + taken, 64, out.data(), out.size());
            made.insert(made.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(done.made));
            taken += done.taken;
        }
        const auto peak = std::max_element(made.begin(), made.end()) - made.begin();
        const double held = static_cast<double>(taken) * ratio_ - static_cast<double>(made.size());
        return std::max(held + static_cast<double>(peak) - impulse * ratio_, 0.0);
    }

private:
    Make make_;
    double ratio_;
    std::unique_ptr<Engine> engine_;
    std::vector<float> in_;
    std::vector<float> out_;
};

#ifdef RINGMIX_BENCH_SAMPLERATE
class Samplerate : public Engine {
public:
    Samplerate(int quality, unsigned channels, double ratio) : ratio_(ratio)
    {
        int error = 0;
        state_ = src_new(quality, static_cast<int>(channels), &error);
        if (state_ == nullptr)
            throw std::runtime_error("src_new");
    }
    ~Samplerate() override { src_delete(state_); }
    Done run(const float* in, std::size_t frames, float* out, std::size_t room) override
    {
        SRC_DATA data{};
        data.data_in = in;
        data.data_out = out;
        data.input_frames = static_cast<long>(frames);
        data.output_frames = static_cast<long>(room);
        data.src_ratio = ratio_;
        src_process(state_, &data);
        return {static_cast<std::size_t>(data.input_frames_used), static_cast<std::size_t>(data.output_frames_gen)};
    }

private:
    SRC_STATE* state_;
    double ratio_;
};
#endif

#ifdef RINGMIX_BENCH_SOXR
class Soxr : public Engine {
public:
    Soxr(unsigned quality, unsigned channels, unsigned client, unsigned device)
    {
        const soxr_quality_spec_t spec = soxr_quality_spec(quality, 0);
        state_ = soxr_create(client, device, channels, nullptr, nullptr, &spec, nullptr);
        if (state_ == nullptr)
            throw std::runtime_error("soxr_create");
    }
    ~Soxr() override { soxr_delete(state_); }
    Done run(const float* in, std::size_t frames, float* out, std::size_t room) override
    {
        Done done{};
        soxr_process(state_, in, frames, &done.taken, out, room, &done.made);
        return done;
    }

private:
    soxr_t state_;
};
#endif

#ifdef RINGMIX_BENCH_SPEEX
class Speex : public Engine {
public:
    Speex(int quality, unsigned channels, unsigned client, unsigned device)
    {
        int error = 0;
        state_ = speex_resampler_init(channels, client, device, quality, &error);
        if (state_ == nullptr)
            throw std::runtime_error("speex_resampler_init");
    }
    ~Speex() override { speex_resampler_destroy(state_); }
    Done run(const float* in, std::size_t frames, float* out, std::size_t room) override
    {
        auto taken = static_cast<spx_uint32_t>(frames);
        auto made = static_cast<spx_uint32_t>(room);
        speex_resampler_process_interleaved_float(state_, in, &taken, out, &made);
        return {taken, made};
    }

private:
    SpeexResamplerState* state_;
};
#endif

template <class Of, class Quality> [[maybe_unused]] Kind kind(const char* name, Quality quality)
{
    return {name, false, [quality](unsigned client, unsigned device) -> std::unique_ptr<Converter> {
                const double ratio = static_cast<double>(device) / client;
                return std::make_unique<Library>(
                    [=](unsigned channels) -> std::unique_ptr<Engine> {
                        if constexpr (std::is_constructible_v<Of, Quality, unsigned, unsigned, unsigned>)
                            return std::make_unique<Of>(quality, channels, client, device);
                        else
                            return std::make_unique<Of>(quality, channels, ratio);
                    },
                    ratio);
            }};
}

} // namespace

std::vector<Kind> library_kinds()
{
    std::vector<Kind> all;
#ifdef RINGMIX_BENCH_SAMPLERATE
    all.push_back(kind<Samplerate, int>("libsamplerate linear", SRC_LINEAR));
    all.push_back(kind<Samplerate, int>("libsamplerate fastest", SRC_SINC_FASTEST));
    all.push_back(kind<Samplerate, int>("libsamplerate medium", SRC_SINC_MEDIUM_QUALITY));
    all.push_back(kind<Samplerate, int>("libsamplerate best", SRC_SINC_BEST_QUALITY));
#endif
#ifdef RINGMIX_BENCH_SOXR
    all.push_back(kind<Soxr, unsigned>("soxr HQ", SOXR_HQ));
    all.push_back(kind<Soxr, unsigned>("soxr VHQ", SOXR_VHQ));
#endif
#ifdef RINGMIX_BENCH_SPEEX
    all.push_back(kind<Speex, int>("speexdsp 3", 3));
    all.push_back(kind<Speex, int>("speexdsp 10", 10));
#endif
    return all;
}

} // namespace ringmix::bench
