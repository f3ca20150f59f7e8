// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Programs with more channels than the device, and channel maps: asked, set, and what is heard then.

#include "support.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

using namespace ringmix::test;

namespace {

using Rows = std::vector<std::vector<double>>; // [channel of the device][channel of the program]
using Positions = std::vector<unsigned>;

constexpr unsigned fl = SND_CHMAP_FL, fr = SND_CHMAP_FR, rl = SND_CHMAP_RL, rr = SND_CHMAP_RR, fc = SND_CHMAP_FC,
                   lfe = SND_CHMAP_LFE, sl = SND_CHMAP_SL, sr = SND_CHMAP_SR;
const double part = std::sqrt(0.5);
constexpr std::uint64_t frames = 3000;
// A quarter, so that nothing is cut.
const std::string quarter = "gain_db -12.041199826559248 ";

struct FreeMap {
    void operator()(snd_pcm_chmap_t* map) const { std::free(map); }
};
using Map = std::unique_ptr<snd_pcm_chmap_t, FreeMap>;

Map map_of(const Positions& positions)
{
    Map map(
        static_cast<snd_pcm_chmap_t*>(std::calloc(1, sizeof(snd_pcm_chmap_t) + positions.size() * sizeof(unsigned))));
    map->channels = static_cast<unsigned>(positions.size());
    std::copy(positions.begin(), positions.end(), map->pos);
    return map;
}

Positions told(snd_pcm_t* pcm)
{
    const Map map(snd_pcm_get_chmap(pcm));
    REQUIRE(map != nullptr);
    return Positions(map->pos, map->pos + map->channels);
}

unsigned most_channels(snd_pcm_t* pcm)
{
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
    unsigned most = 0;
    REQUIRE(snd_pcm_hw_params_get_channels_max(hw, &most) == 0);
    return most;
}

Setup with(unsigned channels, snd_pcm_format_t format = SND_PCM_FORMAT_S16_LE)
{
    Setup setup;
    setup.channels = channels;
    setup.format = format;
    return setup;
}

// Plays all of it, in two portions, and returns what the device has played.
Recording played(Server& server, Pcm& pcm, const Signal& signal)
{
    pcm.write(signal, 0, frames / 3);
    pcm.write(signal, frames / 3, frames - frames / 3);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    return server.recording();
}

// How far, in units of 24 bits, the device's channels are at most from these sums of the program's, times `gain`.
double farthest(const Recording& recording, const Signal& signal, const Rows& rows, double gain)
{
    REQUIRE(recording.streams.size() == 1);
    REQUIRE(recording.streams[0].frames() == frames);
    REQUIRE(recording.channels == rows.size());
    double worst = 0;
    for (std::uint64_t f = 0; f < frames; f++)
        for (unsigned d = 0; d < recording.channels; d++) {
            double sum = 0;
            for (unsigned c = 0; c < signal.channels(); c++)
                sum += rows[d][c] * signal.expected(f, c);
            const std::int32_t sample = recording.samples[(recording.streams[0].first + f) * recording.channels + d];
            worst = std::max(worst, std::abs(gain * sum - sample));
        }
    return worst / 256;
}

Rows scaled(Rows rows)
{
    double most = 0;
    for (const auto& row : rows) {
        double sum = 0;
        for (const double weight : row)
            sum += weight;
        most = std::max(most, sum);
    }
    for (auto& row : rows)
        for (double& weight : row)
            weight /= most;
    return rows;
}

const Rows five_one_on_stereo{{1, 0, part, 0, part, 0}, {0, 1, 0, part, part, 0}};

} // namespace

TEST_CASE("5.1 on two loudspeakers: by ITU-R BS.775, scaled so that it cannot clip")
{
    for (const auto format : {SND_PCM_FORMAT_U8, SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_S24_LE, SND_PCM_FORMAT_S24_3LE,
                              SND_PCM_FORMAT_S32_LE, SND_PCM_FORMAT_FLOAT_LE}) {
        CAPTURE(static_cast<int>(format));
        const Signal signal(format, 6);
        Server server;
        Pcm pcm(server);
        pcm.configure(with(6, format));
        CHECK(farthest(played(server, pcm, signal), signal, scaled(five_one_on_stereo), 1) < 1);
    }
}

TEST_CASE("downmix loud is not scaled, and is cut no earlier than everything else")
{
    Server server;
    const Signal signal(SND_PCM_FORMAT_S16_LE, 6);
    Pcm pcm(server, "test", quarter + "downmix loud");
    pcm.configure(with(6));
    CHECK(farthest(played(server, pcm, signal), signal, five_one_on_stereo, 0.25) < 1);
}

