// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What hw_params and sw_params offer, and what programs get that ask for little.

#include "support.h"

#include <cstdlib>
#include <functional>
#include <memory>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);

struct Sizes {
    snd_pcm_uframes_t period = 0, buffer = 0;
    unsigned periods = 0;
};

// Parameters for a format and channels, and nothing else yet.
class Params {
public:
    explicit Params(snd_pcm_t* pcm, snd_pcm_format_t format = SND_PCM_FORMAT_S16_LE, unsigned channels = 2) : pcm_(pcm)
    {
        REQUIRE(snd_pcm_hw_params_malloc(&hw_) == 0);
        REQUIRE(snd_pcm_hw_params_any(pcm, hw_) >= 0);
        REQUIRE(snd_pcm_hw_params_set_access(pcm, hw_, SND_PCM_ACCESS_RW_INTERLEAVED) == 0);
        REQUIRE(snd_pcm_hw_params_set_format(pcm, hw_, format) == 0);
        REQUIRE(snd_pcm_hw_params_set_channels(pcm, hw_, channels) == 0);
        REQUIRE(snd_pcm_hw_params_set_rate(pcm, hw_, device_rate, 0) == 0);
    }
    Params(const Params&) = delete;
    ~Params() { snd_pcm_hw_params_free(hw_); }
    operator snd_pcm_hw_params_t*() const { return hw_; }

    void period_near(snd_pcm_uframes_t frames)
    {
        int direction = 0;
        REQUIRE(snd_pcm_hw_params_set_period_size_near(pcm_, hw_, &frames, &direction) == 0);
    }
    void buffer_near(snd_pcm_uframes_t frames)
    {
        REQUIRE(snd_pcm_hw_params_set_buffer_size_near(pcm_, hw_, &frames) == 0);
    }
    void period_time_near(unsigned us)
    {
        int direction = 0;
        REQUIRE(snd_pcm_hw_params_set_period_time_near(pcm_, hw_, &us, &direction) == 0);
    }
    void buffer_time_near(unsigned us)
    {
        int direction = 0;
        REQUIRE(snd_pcm_hw_params_set_buffer_time_near(pcm_, hw_, &us, &direction) == 0);
    }
    // Takes them. As with hardware: all three can be told.
    Sizes take()
    {
        Sizes sizes;
        REQUIRE(snd_pcm_hw_params(pcm_, hw_) == 0);
        CHECK(snd_pcm_hw_params_get_period_size(hw_, &sizes.period, nullptr) == 0);
        CHECK(snd_pcm_hw_params_get_buffer_size(hw_, &sizes.buffer) == 0);
        CHECK(snd_pcm_hw_params_get_periods(hw_, &sizes.periods, nullptr) == 0);
        CHECK(sizes.periods >= 2);
        return sizes;
    }

private:
    snd_pcm_t* pcm_;
    snd_pcm_hw_params_t* hw_ = nullptr;
};
} // namespace

TEST_CASE("hw_params offers what is documented")
{
    Server server;
    Pcm pcm(server);
    struct {
        snd_pcm_format_t format;
        unsigned channels;
        snd_pcm_uframes_t least_period, most;
    } const cases[] = {{SND_PCM_FORMAT_S16_LE, 2, 32, 96000}, // two seconds
                       {SND_PCM_FORMAT_FLOAT_LE, 2, 16, 48000},
                       {SND_PCM_FORMAT_U8, 1, 128, 384000}};
    for (const auto& [format, channels, least_period, most] : cases) {
        const int number = static_cast<int>(format); // clang 14 captures no structured bindings
        CAPTURE(number);
        Params params(pcm, format, channels);
        unsigned value = 0;
        CHECK(snd_pcm_hw_params_get_rate(params, &value, nullptr) == 0);
        CHECK(value == 48000);
        snd_pcm_uframes_t frames = 0;
        int direction = 0;
        CHECK(snd_pcm_hw_params_get_buffer_size_max(params, &frames) == 0);
        CHECK(frames == most);
        CHECK(snd_pcm_hw_params_get_buffer_size_min(params, &frames) == 0);
        CHECK(frames == 2 * least_period);
        CHECK(snd_pcm_hw_params_get_period_size_min(params, &frames, &direction) == 0);
        CHECK(frames == least_period);
        CHECK(snd_pcm_hw_params_get_period_size_max(params, &frames, &direction) == 0);
        CHECK(frames == most / 2);
        CHECK(snd_pcm_hw_params_get_periods_min(params, &value, &direction) == 0);
        CHECK(value == 2);
    }
}

