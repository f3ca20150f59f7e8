// SPDX-License-Identifier: LGPL-2.1-or-later
//
// avail, delay and status: consistent with each other, never backwards, at the device's rate.

#include "support.h"

#include <ctime>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);

double seconds_of(clockid_t clock)
{
    timespec now;
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double seconds(const snd_htimestamp_t& time)
{
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}
double monotonic_seconds() { return seconds_of(CLOCK_MONOTONIC); }

void choose_clock(snd_pcm_t* pcm, snd_pcm_tstamp_type_t type)
{
    snd_pcm_sw_params_t* sw;
    snd_pcm_sw_params_alloca(&sw);
    REQUIRE(snd_pcm_sw_params_current(pcm, sw) == 0);
    REQUIRE(snd_pcm_sw_params_set_tstamp_mode(pcm, sw, SND_PCM_TSTAMP_ENABLE) == 0);
    REQUIRE(snd_pcm_sw_params_set_tstamp_type(pcm, sw, type) == 0);
    REQUIRE(snd_pcm_sw_params(pcm, sw) == 0);
}
} // namespace

TEST_CASE("avail grows, delay shrinks, and they belong together")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    setup.stops = false; // on a busy machine it may end in an underrun
    Pcm pcm(server, setup);
    CHECK(pcm.avail() == 9600);
    CHECK(pcm.delay() == 0);
    pcm.write(tone, 0, 4000);
    CHECK(pcm.avail() == 5600);
    CHECK(pcm.delay() == 4000);
    pcm.write(tone, 4000, 5600);

    snd_pcm_sframes_t avail = 0, delay = 9600 + 4800;
    while (avail < 9000) {
        const snd_pcm_sframes_t next_avail = pcm.avail(), next_delay = pcm.delay();
        REQUIRE(next_avail >= avail);
        REQUIRE(next_delay <= delay);
        // The delay is what is queued, the safety margin and, at first, the time before the start;
        // it was asked for a moment later.
        CHECK(next_delay + next_avail <= 9600 + 2400);
        avail = next_avail;
        delay = next_delay;
        snd_pcm_sframes_t both_avail = 0, both_delay = 0;
        REQUIRE(snd_pcm_avail_delay(pcm, &both_avail, &both_delay) == 0);
        CHECK(both_avail >= avail);
        CHECK(both_delay <= delay);
    }
}

TEST_CASE("rewindable and avail add up to the buffer")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    setup.stops = false;
    Pcm pcm(server, setup);
    CHECK(snd_pcm_rewindable(pcm) == 0);
    CHECK(snd_pcm_forwardable(pcm) == 9600);
    pcm.write(tone, 0, 9600);
    for (int i = 0; i < 20; i++) {
        pcm.wait_played(240);
        const snd_pcm_sframes_t avail = pcm.avail();
        CHECK(snd_pcm_rewindable(pcm) + avail == 9600);
        CHECK(snd_pcm_forwardable(pcm) == avail);
    }
}

TEST_CASE("delay shrinks at the device's rate")
{
    Server server;
    Setup setup;
    setup.buffer = 24000;
    setup.period = 2400;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 24000);
    const double start = monotonic_seconds();
    const snd_pcm_sframes_t before = pcm.delay();
    REQUIRE(eventually([&] { return pcm.delay() < before - 14400; }));
    const snd_pcm_sframes_t after = pcm.delay();
    const double rate = static_cast<double>(before - after) / (monotonic_seconds() - start);
    CHECK(rate > 0.97 * client_rate());
    CHECK(rate < 1.03 * client_rate());
}

TEST_CASE("status tells the same, stamped with the present time")
{
    Server server;
    Setup setup;
    setup.buffer = 24000; // more than this process may stand still for
    setup.period = 2400;
    setup.stops = false;
    Pcm pcm(server, setup);
    clockid_t clock = CLOCK_MONOTONIC; // unless the program chooses, as with hardware
    SUBCASE("by the default clock") {}
    SUBCASE("by the clock that the program chooses")
    {
        choose_clock(pcm, SND_PCM_TSTAMP_TYPE_GETTIMEOFDAY);
        clock = CLOCK_REALTIME;
    }
    snd_pcm_status_t* status;
    snd_pcm_status_alloca(&status);
    pcm.write(tone, 0, 24000);
    for (int i = 0; i < 10; i++) {
        pcm.wait_played(480);
        const double before = seconds_of(clock);
        const snd_pcm_sframes_t avail = pcm.avail();
        REQUIRE(snd_pcm_status(pcm, status) == 0);
        CHECK(snd_pcm_status_get_state(status) == SND_PCM_STATE_RUNNING);
        CHECK(static_cast<snd_pcm_sframes_t>(snd_pcm_status_get_avail(status)) >= avail);
        CHECK(snd_pcm_status_get_delay(status) > 0);
        CHECK(pcm.delay() <= snd_pcm_status_get_delay(status));
        snd_htimestamp_t time, trigger;
        snd_pcm_status_get_htstamp(status, &time);
        snd_pcm_status_get_trigger_htstamp(status, &trigger);
        CHECK(seconds(time) >= before - 2e-6); // gettimeofday() counts in microseconds
        CHECK(seconds(time) <= seconds_of(clock));
        CHECK(seconds(trigger) < seconds(time));

        snd_pcm_uframes_t stamped = 0;
        REQUIRE(snd_pcm_htimestamp(pcm, &stamped, &time) == 0);
        CHECK(static_cast<snd_pcm_sframes_t>(stamped) >= avail);
        CHECK(seconds(time) >= before - 2e-6);
    }
}

TEST_CASE("the delay is the truth: a marker is heard when it said")
{
    Server server;
    Setup setup;
    setup.buffer = 4800;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 4800);
    const snd_pcm_sframes_t delay = pcm.delay();
    const double asked = monotonic_seconds();
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const double waited = monotonic_seconds() - asked;
    CHECK(waited > static_cast<double>(delay) / client_rate() - 0.001);
    CHECK(waited < static_cast<double>(delay) / client_rate() + 0.25);
}