TEST_CASE("downmix to one loudspeaker and to four, 7.1 to two")
{
    struct {
        const char* device;
        unsigned channels;
        Rows rows;
    } const cases[] = {
        {"1", 2, {{part, part}}},
        {"1", 6, {{part, part, 0.5, 0.5, 1, 0}}},
        {"4", 6, {{1, 0, 0, 0, part, 0}, {0, 1, 0, 0, part, 0}, {0, 0, 1, 0, 0, 0}, {0, 0, 0, 1, 0, 0}}},
        {"2", 8, {{1, 0, part, 0, part, 0, part, 0}, {0, 1, 0, part, part, 0, 0, part}}},
    };
    for (const auto& [device, channels, rows] : cases) {
        const std::string to = device;
        CAPTURE(to);
        const Signal signal(SND_PCM_FORMAT_S16_LE, channels);
        Server server({"--channels", to});
        Pcm pcm(server);
        pcm.configure(with(channels));
        CHECK(farthest(played(server, pcm, signal), signal, scaled(rows), 1) < 1);
    }
}

TEST_CASE("a map that the program sets: 5.1 and 7.1 in the order of WAVE files")
{
    const Signal signal(SND_PCM_FORMAT_S16_LE, 6), wide(SND_PCM_FORMAT_S16_LE, 8);
    SUBCASE("5.1 on two loudspeakers")
    {
        Server server;
        Pcm pcm(server);
        pcm.configure(with(6));
        CHECK(told(pcm) == Positions{fl, fr, rl, rr, fc, lfe});
        CHECK(snd_pcm_set_chmap(pcm, map_of({fl, fr, fc, lfe, rl, rr}).get()) == 0);
        CHECK(told(pcm) == Positions{fl, fr, fc, lfe, rl, rr});
        CHECK(farthest(played(server, pcm, signal), signal,
                       scaled({{1, 0, part, 0, part, 0}, {0, 1, part, 0, 0, part}}), 1) < 1);
    }
    SUBCASE("7.1 on a device that has all of it: exact")
    {
        Server server({"--channels", "8"});
        Pcm pcm(server);
        pcm.configure(with(8));
        CHECK(snd_pcm_set_chmap(pcm, map_of({fl, fr, fc, lfe, rl, rr, sl, sr}).get()) == 0);
        Rows rows(8, std::vector<double>(8));
        const unsigned from[] = {0, 1, 4, 5, 2, 3, 6, 7};
        for (unsigned d = 0; d < 8; d++)
            rows[d][from[d]] = 1;
        CHECK(farthest(played(server, pcm, wide), wide, rows, 1) == 0);
    }
    SUBCASE("and forgotten with the next parameters")
    {
        Server server;
        Pcm pcm(server);
        pcm.configure(with(6));
        CHECK(snd_pcm_set_chmap(pcm, map_of({fl, fr, fc, lfe, rl, rr}).get()) == 0);
        REQUIRE(snd_pcm_hw_free(pcm) == 0);
        pcm.configure(with(6));
        CHECK(told(pcm) == Positions{fl, fr, rl, rr, fc, lfe});
        CHECK(farthest(played(server, pcm, signal), signal, scaled(five_one_on_stereo), 1) < 1);
    }
    SUBCASE("two channels, crossed: exact")
    {
        Server server;
        Pcm pcm(server);
        pcm.configure(with(2));
        CHECK(snd_pcm_set_chmap(pcm, map_of({fr, fl}).get()) == 0);
        const Signal stereo(SND_PCM_FORMAT_S16_LE, 2);
        CHECK(farthest(played(server, pcm, stereo), stereo, {{0, 1}, {1, 0}}, 1) == 0);
    }
}