TEST_CASE("the largest buffer does not depend on the device's channels")
{
    Server server({"--channels", "8"});
    Pcm pcm(server);
    Params params(pcm);
    snd_pcm_uframes_t frames = 0;
    CHECK(snd_pcm_hw_params_get_buffer_size_max(params, &frames) == 0);
    CHECK(frames == 96000);
}

TEST_CASE("a program that asks for no buffer gets whole periods")
{
    Server server;
    Pcm pcm(server);
    for (const auto format :
         {SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_S24_3LE, SND_PCM_FORMAT_FLOAT_LE, SND_PCM_FORMAT_U8})
        for (const unsigned channels : {1u, 2u}) {
            CAPTURE(static_cast<int>(format));
            CAPTURE(channels);
            const auto [period, buffer, periods] = Params(pcm, format, channels).take();
            CHECK(period * periods == buffer);
        }
}

TEST_CASE("programs that ask for some of it get whole periods near to that")
{
    Server server;
    Pcm pcm(server);
    Params params(pcm);
    snd_pcm_uframes_t period = 0, buffer = 0; // wanted
    SUBCASE("a period") { params.period_near(period = 1024); }
    SUBCASE("a buffer") { params.buffer_near(buffer = 8192); }
    SUBCASE("both")
    {
        params.period_near(period = 441);
        params.buffer_near(buffer = 4410);
    }
    SUBCASE("both, the buffer first")
    {
        params.buffer_near(buffer = 4096);
        params.period_near(period = 512);
    }
    SUBCASE("times")
    {
        params.period_time_near(10000);
        params.buffer_time_near(40000);
        period = 480;
        buffer = 1920;
    }
    SUBCASE("a time") { params.buffer_time_near(500000), buffer = 24000; }
    const Sizes sizes = params.take();
    CHECK(sizes.period * sizes.periods == sizes.buffer);
    if (buffer != 0)
        CHECK(sizes.buffer == buffer);
    if (period != 0) // or the nearest that divides the buffer
        CHECK(std::llabs(static_cast<long long>(sizes.period - period)) * 50 <= static_cast<long long>(period));
}

TEST_CASE("whatever is asked for, the number of periods can be told")
{
    Server server;
    Pcm pcm(server);
    const unsigned sizes[] = {32, 33, 97, 512, 1000, 1024, 2003, 6151};
    const unsigned times[] = {1500, 7001, 10000, 33333, 100001};
    const auto check = [&](const std::function<void(Params&)>& ask) {
        Params params(pcm, SND_PCM_FORMAT_S24_3LE, 1);
        ask(params);
        const auto [period, buffer, periods] = params.take();
        CHECK(period * periods <= buffer); // less than a frame of each period is missing
        CHECK(buffer - period * periods < periods);
    };
    for (const unsigned size : sizes) {
        CAPTURE(size);
        check([&](Params& params) { params.period_near(size); });
        check([&](Params& params) { params.buffer_near(size * 7); });
    }
    for (const unsigned time : times) {
        CAPTURE(time);
        check([&](Params& params) { params.period_time_near(time); });
        check([&](Params& params) { params.buffer_time_near(time * 3); });
        for (const unsigned size : sizes) {
            CAPTURE(size);
            check([&](Params& params) { params.period_time_near(time), params.buffer_near(size * 9); });
            check([&](Params& params) { params.buffer_time_near(time * 5), params.period_near(size); });
        }
    }
}

