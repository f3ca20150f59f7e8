// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Programs at other rates than the device's: what is offered, what is heard, what it takes.

#include "support.h"

#include "core/rate_filter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

using namespace ringmix;
using namespace ringmix::test;

namespace {

bool offers(snd_pcm_t* pcm, unsigned rate)
{
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
    return snd_pcm_hw_params_test_rate(pcm, hw, rate, 0) == 0;
}

void configure(snd_pcm_t* pcm, snd_pcm_format_t format, unsigned channels, unsigned rate)
{
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
    REQUIRE(snd_pcm_hw_params_set_access(pcm, hw, SND_PCM_ACCESS_RW_INTERLEAVED) == 0);
    REQUIRE(snd_pcm_hw_params_set_format(pcm, hw, format) == 0);
    REQUIRE(snd_pcm_hw_params_set_channels(pcm, hw, channels) == 0);
    REQUIRE(snd_pcm_hw_params_set_rate(pcm, hw, rate, 0) == 0);
    REQUIRE(snd_pcm_hw_params(pcm, hw) == 0);
}

// Stream frame `frame` of a signal that is silent before frame 0 and from `count` on, as a sum of doubles: the sinc
// and window of docs/rates.md, from their definitions.
class Reference {
public:
    Reference(const Signal& signal, std::uint64_t count, unsigned rate)
        : shape_(core::filter_shape(rate, device_rate)), samples_(count),
          map_(core::RateMap::from_start(shape_.ratio, shape_.taps))
    {
        for (std::uint64_t i = 0; i < count; i++)
            samples_[i] = signal.expected(i, 0);
    }
    std::uint64_t frames() const
    {
        return static_cast<std::uint64_t>(map_.end_without({static_cast<std::int64_t>(samples_.size())}).number);
    }
    double frame(std::uint64_t frame) const
    {
        const core::RateMap::Moment moment = map_.moment({static_cast<std::int64_t>(frame)});
        const double phase = static_cast<double>(moment.phase) / shape_.ratio.phases;
        double sum = 0, weights = 0;
        for (std::uint32_t t = 0; t < shape_.taps; t++) {
            const std::int64_t tap = map_.first_tap({static_cast<std::int64_t>(frame)}).number + t;
            const double weight = filter(t - (shape_.taps / 2 - 1.0) - phase);
            weights += weight;
            if (tap >= 0 && tap < static_cast<std::int64_t>(samples_.size()))
                sum += weight * samples_[static_cast<std::size_t>(tap)];
        }
        return sum / weights;
    }

private:
    double filter(double distance) const
    {
        const double part = 2 * distance / shape_.window_frames, angle = 2 * M_PI * shape_.cutoff;
        if (std::abs(part) > 1)
            return 0;
        const double window = std::cyl_bessel_i(0.0, shape_.window * std::sqrt(1 - part * part));
        return window * (std::abs(distance) < 1e-9 ? angle : std::sin(angle * distance) / distance);
    }
    core::FilterShape shape_;
    std::vector<double> samples_;
    core::RateMap map_;
};

} // namespace

TEST_CASE("rates from 8 to 192 kHz are offered, or those that the configuration lists, and the device's own")
{
    Server server;
    struct {
        const char* keys;
        std::vector<unsigned> offered, refused;
    } const cases[] = {
        {"", {8000, 8001, 44100, 48000, 192000}, {7999, 192001}},
        {"rates device", {48000}, {44100, 47999, 48001, 96000}},
        {"rates \"device\"", {48000}, {44100}},
        {"rates 44100", {44100, 48000}, {44101, 46000, 47999, 96000}},
        {"rates \"48000\"", {48000}, {44100, 96000}},
        {"rates \"96000 44100-47999\"", {44100, 45000, 48000, 96000}, {44099, 48001, 95999}},
        {"rates \"  44100 48000\t88200-192000 \"", {44100, 48000, 88200, 96000, 192000}, {46000, 88199, 192001}},
        {"rates \"4000-384000\"", {4000, 384000}, {3999}},
    };
    for (const auto& [keys, offered, refused] : cases) {
        const std::string text = keys;
        CAPTURE(text);
        Pcm pcm(server, "test", keys);
        for (const unsigned rate : offered) {
            CAPTURE(rate);
            CHECK(offers(pcm, rate));
        }
        for (const unsigned rate : refused) {
            CAPTURE(rate);
            CHECK_FALSE(offers(pcm, rate));
        }
    }
}

TEST_CASE("mistakes in the rates are refused")
{
    Server server;
    const Quiet quiet;
    for (const char* keys : {"rates \"\"", "rates \" \"", "rates 3999", "rates 384001", "rates 0", "rates -8000",
                             "rates \"48000-44100\"", "rates \"44100-\"", "rates \"-44100\"", "rates \"44100,48000\"",
                             "rates \"44100 device\"", "rates 44100.5", "rates all", "rates [ 44100 ]",
                             "rates \"99999999999\"", "rates \"44100-48000-96000\"", "rates \"44100Hz\""}) {
        CAPTURE(std::string(keys));
        snd_pcm_t* pcm = nullptr;
        CHECK(Pcm::try_open(&pcm, node(server, keys)) == -EINVAL);
    }
}