TEST_CASE("maps that cannot be: refused, and the one before holds")
{
    Server server;
    Pcm pcm(server);
    CHECK(snd_pcm_set_chmap(pcm, map_of({fl, fr}).get()) < 0); // not configured
    pcm.configure(with(2));
    CHECK(snd_pcm_set_chmap(pcm, map_of({fl}).get()) == -EINVAL);
    CHECK(snd_pcm_set_chmap(pcm, map_of({fl, fr, fc}).get()) == -EINVAL);
    CHECK(snd_pcm_set_chmap(pcm, map_of({fr, fr}).get()) == -EINVAL);
    CHECK(snd_pcm_set_chmap(pcm, map_of({fr, SND_CHMAP_LAST + 1}).get()) == -EINVAL);
    CHECK(snd_pcm_set_chmap(pcm, map_of({fr, fl | SND_CHMAP_PHASE_INVERSE}).get()) == -EINVAL);
    CHECK(told(pcm) == Positions{fl, fr});
    const Signal stereo(SND_PCM_FORMAT_S16_LE, 2);
    pcm.write(stereo, 0, 1000);
    CHECK(snd_pcm_set_chmap(pcm, map_of({fr, fl}).get()) == -EBADFD); // it has written
    CHECK(told(pcm) == Positions{fl, fr});
    pcm.write(stereo, 1000, frames - 1000);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(farthest(server.recording(), stereo, {{1, 0}, {0, 1}}, 1) == 0);
}

TEST_CASE("channel maps are told for as many channels as there may be")
{
    Server server;
    Pcm pcm(server);
    snd_pcm_chmap_query_t** maps = snd_pcm_query_chmaps(pcm);
    REQUIRE(maps != nullptr);
    const Positions usual{fl, fr, rl, rr, fc, lfe, sl, sr};
    for (unsigned n = 1; n <= 8; n++) {
        CAPTURE(n);
        REQUIRE(maps[n - 1] != nullptr);
        CHECK(maps[n - 1]->type == (n == 1 ? SND_CHMAP_TYPE_FIXED : SND_CHMAP_TYPE_VAR));
        REQUIRE(maps[n - 1]->map.channels == n);
        for (unsigned c = 0; c < n; c++)
            CHECK(maps[n - 1]->map.pos[c] == (n == 1 ? unsigned{SND_CHMAP_MONO} : usual[c]));
    }
    CHECK(maps[8] == nullptr);
    snd_pcm_free_chmaps(maps);
}

TEST_CASE("how many channels a program may have")
{
    struct {
        const char* device;
        const char* keys;
        unsigned most;
        int mode;
    } const cases[] = {{"2", "", 8, 0},
                       {"2", "downmix normal", 8, 0},
                       {"2", "downmix loud", 8, 0},
                       {"2", "downmix off", 2, 0},
                       {"2", "channels_max 16", 16, 0},
                       {"2", "channels_max 2", 2, 0},
                       {"4", "channels_max 2", 4, 0},
                       {"10", "", 10, 0},
                       {"2", "channels_max 32 downmix off", 2, 0},
                       {"2", "map [ 1 ]", 1, 0},
                       {"2", "", 2, SND_PCM_NO_AUTO_CHANNELS}};
    for (const auto& [device, keys, most, mode] : cases) {
        const std::string text = keys;
        CAPTURE(text);
        Server server({"--channels", device});
        Pcm pcm(server, "test", keys, mode);
        CHECK(most_channels(pcm) == most);
    }
}

TEST_CASE("mistakes in downmix and channels_max are refused")
{
    Server server;
    const Quiet quiet;
    for (const char* keys : {"downmix \"\"", "downmix on", "downmix 1", "downmix [ normal ]", "channels_max 0",
                             "channels_max 33", "channels_max -1", "channels_max many", "channels_max [ 8 ]"}) {
        CAPTURE(std::string(keys));
        snd_pcm_t* pcm = nullptr;
        CHECK(Pcm::try_open(&pcm, node(server, keys)) == -EINVAL);
    }
}

TEST_CASE("with downmix off a map is taken only if all of it is heard")
{
    Server server;
    Pcm pcm(server, "test", "downmix off");
    pcm.configure(with(2));
    CHECK(snd_pcm_set_chmap(pcm, map_of({fr, fl}).get()) == 0);
}

TEST_CASE("what is summed is heard the same after a rewind, and ends where the program says")
{
    Server server;
    const Signal signal(SND_PCM_FORMAT_S16_LE, 6), wrong(SND_PCM_FORMAT_S16_LE, 6, 2);
    Pcm pcm(server);
    Setup setup = with(6);
    setup.start_threshold = by_hand;
    pcm.configure(setup);
    pcm.write(signal, 0, 1000);
    pcm.write(wrong, 1000, 3000);
    REQUIRE(snd_pcm_rewind(pcm, 3000) == 3000);
    pcm.write(signal, 1000, frames - 1000);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(farthest(server.recording(), signal, scaled(five_one_on_stereo), 1) < 1);
}