TEST_CASE("64 programs that ask for nothing get their lanes")
{
    Server server({"--channels", "2", "--arena", "64"});
    std::vector<std::unique_ptr<Pcm>> pcms;
    const snd_pcm_format_t formats[] = {SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_FLOAT_LE, SND_PCM_FORMAT_U8};
    for (unsigned i = 0; i < 64; i++) {
        CAPTURE(i);
        pcms.push_back(std::make_unique<Pcm>(server, "program" + std::to_string(i)));
        Params(*pcms.back(), formats[i % 3], 2).take();
        const std::vector<std::byte> silence(100 * 8);
        REQUIRE(snd_pcm_writei(*pcms.back(), silence.data(), 100) == 100);
    }
    CHECK(server.clients() == 64);
}

TEST_CASE("one period per buffer is refused, or becomes two, as with hardware")
{
    Server server;
    Pcm pcm(server);
    {
        Params params(pcm);
        REQUIRE(snd_pcm_hw_params_set_period_size(pcm, params, 1024, 0) == 0);
        CHECK(snd_pcm_hw_params_set_buffer_size(pcm, params, 1024) == -EINVAL);
    }
    {
        Params params(pcm);
        CHECK(snd_pcm_hw_params_set_periods(pcm, params, 1, 0) == -EINVAL);
    }
    Params params(pcm);
    params.period_near(1024);
    params.buffer_near(1024);
    const auto [period, buffer, periods] = params.take();
    CHECK(period == 1024);
    CHECK(buffer == 2048);
    CHECK(periods == 2);
}

TEST_CASE("time stamps are on the monotonic clock unless the program chooses")
{
    Server server;
    Pcm pcm(server, Setup{});
    snd_pcm_sw_params_t* sw;
    snd_pcm_sw_params_alloca(&sw);
    REQUIRE(snd_pcm_sw_params_current(pcm, sw) == 0);
    snd_pcm_tstamp_type_t type;
    REQUIRE(snd_pcm_sw_params_get_tstamp_type(sw, &type) == 0);
    CHECK(type == SND_PCM_TSTAMP_TYPE_MONOTONIC); // `multi` takes it from its first slave and asks it of dmix
}

TEST_CASE("snd_pcm_set_params")
{
    Server server;
    for (const unsigned latency_us : {50000u, 250000u, 500000u}) {
        CAPTURE(latency_us);
        Pcm pcm(server, std::to_string(latency_us));
        REQUIRE(snd_pcm_set_params(pcm, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, 2, device_rate, 0,
                                   latency_us) == 0);
        snd_pcm_uframes_t buffer = 0, period = 0;
        REQUIRE(snd_pcm_get_params(pcm, &buffer, &period) == 0);
        CHECK(buffer == latency_us * 48 / 1000);
        CHECK(period == buffer / 4);
        pcm.write(tone, 0, buffer);
        REQUIRE(snd_pcm_drain(pcm) == 0);
    }
    const Recording recording = server.recording(3);
    for (const unsigned latency_us : {50000u, 250000u, 500000u})
        CHECK(recording.differs(recording.only(std::to_string(latency_us)).first, tone, 0, latency_us * 48 / 1000) ==
              -1);
}

TEST_CASE("buffers of the extreme sizes play")
{
    Server server;
    Setup setup;
    SUBCASE("the largest")
    {
        setup.format = SND_PCM_FORMAT_U8;
        setup.channels = 1;
        setup.buffer = 384000;
        setup.period = 192000;
    }
    SUBCASE("the smallest")
    {
        setup.buffer = 64;
        setup.period = 32;
        setup.stops = false;
    }
    Pcm pcm(server, setup);
    pcm.write(Signal(setup.format, setup.channels), 0, 3000);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(server.recording().streams.size() == 1);
}