TEST_CASE("programs that want no conversion are told what the device has")
{
    Server server({"--channels", "4"});
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    unsigned least = 0, most = 0;
    {
        Pcm pcm(server, "test", "", SND_PCM_NO_AUTO_RESAMPLE);
        REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
        CHECK(snd_pcm_hw_params_get_rate(hw, &least, nullptr) == 0);
        CHECK(least == 48000);
        CHECK(snd_pcm_hw_params_test_channels(pcm, hw, 2) == 0);
    }
    {
        Pcm pcm(server, "test", "", SND_PCM_NO_AUTO_CHANNELS);
        REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
        CHECK(snd_pcm_hw_params_get_channels_min(hw, &least) == 0);
        CHECK(snd_pcm_hw_params_get_channels_max(hw, &most) == 0);
        CHECK(least == 4);
        CHECK(most == 4);
        CHECK(offers(pcm, 44100));
    }
    Pcm pcm(server, "test", "", SND_PCM_NO_AUTO_FORMAT);
    REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
    CHECK(snd_pcm_hw_params_test_format(pcm, hw, SND_PCM_FORMAT_S32_LE) == 0);
    CHECK(snd_pcm_hw_params_test_format(pcm, hw, SND_PCM_FORMAT_S16_LE) < 0);
}

TEST_CASE("pcm.ringmix lets other rates through to ringmix: plug converts none")
{
    Server server;
    snd_pcm_t* pcm = nullptr;
    const std::string wrapped = "type plug slave.pcm { " + node(server, "") + " }";
    REQUIRE(Pcm::try_open(&pcm, wrapped) == 0);
    configure(pcm, SND_PCM_FORMAT_S16_LE, 2, 44100);
    snd_output_t* out = nullptr;
    REQUIRE(snd_output_buffer_open(&out) == 0);
    CHECK(snd_pcm_dump(pcm, out) == 0);
    char* text = nullptr;
    const std::size_t length = snd_output_buffer_string(out, &text);
    const std::string dump(text, length);
    CHECK(dump.find("ringmix, instance") != std::string::npos);
    CHECK(dump.find("onversion") == std::string::npos);
    snd_output_close(out);
    CHECK(snd_pcm_close(pcm) == 0);
}

TEST_CASE("what is heard is the conversion of what was written: within 4 units of 24 bits of the exact sum")
{
    Server server;
    constexpr std::uint64_t frames = 3000;
    const unsigned rates[] = {8000, 11025, 22050, 44099, 44100, 96000, 192000};
    // Heard at a quarter, so that nothing is cut.
    const Signal quiet(SND_PCM_FORMAT_S16_LE, 2);
    for (const unsigned rate : rates) {
        Pcm pcm(server, std::to_string(rate), "gain_db -12.041199826559248");
        configure(pcm, SND_PCM_FORMAT_S16_LE, 2, rate);
        pcm.write(quiet, 0, frames / 3);
        pcm.write(quiet, frames / 3, frames - frames / 3);
        REQUIRE(snd_pcm_drain(pcm) == 0);
    }
    const Recording recording = server.recording(std::size(rates));
    for (const unsigned rate : rates) {
        CAPTURE(rate);
        const Reference reference(quiet, frames, rate);
        const Recording::Stream& stream = recording.only(std::to_string(rate));
        REQUIRE(stream.frames() == reference.frames());
        double worst = 0;
        for (std::uint64_t f = 0; f < reference.frames(); f++)
            worst = std::max(worst, std::abs(reference.frame(f) - 4.0 * recording.samples[(stream.first + f) * 2]));
        CHECK(worst <= 4 * (1 << 8)); // of 32 bits
    }
}

TEST_CASE("64 programs with the largest buffers of 44.1 kHz get their lanes")
{
    Server server({"--channels", "2"});
    std::vector<std::unique_ptr<Pcm>> pcms;
    for (unsigned i = 0; i < 64; i++) {
        CAPTURE(i);
        pcms.push_back(std::make_unique<Pcm>(server, "program" + std::to_string(i)));
        configure(*pcms.back(), SND_PCM_FORMAT_S16_LE, 2, 44100); // who asks for no buffer gets the largest
        snd_pcm_uframes_t buffer = 0, period = 0;
        REQUIRE(snd_pcm_get_params(*pcms.back(), &buffer, &period) == 0);
        CHECK(buffer == 96000);
    }
    CHECK(server.clients() == 64);
}

TEST_CASE("one PCM plays at one rate after the other, the device's own to the bit")
{
    Server server;
    const Signal tone(SND_PCM_FORMAT_S16_LE, 2);
    Pcm pcm(server);
    for (const unsigned rate : {44100u, 48000u, 8000u, 48000u}) {
        configure(pcm, SND_PCM_FORMAT_S16_LE, 2, rate);
        pcm.write(tone, 0, 2000);
        REQUIRE(snd_pcm_drain(pcm) == 0);
    }
    const Recording recording = server.recording(4);
    CHECK(recording.differs(recording.streams[1].first, tone, 0, 2000) == -1);
    CHECK(recording.differs(recording.streams[3].first, tone, 0, 2000) == -1);
    CHECK(recording.streams[2].frames() > 12000);
}
