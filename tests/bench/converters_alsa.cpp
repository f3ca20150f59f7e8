// SPDX-License-Identifier: LGPL-2.1-or-later
//
// libasound's rate plugin with one of its converters, as a program meets it: S16, in the program's periods,
// into a file.

#include "tests/bench/converters.h"

#include <alsa/asoundlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <unistd.h>

namespace ringmix::bench {

namespace {

void check(int error, const char* call)
{
    if (error < 0)
        throw std::runtime_error(std::string(call) + ": " + snd_strerror(error));
}

class Alsa : public Converter {
public:
    Alsa(std::string converter, unsigned client_rate, unsigned device_rate, snd_pcm_uframes_t period)
        : converter_(std::move(converter)), client_rate_(client_rate), device_rate_(device_rate), period_(period)
    {
        snd_pcm_close(open("/dev/null")); // throws where the converter is not there
    }

    std::vector<double> convert(const std::vector<float>& sound) override
    {
        char path[] = "/tmp/ringmix-bench-XXXXXX";
        const int file = mkstemp(path);
        if (file < 0)
            throw std::runtime_error("mkstemp");
        close(file);
        snd_pcm_t* pcm = open(path);
        std::vector<short> samples;
        for (const float x : sound)
            samples.push_back(static_cast<short>(std::lrint(x * 32768)));
        for (std::size_t at = 0; at < samples.size();) {
            const auto wrote =
                snd_pcm_writei(pcm, samples.data() + at, std::min<std::size_t>(samples.size() - at, period_));
            if (wrote < 0)
                break;
            at += static_cast<std::size_t>(wrote);
        }
        snd_pcm_close(pcm);
        std::vector<double> result;
        std::ifstream in(path, std::ios::binary);
        for (short word; in.read(reinterpret_cast<char*>(&word), sizeof word);)
            result.push_back(word / 32768.0);
        unlink(path);
        return result;
    }

    std::function<void()> stereo(std::size_t) override { return nullptr; }
    double latency_frames() override { return -1; }

private:
    snd_pcm_t* open(const std::string& path)
    {
        const std::string text = "pcm.converted { type rate converter \"" + converter_ + "\" slave { rate " +
                                 std::to_string(device_rate_) + " format S16_LE pcm { type file file \"" + path +
                                 "\" format raw slave.pcm { type null } } } }";
        snd_config_t* config = nullptr;
        check(snd_config_load_string(&config, text.c_str(), 0), "snd_config_load_string");
        snd_pcm_t* pcm = nullptr;
        const int error = snd_pcm_open_lconf(&pcm, "converted", SND_PCM_STREAM_PLAYBACK, 0, config);
        snd_config_delete(config);
        check(error, "snd_pcm_open");
        snd_pcm_hw_params_t* params = nullptr;
        snd_pcm_hw_params_alloca(&params);
        snd_pcm_uframes_t buffer = 4 * period_;
        check(snd_pcm_hw_params_any(pcm, params), "hw_params_any");
        check(snd_pcm_hw_params_set_access(pcm, params, SND_PCM_ACCESS_RW_INTERLEAVED), "access");
        check(snd_pcm_hw_params_set_format(pcm, params, SND_PCM_FORMAT_S16_LE), "format");
        check(snd_pcm_hw_params_set_channels(pcm, params, 1), "channels");
        check(snd_pcm_hw_params_set_rate(pcm, params, client_rate_, 0), "rate");
        check(snd_pcm_hw_params_set_period_size_near(pcm, params, &period_, nullptr), "period");
        check(snd_pcm_hw_params_set_buffer_size_near(pcm, params, &buffer), "buffer");
        check(snd_pcm_hw_params(pcm, params), "hw_params");
        return pcm;
    }

    std::string converter_;
    unsigned client_rate_;
    unsigned device_rate_;
    snd_pcm_uframes_t period_;
};

} // namespace

std::vector<Kind> alsa_kinds()
{
    std::vector<Kind> all;
    const auto add = [&](const char* name, const char* converter, snd_pcm_uframes_t period) {
        all.push_back({name, false, [=](unsigned client, unsigned device) -> std::unique_ptr<Converter> {
                           try {
                               return std::make_unique<Alsa>(converter, client, device, period);
                           } catch (const std::exception&) {
                               return nullptr;
                           }
                       }});
    };
    add("libasound linear, periods of 64", "linear", 64);
    add("libasound linear, periods of 1024", "linear", 1024);
    add("libasound speexrate, periods of 1024", "speexrate", 1024);
    add("libasound samplerate, periods of 1024", "samplerate", 1024);
    return all;
}

} // namespace ringmix::bench
